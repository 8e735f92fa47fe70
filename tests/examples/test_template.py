"""The template of a package: built, installed, and each part used on a real run or trace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.runs.run import Run
from dimec.runs.workspace import RunDirectory
from support.installing import build_wheel, install
from support.tiny import FAST, Said, dimec

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "examples" / "template"
PACKAGE = {"name": "dimec-template", "version": "0.1.0"}
TRACE = "qqp/minilm-own/0"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(TEMPLATE, tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> str:
    return install(wheel, tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def routed(tmp_path_factory: pytest.TempPathFactory, finished_run: Path, site: str) -> Path:
    """The tiny run, fitted with the template's router."""
    copy = Path(shutil.copytree(finished_run, tmp_path_factory.mktemp("fitted") / "run"))
    said = told(site, "fit", copy, "--policy", "first-or-last")
    assert (said["policy"], said["package"]) == ("first-or-last", PACKAGE)
    return copy


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, routed: Path, site: str) -> Path:
    """Its bundle."""
    out = tmp_path_factory.mktemp("exported") / "bundle"
    told(site, "export", routed, out)
    return out


def told(site: str, *words: str | Path) -> Any:
    """What a command prints as JSON, where the package is installed."""
    said = dimec(*words, "--json", PYTHONPATH=site)
    assert said.code == 0, said.err
    return json.loads(said.out)


def test_the_wheel_holds_all_of_it(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    files = {path.relative_to(TEMPLATE / "src") for path in TEMPLATE.glob("src/*/*.*")}
    assert {path.as_posix() for path in files} <= names
    assert "dimec_template/weather.csv" in names


def test_its_own_tests_pass(site: str, tmp_path: Path) -> None:
    copy = shutil.copytree(TEMPLATE / "tests", tmp_path / "tests")
    known = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(copy)],
        env={**known, "PYTHONPATH": site},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_all_of_it_is_listed(site: str) -> None:
    found = told(site, "plugins", "--check")["plugins"]
    assert [(one["group"], one["name"]) for one in found] == [
        ("policies", "sure-enough"),
        ("routers", "first-or-last"),
        ("tasks", "weather"),
        ("bounds", "hoeffding"),
    ]
    for one in found:
        assert (one["package"], one["version"], one["problem"]) == (*PACKAGE.values(), "")


def test_help_names_it(site: str) -> None:
    said = dimec("fit", "--help", PYTHONPATH=site).out
    assert "sure-enough" in said
    assert "first-or-last" in said


def test_the_policy_keeps_a_contract_by_the_bound(site: str, tmp_path: Path) -> None:
    """On a recorded trace: fitted, proved by the template's bound, and replayed."""
    run = tmp_path / "run"
    limits = ("--max-accuracy-drop", "10", "--bound", "hoeffding")
    fit = told(site, "fit", run, "--trace", TRACE, "--policy", "sure-enough", *limits)
    assert (fit["policy"], fit["package"]) == ("sure-enough", PACKAGE)
    promise = fit["contract"]
    assert (promise["test"], promise["package"]) == ("hoeffding", "dimec-template 0.1.0")
    seen = promise["calibration"]
    reach = np.sqrt(-2 * np.log(0.05) / seen["rows"])
    assert seen["drop_bound"] == pytest.approx(seen["drop"] + reach)
    rows = {row["policy"]: row for row in told(site, "evaluate", run, "--draws", "5")}
    trace, threshold = Run(run).trace("test"), fit["settings"]["threshold"]
    first = trace.column(trace.tiers[0], trace.tier_sources[0])
    sure = trace.confidences[:, first] >= threshold
    assert rows["sure-enough"]["share_mobile"] == pytest.approx(sure.mean())


def test_a_model_is_trained_on_the_task(site: str, tiny_backbone: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ("--backbone", tiny_backbone, "--epochs", "2", *FAST)
    told(site, "train", "--task", "weather", "--out", run, *words)
    training = RunDirectory(run).training()
    assert training["task"] == "weather"
    assert sum(training["rows"].values()) == 120


def test_the_router_is_replayed(site: str, routed: Path) -> None:
    rows = {row["policy"]: row for row in told(site, "evaluate", routed, "--draws", "5")}
    row = rows["first-or-last"]
    assert row["share_edge"] == 0
    assert row["share_mobile"] + row["share_cloud"] == pytest.approx(1)
    stored = json.loads((routed / "policy.json").read_text("utf-8"))
    assert stored["package"] == PACKAGE


def test_its_bundle_answers_where_the_package_is(site: str, bundle: Path, tmp_path: Path) -> None:
    said = dimec(
        *("predict", bundle, "--state", ":memory:", "--json", "the film is moving"),
        PYTHONPATH=site,
    )
    assert said.code == 0, said.err
    assert json.loads(said.out)["label"] in ("negative", "positive")
    assert "needs the package dimec-template 0.1.0, installed here" in (
        dimec("inspect", bundle, PYTHONPATH=site).out
    )


def test_its_bundle_says_what_it_needs_where_the_package_is_not(
    cli: Callable[..., Said], bundle: Path
) -> None:
    line = cli("predict", bundle, "--state", ":memory:", "a text").complaint()
    assert "made with the package dimec-template 0.1.0" in line
    assert "needs that package installed" in line
    said = cli("inspect", bundle)
    assert "needs the package dimec-template 0.1.0, which is not installed here" in said.out


def test_without_the_package_its_names_are_unknown(
    cli: Callable[..., Said], finished_run: Path, tmp_path: Path
) -> None:
    line = cli("train", "--task", "weather", "--out", tmp_path / "run").complaint()
    assert "unknown task 'weather'" in line
    assert "needs that package installed" in line
    for words in (("--policy", "first-or-last"), ("--max-accuracy-drop", "5", "--bound", "x")):
        assert words[-1] in cli("fit", finished_run, *words).complaint()
