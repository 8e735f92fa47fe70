"""``dimec score --engine ray``: a real cluster on this machine, one of whose actors is killed."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path

import psutil

from support.scoring import OUTPUTS, answers_in, write_texts
from support.tiny import command, dimec, environment

SIZE = 40_000  # three parts a file
_ROOT = Path(__file__).resolve().parents[1]


def test_answers_are_those_of_the_local_engine_though_an_actor_is_killed(
    ray_python: str, run: Path, tmp_path: Path
) -> None:
    texts = write_texts(tmp_path / "in", SIZE)
    local, ray = tmp_path / "local", tmp_path / "ray"
    words = ("score", texts, "--run", run, "--policy", "exit-cascade", "--out")
    assert dimec(*words, local).code == 0
    # The graphs go with the folder: where Ray is, nothing that makes them need be.
    begun = shutil.ignore_patterns("done", "lock")
    shutil.copytree(local / ".score", ray / ".score", ignore=begun)
    line = [ray_python, *command(*words, ray, "--engine", "ray")[1:]]
    with subprocess.Popen(
        line,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(PYTHONPATH=str(_ROOT / "src")),
    ) as process:
        ended, killed = threading.Event(), list[int]()
        killer = threading.Thread(
            target=_kill_one, args=(process.pid, ray, ended, killed), daemon=True
        )
        killer.start()
        said, _ = process.communicate(timeout=300)
        ended.set()
        killer.join()
    assert process.returncode == 0, said
    assert killed
    assert answers_in(ray, OUTPUTS) == answers_in(local, OUTPUTS)


def _kill_one(pid: int, out: Path, ended: threading.Event, killed: list[int]) -> None:
    """Kill the actor that is seen first to write a part; its file has the actor's number in it."""
    while not ended.wait(0.005) and not killed:
        for part in (out / ".score" / "parts").rglob(".*.tmp"):
            writer = int(part.name.rsplit(".", 2)[1].partition("-")[0])
            if writer != pid and psutil.pid_exists(writer) and writer != os.getpid():
                killed.append(writer)
                psutil.Process(writer).kill()
                return
