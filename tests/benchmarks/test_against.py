"""The benchmark of two trees measures both, by turns, and says what each tree is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks.against_trees import NOW, THEN, checkout
from benchmarks.harness import ROOT, WorkerError

from benchmarks import against

SIZES: dict[str, object] = {"texts": 2, "requests": 2, "rounds": 1, "repeats": 2, "clients": 2}
SIZES |= {"samples": 30, "fitted-on": 40, "width": 4, "precision": "int8"}
MOBILE = ("decide", "answer, fixed", "answer, adaptive", "answer by the edge")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, finished_run: Path) -> dict[str, Any]:
    """The JSON of this tree against itself."""
    out = tmp_path_factory.mktemp("bench") / "results.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), "against"]
    command += [f"--{name}={value}" for name, value in SIZES.items()]
    command += ["--run", str(finished_run), "--against", str(ROOT), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for path in (finished_run, ROOT):
        assert f"{path}" not in out.read_text("utf-8")
    read: dict[str, Any] = json.loads(out.read_text("utf-8"))["benchmarks"]["against"]
    return read


def test_every_ratio_that_was_promised_has_its_goal(report: dict[str, Any]) -> None:
    goals = {f["name"]: f["goal"] for f in report["figures"] if f["goal"] is not None}
    names = [f"int8, {name}" for name in MOBILE]
    (replays,) = (name for name in goals if name.startswith("replays of "))
    names.append(replays.partition(": ")[0])
    rates = [f"int8, {clients}, answers a second" for clients in ("1 client", "2 clients")]
    assert goals == pytest.approx(
        {f"{name}: {NOW} / {THEN}": 1.05 for name in names}
        | {f"{name}: {NOW} / {THEN}": 1 / 1.05 for name in rates},
        rel=1e-5,
    )


def test_both_trees_do_the_same_work(report: dict[str, Any]) -> None:
    runs = report["runs"]
    for item in ("decisions", "answers", "edge"):
        assert runs[f"int8, {item}"]["both do the same"] is True
    same = runs["replays"]["same settings"]
    assert len(same) > 10
    assert set(same.values()) == {True}


def test_a_ratio_is_that_of_neighbours_in_time(report: dict[str, Any]) -> None:
    """With one round in a repeat, the two ratios are those of the two rounds."""
    rounds = report["runs"]["int8, answers"]["rounds"]["answer, fixed"]
    ratios = sorted(row[NOW] / row[THEN] for row in rounds)
    (figure,) = (
        f for f in report["figures"] if f["name"] == f"int8, answer, fixed: {NOW} / {THEN}"
    )
    assert [figure["low"], figure["high"]] == pytest.approx(ratios, rel=1e-4)


def test_what_each_tree_is_is_noted(report: dict[str, Any]) -> None:
    trees = report["runs"]["trees"]
    assert trees[THEN] == trees[NOW]
    assert any(trees[NOW] in note for note in report["notes"])
    assert report["sizes"]["against"] == ROOT.name


def test_the_order_of_the_turns_favours_nobody() -> None:
    """What grows steadily, such as a machine that gets hotter, falls on both alike."""
    clock = iter(range(1, 5))
    spent = against._round(lambda _: {"seconds": float(next(clock))})
    assert spent[THEN] == spent[NOW] == {"seconds": 2.5}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One with two commits that differ in a file."""
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "--quiet")
    for number in (1, 2):
        (root / "file").write_text(str(number))
        git(root, "add", "file")
        git(root, "commit", "--quiet", "-m", f"{number}")
    return root


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    command = ["git", "-C", str(root), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_another_commit_is_there_for_as_long_as_it_is_needed(repository: Path) -> None:
    with checkout("HEAD~1", repository) as (tree, commit):
        assert (tree / "file").read_text() == "1"
        assert (repository / "file").read_text() == "2"
        assert git(repository, "rev-parse", "HEAD~1").startswith(commit)
    assert not tree.exists()
    assert len(git(repository, "worktree", "list").splitlines()) == 1


def test_a_commit_that_is_not_there_is_said(repository: Path) -> None:
    with pytest.raises(WorkerError, match="nowhere"), checkout("nowhere", repository):
        pass


def test_a_tree_without_a_history_has_no_commits(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="not a git repository"), checkout("HEAD", tmp_path):
        pass
