"""Any number of tiers on the command line, from training to the report: one run, fitted anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dimec.runs.run import Run
from support.tiny import FAST
from support.warm import warm_dimec

NAMED = "phone=1,gateway=2,box=3,dc=4"


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path, tiny_reviews: Path
) -> Path:
    """A run with exits at all four layers, of four tiers with names."""
    out = tmp_path_factory.mktemp("tiers") / "run"
    words: list[str | Path] = [
        "train",
        "--task",
        f"csv:{tiny_reviews}",
        "--backbone",
        tiny_backbone,
        *FAST[2:],
    ]
    said = warm_dimec(*words, "--epochs", "2", "--exits", "all", "--tiers", NAMED, "--out", out)
    assert said.code == 0, said.err
    return out


class Case:
    """What fit, evaluate and report made of some tiers, with ``--json``."""

    def __init__(self, run: Path, *fit: str) -> None:
        self.run = Run(run)
        said = warm_dimec("fit", run, "--lambda", "0.01", *fit, "--json")
        assert said.code == 0, said.err
        self.fit: dict[str, Any] = json.loads(said.out)
        said = warm_dimec("evaluate", run, "--draws", "20", "--systems", "all", "--json")
        assert said.code == 0, said.err
        self.left_out = [line for line in said.err.splitlines() if line.startswith("left out:")]
        self.rows: list[dict[str, Any]] = json.loads(said.out)
        said = warm_dimec("report", run)
        assert said.code == 0, said.err
        self.table, self.page = said.out, (run / "report" / "report.html").read_text("utf-8")


CASES = {
    "two": (["--tiers", "2,4"], {"mobile": 2, "cloud": 4}),
    "three": (["--tiers", "1,2,4"], {"mobile": 1, "edge": 2, "cloud": 4}),
    "four": ([], {"phone": 1, "gateway": 2, "box": 3, "dc": 4}),
    "two with names": (["--tiers", "phone=1,dc=4"], {"phone": 1, "dc": 4}),
    "one": (["--tiers", "4"], {"mobile": 4}),
}


@pytest.mark.parametrize("name", CASES)
def test_fit_evaluate_and_report_go_by_the_tiers(trained: Path, name: str) -> None:
    typed, tiers = CASES[name]
    case = Case(trained, *typed)
    assert dict(zip(case.fit["names"], case.fit["tiers"], strict=True)) == tiers
    validation = Run(trained).trace("validation")
    assert len(case.fit["pools"]) == len(tiers)
    assert sum(case.fit["pools"]) == len(validation)
    _check_thresholds(case.fit, len(tiers))

    by_name = {row["policy"]: row for row in case.rows}
    for tier in tiers:
        assert by_name[f"all-{tier}"]["shares"][tier] == 1
    last = by_name[f"all-{list(tiers)[-1]}"]
    assert (last["drop"], last["reduction"]) == (0, 0)
    for row in case.rows:
        assert list(row["shares"]) == list(tiers)
        assert sum(row["shares"].values()) == pytest.approx(1)
        told = {key.removeprefix("share_"): row[key] for key in row if key.startswith("share_")}
        paper = {t: row["shares"][t] for t in tiers if t in ("mobile", "edge", "cloud")}
        assert told == paper
        assert row["policy"] in case.page
    assert {"dimec-fixed", "dimec-adaptive", "random", "oracle"} <= by_name.keys()
    offloading = ["adaee", "splitee", "splitee-s", "i-splitee"]
    offloading += ["neurosurgeon-latency", "neurosurgeon-energy", "exit-cascade", "class-cascade"]
    offloading += ["class-gate", "exit0-cascade", "exit0-class-cascade", "deferral"]
    offloading += ["exit0-deferral", "knn", "cats", "calm", "fast-yet-safe"]
    away = offloading if len(tiers) == 1 else []
    absent = "(to offload takes a second tier, and there is one only)"
    assert case.left_out == ([f"left out: {', '.join(away)} {absent}"] if away else [])
    assert {"deebert", "lee", "dimee"} <= by_name.keys()
    assert ("splitee" in by_name) == (len(tiers) > 1)
    for tier in tiers:
        assert f'<th scope="col">{tier} %</th>' in case.page
        assert tier in case.table


def test_a_system_that_is_named_is_not_left_out_in_silence(trained: Path) -> None:
    assert warm_dimec("fit", trained, "--tiers", "4").code == 0
    line = warm_dimec("evaluate", trained, "--systems", "deebert,adaee").complaint()
    assert line == "to offload takes a second tier, and there is one only"


def _check_thresholds(fit: dict[str, Any], tiers: int) -> None:
    """α from two tiers on; β as a number for three, as a list that does not descend for more."""
    assert (fit["alpha"] is None) == (tiers == 1)
    if tiers < 3:
        assert fit["beta"] is None
    elif tiers == 3:
        assert isinstance(fit["beta"], float)
    else:
        assert fit["beta"] == sorted(fit["beta"])
        assert len(fit["beta"]) == tiers - 2


def test_the_names_of_the_training_stay_in_its_settings(trained: Path) -> None:
    run = Run(trained)
    assert run.settings().model.tier_names == ("phone", "gateway", "box", "dc")
    assert run.training()["tiers"] == [1, 2, 3, 4]
    assert run.trace("test").tiers == (1, 2, 3, 4)


def test_prices_of_single_tiers(trained: Path) -> None:
    said = warm_dimec(
        "fit", trained, "--tier-price", "box=0.5,1,0.25", "--tier-price", "phone=2,0,0"
    )
    assert said.code == 0, said.err
    tiers = Run(trained).deployment().tiers
    assert [(t.layer_price, t.send_price, t.visit_price) for t in tiers] == [
        (2, 0, 0),
        (1, 2.5, 0),
        (0.5, 1, 0.25),
        (0, 3, 3),
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--tiers", "1,2,3,4"], "4 tiers need names of their own"),
        (["--tiers", "a=1,a=2"], "a name of its own"),
        (["--tiers", "phone=1,2"], "all of them with names"),
        (["--tiers", "Phone=1,dc=4"], "a tier's name is"),
        (["--tiers", "2,1"], "at least as deep"),
        (["--tiers", "2,4", "--betas", "0.1"], "--betas does nothing with 2 tiers"),
        (["--tier-price", "box=1"], "--tier-price: expected a tier with its prices"),
        (["--tier-price", "edge=1,1,1"], "expected the tiers phone, gateway, box, dc"),
        (["--tier-price", "phone=1,1,1"], "nothing is sent to the first tier"),
        (["--tier-price", "box=1,1,-1"], "must be a finite number of at least 0"),
    ],
)
def test_tiers_that_cannot_be_fitted(trained: Path, words: list[str], told: str) -> None:
    assert told in warm_dimec("fit", trained, *words).complaint()
