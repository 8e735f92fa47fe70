"""``dimec fit --policy``: any system that can be served, from the fit to the bundle."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from dimec.base.storage import read_json
from support.tiny import Said

Cli = Callable[..., Said]


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def test_fit_evaluate_report_export_and_inspect(
    cli: Cli, run_copy: Callable[..., Path], tmp_path: Path
) -> None:
    """The whole way of a policy that escalates, which is no router."""
    run, bundle = run_copy(), tmp_path / "bundle"
    said = cli("fit", run, "--policy", "max-softmax-tiers", "--set", "threshold=0.9")
    assert said.code == 0, said
    assert "max-softmax-tiers; exits 1, 2, 4; lambda 0.02" in said.out
    assert "threshold 0.9, mean reward" in said.out
    said = cli("evaluate", run, "--draws", "5", "--no-curves")
    assert said.code == 0, said
    for row in ("max-softmax-tiers", "all-cloud", "oracle"):
        assert row in said.out
    assert "dimec-fixed" not in said.out
    assert "fitted policy max-softmax-tiers (threshold 0.9)" in " ".join(said.out.split())
    said = cli("report", run, "--json")
    assert said.code == 0, said
    names = [Path(file).stem for file in json.loads(said.out)["figures"]]
    assert names == ["accuracy_cost", "tiers"]
    said = cli("export", run, bundle)
    assert said.code == 0, said
    said = cli("inspect", bundle)
    assert said.code == 0, said
    assert "policy: max-softmax-tiers (kind max-softmax-tiers)" in said.out
    assert 'its settings: {"threshold": 0.9}' in said.out


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        ("splitee-s --set only_seen=true --set alpha=0.8", {"only_seen": True, "alpha": 0.8}),
        ("pabee --set patience=2", {"patience": 2}),
        ("bert-cloud", {}),
    ],
)
def test_settings_of_every_type(
    cli: Cli, run_copy: Callable[..., Path], words: str, settings: Mapping[str, Any]
) -> None:
    run = run_copy()
    said = cli("fit", run, "--policy", *words.split(), "--json")
    assert said.code == 0, said
    found, stored = json.loads(said.out), read_json(run / "policy.json", "")
    assert found["policy"] == stored["name"] == words.split()[0]
    assert settings.items() <= found["settings"].items()
    assert settings.items() <= stored["settings"].items()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("oracle", "no system is named 'oracle'; --policy takes dimec, bert-cloud, "),
        ("random", "random can be replayed and not served: it states"),
        ("bottlefit", "needs a training of its own"),
        ("splitee-s", "set it with --set only_seen=true"),
        ("deebert --set treshold=1", "deebert has no setting 'treshold'; it has threshold"),
        ("deebert --set threshold=high", "threshold is a number, got 'high'"),
        ("deebert --set threshold", "--set: expected a name with a value such as threshold=0.9"),
        ("deebert --set threshold=0 --set threshold=1", "--set: 'threshold' is there twice"),
        ("adaee --tiers 4", "adaee cannot be fitted here: to offload takes a second tier"),
    ],
)
def test_what_does_not_fit_is_one_line_of_complaint(
    cli: Cli, finished_run: Path, words: str, message: str
) -> None:
    before = (finished_run / "policy.json").read_bytes()
    assert message in cli("fit", finished_run, "--policy", *words.split()).complaint()
    assert (finished_run / "policy.json").read_bytes() == before


def test_help_names_the_systems(cli: Cli) -> None:
    said = " ".join(cli("fit", "--help").out.split())
    for name in ("max-softmax-tiers", "deebert", "(with only_seen=true)"):
        assert name in said
    assert "neurosurgeon" not in said
    assert "{policies}" not in said
