"""The benchmarks run from the command line, and what they write can be read by others."""

from __future__ import annotations

import datetime
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("imports", "reading", "thresholds", "routing", "ledger")
SIZES = {"repeats": 2, "megabytes": 1, "samples": 300, "width": 8, "draws": 20, "slow_draws": 5}

# Upper bounds in seconds and bytes, by benchmark; one goal may stand on several figures.
GOALS = {
    "imports": [0.3, 0.5],
    "reading": [1.0, 3.0] * 3,
    "thresholds": [0.05, 0.05],
    "routing": [2.0],
    "ledger": [20.0, 2 * 2**30],
}


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Start the benchmarks by their path, as a user does."""
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """What one run of the quick benchmarks printed, and the JSON that it wrote."""
    folder = tmp_path_factory.mktemp("bench")
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SIZES.items()]
    done = run(*QUICK, *options, "--seed=3", "--out", "results/quick.json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout, (folder / "results" / "quick.json").read_text("utf-8")


@pytest.fixture(scope="module")
def report(finished: tuple[str, str]) -> dict[str, Any]:
    """The JSON, read."""
    read: dict[str, Any] = json.loads(finished[1])
    return read


def test_the_report_says_when_and_on_what(report: dict[str, Any]) -> None:
    assert report["seed"] == 3
    assert datetime.date.fromisoformat(report["date"])
    assert report["machine"]["cores"] >= 1
    assert report["machine"]["processor"]
    assert {"dimec", "numpy", "python", "torch", "transformers"} <= report["versions"].keys()
    assert list(report["benchmarks"]) == list(QUICK)


@pytest.mark.parametrize("name", QUICK)
def test_sizes_are_those_that_were_asked_for(report: dict[str, Any], name: str) -> None:
    sizes = report["benchmarks"][name]["sizes"]
    assert sizes == {key: SIZES[key] for key in sizes}
    assert "repeats" in sizes


@pytest.mark.parametrize("name", QUICK)
def test_every_figure_is_a_number_in_its_range(report: dict[str, Any], name: str) -> None:
    figures = report["benchmarks"][name]["figures"]
    keys = {"name", "value", "unit", "low", "high", "goal", "at_least", "met"}
    for figure in figures:
        assert figure.keys() == keys
        assert figure["unit"] in {"s", "B", "ratio", "1/s", "share"}
        assert math.isfinite(figure["high"])
        assert 0 < figure["low"] <= figure["value"] <= figure["high"]
    assert len({figure["name"] for figure in figures}) == len(figures)


@pytest.mark.parametrize("name", QUICK)
def test_goals_stand_beside_their_figures(report: dict[str, Any], name: str) -> None:
    with_goal = [f for f in report["benchmarks"][name]["figures"] if f["goal"] is not None]
    assert [figure["goal"] for figure in with_goal] == GOALS[name]
    for figure in with_goal:
        assert figure["met"] is (figure["value"] <= figure["goal"])
    without = [f for f in report["benchmarks"][name]["figures"] if f["goal"] is None]
    assert without
    assert {figure["met"] for figure in without} == {None}


def test_the_single_measurements_are_kept(report: dict[str, Any]) -> None:
    for name in ("imports", "thresholds", "routing"):
        for taken in report["benchmarks"][name]["runs"]["seconds"].values():
            assert len(taken) == SIZES["repeats"]
    assert len(report["benchmarks"]["ledger"]["runs"]["evaluate"]) == SIZES["repeats"]


def test_all_standard_rows_are_evaluated(report: dict[str, Any]) -> None:
    assert report["benchmarks"]["ledger"]["figures"][0]["name"] == "evaluate, 9 rows"


def test_no_path_of_the_machine_is_written(finished: tuple[str, str]) -> None:
    for path in (ROOT, Path.home(), Path(sys.executable).parent, Path(sys.prefix)):
        assert f"{path}/" not in finished[1]


def test_the_table_shows_every_figure(finished: tuple[str, str], report: dict[str, Any]) -> None:
    for benchmark in report["benchmarks"].values():
        for figure in benchmark["figures"]:
            assert f"  {figure['name']} " in finished[0]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("routeing",), "no benchmark 'routeing'"),
        (("imports", "--repeats=0"), "expected at least 1, got 0"),
        (("tiers", "--run", "nowhere"), "nowhere is no folder"),
    ],
)
def test_a_wrong_request_is_refused_and_nothing_written(
    tmp_path: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    done = run(*arguments, "--out", "results.json", cwd=tmp_path)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert not list(tmp_path.iterdir())
