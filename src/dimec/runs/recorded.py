"""Runs of recorded traces: fitted and evaluated like any run, with no model behind them.

A run directory is made of what the trace collection has: traces, and a record of training that says
under ``recorded`` what its card knows. Data maps are extra columns of the validation trace
(:mod:`dimec.runs.mapped`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dimec.base.errors import ConfigError
from dimec.base.storage import write_json
from dimec.runs.workspace import RunDirectory
from dimec.traces.card import SPLITS
from dimec.traces.collection import Entry

_FOLDER = Path("runs/traces")


def run_of(entry: Entry, out: Path | None) -> RunDirectory:
    """A run directory with the traces of the collection; one that has them is taken as it is.

    Args:
        entry: the traces.
        out: the directory; ``runs/traces/NAME`` by default.

    Raises:
        ConfigError: it holds another run.
        ArtefactError: the traces are missing or damaged.
    """
    run = RunDirectory(out or _FOLDER / entry.name.strip("./").replace("/", "-"))
    # A training that was interrupted has its settings there, and nothing else yet.
    if run.training_path.exists() or run.config_path.exists():
        if run.config_path.exists() or _digests(run.recorded()) != dict(entry.card.sha256):
            raise ConfigError(
                f"{run.path} holds another run than the traces {entry.name}; name another folder, "
                "or remove that one"
            )
        return run
    with run.locked():
        for split in SPLITS:
            entry.trace(split).save(run.trace_path(split))
        write_json(run.training_path, _record(entry))
    return run


def _digests(recorded: Mapping[str, Any] | None) -> dict[str, str]:
    return {} if recorded is None else dict(recorded["sha256"])


def _record(entry: Entry) -> dict[str, Any]:
    """What training would have written, as far as the card knows."""
    card = entry.card
    backbone = card.backbone
    if not isinstance(backbone, str):
        backbone = ", ".join(f"{name} {model}" for name, model in backbone.items())
    return {
        "model": card.model,
        "task": card.task,
        "source": card.source,
        "backbone": backbone,
        "exits": list(card.exits),
        "layers": card.tiers[-1].layer,
        "rows": {"train": 0, **card.rows},
        "best_epoch": card.best_epoch,
        "history": [],
        "seed": card.seed,
        "versions": dict(card.versions),
        "date": card.date,
        "recorded": {
            "name": entry.name,
            "epochs": card.epochs,
            "tiers": [tier.model_dump(mode="json") for tier in card.tiers],
            "shapes": {name: one.model_dump() for name, one in card.shapes.items()},
            "models": dict(card.backbone) if isinstance(card.backbone, Mapping) else {},
            "sha256": dict(card.sha256),
        },
    }
