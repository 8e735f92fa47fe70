"""A tiny training that a tracker is told of; run by .trackers/'s Python.

``tracked_run.py KIND TABLE BACKBONE RUN kill`` is killed, as the kernel kills, when its third epoch
begins, with no time to say anything; without ``kill`` it goes on to the end.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import dimec
from dimec.base.progress import NoProgress, Progress


class Killing(NoProgress):
    """Ends the process when the third epoch begins."""

    def start(self, stage: str, total: int) -> None:
        if stage == "epoch 3 of 4":
            os.kill(os.getpid(), signal.SIGKILL)


def main(kind: str, table: str, backbone: str, out: str, *kill: str) -> None:
    """Train, or go on."""
    progress: Progress = Killing() if kill else NoProgress()
    dimec.train(
        task=f"csv:{table}",
        backbone=backbone,
        exits=(1, 2, 4),
        epochs=4,
        patience=0,
        learning_rate=3e-3,
        max_tokens=32,
        precision="fp32",
        exit0=False,
        out=Path(out),
        track=kind,
        progress=progress,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
