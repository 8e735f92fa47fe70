"""Two trees side by side, this one and another commit's, each with a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import against_side
from benchmarks.harness import ROOT, WorkerError, say

THEN, NOW = "before", "now"
# By default glibc learns from what a process did before which arrays it fetches from the system
# anew each time; that is worth half of a short replay, and falls on either tree by chance.
_MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(2**26), "MALLOC_TRIM_THRESHOLD_": str(2**29)}


class Tree:
    """The process of one tree. Ask it with the name of a method of the side, and its arguments."""

    def __init__(self, root: Path, folder: Path, seed: int) -> None:
        folder.mkdir(exist_ok=True)
        self.root = root
        self._said = (folder / "said.txt").open("w+", encoding="utf-8")
        # -P: the script's own folder stays off the path, so that all else is the tree's.
        command = [sys.executable, "-P", str(Path(against_side.__file__)), str(folder), str(seed)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            cwd=folder,
            env=_environment(root),
        )

    def ask(self, **command: Any) -> Any:
        """What the side says.

        Raises:
            WorkerError: it failed.
        """
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # then there is no reply either
            process.stdin.write(json.dumps(command) + "\n")
            process.stdin.flush()
        if reply := process.stdout.readline():
            return json.loads(reply)
        process.wait()
        self._said.seek(0)
        end = "\n".join(self._said.read().strip().splitlines()[-15:])
        raise WorkerError(f"{self.root.name} failed at {command['do']}:\n{end}")

    def close(self) -> None:
        """Let it end, and wait for that."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._said.close()


def _environment(root: Path) -> dict[str, str]:
    """Ours, with nothing but this tree on the import path, and no look at a model hub."""
    paths = [
        str(path) for part in ("src", "", "tools", "studies") if (path := root / part).is_dir()
    ]
    fixed = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **fixed, **_MALLOC}


class Pair(NamedTuple):
    """Both trees, ready to be measured.

    Attributes:
        trees: the process of each.
        commits: the commit of each.
        source: what their bundles were made of, as of :attr:`benchmarks.bundles.Scene.source`.
    """

    trees: dict[str, Tree]
    commits: dict[str, str]
    source: dict[str, Any]


@contextlib.contextmanager
def both(
    against: str, run: str, seed: int, place: Path, precisions: Sequence[str]
) -> Iterator[Pair]:
    """Have both trees export a run, "" for a small one of the other's, and keep a process of each.

    What exports is another process: torch, which it loads, is no part of a mobile.

    Raises:
        WorkerError: there is no such commit, or a tree cannot use the run.
    """
    with contextlib.ExitStack() as stack:
        other, commit = stack.enter_context(checkout(against, ROOT))
        roots = {THEN: other, NOW: ROOT}
        for name, root in roots.items():
            with contextlib.closing(Tree(root, place / name, seed)) as maker:
                if not run:  # by the older one: a newer one can read what it writes
                    say("against: training a small model ...")
                    run = maker.ask(do="train")
                say(f"against: exporting, {name} ...")
                what = {"run": run, "root": str(root), "precisions": list(precisions)}
                source = maker.ask(do="prepare", **what)
        trees = {
            name: stack.enter_context(contextlib.closing(Tree(root, place / name, seed)))
            for name, root in roots.items()
        }
        yield Pair(trees, {THEN: commit, NOW: _described(ROOT)}, source)


@contextlib.contextmanager
def checkout(against: str, repository: Path) -> Iterator[tuple[Path, str]]:
    """A commit's tree for as long as it is needed, or a folder as it is; and its name.

    Raises:
        WorkerError: there is no such commit, or no history at all.
    """
    if Path(against).is_dir():
        yield Path(against), _described(Path(against))
        return
    with tempfile.TemporaryDirectory(prefix="dimec-bench-") as place:
        root = Path(place) / against.replace("/", "-")
        _git(repository, "worktree", "add", "--detach", str(root), against)
        try:
            yield root, _git(root, "rev-parse", "--short=12", "HEAD")
        finally:
            _git(repository, "worktree", "remove", "--force", str(root))


def _described(root: Path) -> str:
    """The commit of a tree, and whether it was changed since; what it is without a history."""
    try:
        return _git(root, "describe", "--always", "--dirty", "--abbrev=12")
    except WorkerError:
        return "a tree without a history"


def _git(repository: Path, *arguments: str) -> str:
    command = ["git", "-C", str(repository), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise WorkerError("git is needed to check out another commit") from None
    except subprocess.CalledProcessError as error:
        raise WorkerError(f"git {' '.join(arguments[:2])} failed: {error.stderr.strip()}") from None
    return done.stdout.strip()
