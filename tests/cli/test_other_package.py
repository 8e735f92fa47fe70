"""A policy of a package that is installed beside dimec, which knows nothing of it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.runs.run import Run
from dimec.tiers.deployment import Deployment
from support.installing import build_wheel, install
from support.served import Server
from support.tiny import Said, command, dimec

ROOT = Path(__file__).resolve().parents[2]
PACKAGE, DOCS = ROOT / "tests" / "support" / "escalating", ROOT / "docs" / "architecture.md"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What PYTHONPATH has to be for a Python with the package installed."""
    wheel = build_wheel(PACKAGE, tmp_path_factory.mktemp("built"))
    return install(wheel, tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="module")
def threshold(finished_run: Path) -> float:
    """Of which about half of the test texts' confidences on the first tier fall short."""
    trace = Run(finished_run).trace("test")
    return float(np.median(trace.confidences[:, trace.column(1)]).round(4))


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory, finished_run: Path, site: str, threshold: float
) -> Path:
    """The tiny run, fitted with the package's policy."""
    copy = Path(shutil.copytree(finished_run, tmp_path_factory.mktemp("fitted") / "run"))
    said = installed(
        site, "fit", copy, "--policy", "escalating", "--set", f"threshold={threshold}", "--json"
    )
    assert said["settings"] == {"threshold": threshold}
    assert (said["policy"], said["kind"]) == ("escalating", "escalating")
    return copy


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, run: Path, site: str) -> Path:
    """Its bundle."""
    out = tmp_path_factory.mktemp("exported") / "bundle"
    assert installed(site, "export", run, out, "--json")["path"] == str(out)
    return out


def installed(site: str, *words: str | Path) -> Any:
    """What a command prints as JSON, in a process that finds the installed package."""
    said = dimec(*words, PYTHONPATH=site)
    assert said.code == 0, said.err
    return json.loads(said.out)


def test_it_is_fitted_evaluated_and_reported(run: Path, site: str, threshold: float) -> None:
    rows = {
        row["policy"]: row for row in installed(site, "evaluate", run, "--draws", "5", "--json")
    }
    trace = Run(run).trace("test")
    sure = trace.confidences[:, trace.column(1)] >= threshold
    row = rows["escalating"]
    assert row["share_mobile"] == pytest.approx(sure.mean())
    assert (row["share_edge"], row["share_cloud"]) == pytest.approx((0, 1 - sure.mean()))
    right = np.where(sure, trace.correct[:, trace.column(1)], trace.correct[:, -1])
    assert row["accuracy"] == pytest.approx(right.mean())
    # Who goes on has paid for the look.
    mobile, cloud = rows["all-mobile"]["cost"], rows["all-cloud"]["cost"]
    assert row["cost"] == pytest.approx(mobile + (1 - sure.mean()) * cloud)
    page = Path(installed(site, "report", run, "--json")["report"]).read_text("utf-8")
    assert "escalating was not fitted to pools of the data map" in page


def test_its_bundle_says_what_it_holds(bundle: Path, site: str, threshold: float) -> None:
    shown = installed(site, "inspect", bundle, "--json")
    told: dict[str, Any] = {"settings": {"threshold": threshold}, "contract": None}
    told |= {"package": {"name": "escalating", "version": "1.0"}}
    assert shown["policy"] == {"kind": "escalating", "name": "escalating", **told}
    # Where the package is not installed too: a bundle is checked, and no policy made.
    said = dimec("inspect", bundle)
    assert said.code == 0, said.err
    assert "policy: escalating (kind escalating)" in said.out
    assert f'its settings: {{"threshold": {threshold}}}' in said.out
    assert "it needs the package escalating 1.0, which is not installed here" in said.out


def test_the_names_that_help_has_are_those_of_the_packages_too(site: str) -> None:
    assert "escalating" in dimec("fit", "--help", PYTHONPATH=site).out
    assert "escalating" not in dimec("fit", "--help").out


def test_the_docs_show_this_package() -> None:
    page = DOCS.read_text("utf-8").partition("## A policy of your own package")[2]
    blocks = re.findall("```(?:toml|python)\n(.*?)```", page, re.DOTALL)
    entry_point, module = (re.sub(" *#.*", "", block) for block in blocks[:2])
    assert entry_point.strip() in (PACKAGE / "pyproject.toml").read_text("utf-8")
    source = (PACKAGE / "escalating.py").read_text("utf-8")
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    shown = [line.strip() for line in module.splitlines() if line.strip()]
    assert len(shown) > 10
    left = iter(lines)  # in order; docstrings and imports are left out
    assert all(line in left for line in shown)


def test_without_the_package_one_line_says_so(
    cli: Callable[..., Said], run: Path, finished_run: Path, bundle: Path
) -> None:
    line = cli("evaluate", run).complaint()
    assert "no kind of policies is named 'escalating'" in line
    assert "needs that package installed" in line
    assert (
        "no system is named 'escalating'"
        in cli("fit", finished_run, "--policy", "escalating").complaint()
    )
    assert "'escalating'" in cli("predict", bundle, "a text").complaint()


def test_it_is_served(run: Path, bundle: Path, site: str, threshold: float, tmp_path: Path) -> None:
    """Two processes take the paths of the replay, at its cost."""
    trace, texts = Run(run).trace("test"), Run(run).splits().test.texts
    near = trace.confidences[:, trace.column(1)]
    some = np.flatnonzero(abs(near - threshold) > 1e-3)[:12]  # no matter of rounding
    assert {True, False} == set((near[some] >= threshold).tolist())
    starting = command("serve", bundle / "cloud", "--port", "0", "--threads", "1")
    with Server.by(starting, tmp_path / "log", PYTHONPATH=site) as server:
        words = ["--tier", f"cloud={server.url}", "--timeout", "30", *(texts[i] for i in some)]
        home = str(tmp_path / "home")
        said = dimec("predict", bundle, "--json", *words, PYTHONPATH=site, XDG_STATE_HOME=home)
        assert said.code == 0, said.err
        assert server.stop() == 0
    found = [json.loads(line) for line in said.out.splitlines()]
    mobile, _, cloud = Deployment.paper((1, 2, 4)).prices
    for sample, answer in zip(some, found, strict=True):
        sure = near[sample] >= threshold
        assert answer["fallback_reason"] is None
        assert [stay["tier"] for stay in answer["path"]] == ["mobile", "cloud"][: 1 if sure else 2]
        assert answer["answered_by"] == ("mobile" if sure else "cloud")
        assert answer["cost"] == pytest.approx(mobile if sure else mobile + cloud)
        column = trace.column(1 if sure else 4)
        assert answer["label"] == trace.label_names[trace.predictions[sample, column]]
