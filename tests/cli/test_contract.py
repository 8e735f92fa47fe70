"""``dimec fit`` under a contract, and ``dimec contract rows``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support.tiny import Said, reviews

Cli = Callable[..., Said]


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(text for text, _ in reviews(80, seed=11)), "utf-8")
    return path


def test_from_the_fit_to_the_bundle(
    cli: Cli, run_copy: Callable[..., Path], texts: Path, tmp_path: Path
) -> None:
    """The contract is in every artefact, and told wherever the policy is."""
    run, bundle, rows = run_copy(), tmp_path / "bundle", tmp_path / "rows.jsonl"
    terms = ("--max-accuracy-drop", "30", "--confidence", "0.8", "--policy", "cascade")
    said = cli("fit", run, *terms, "--calibration-text", texts)
    assert said.code == 0, said
    assert "contract: drop at most 30 points at 80 % confidence" in said.out
    assert "on 80 rows of texts.txt (without labels)" in said.out
    said = cli("contract", "rows", run, "--out", rows, "--json")
    told = json.loads(said.out)
    assert (told["of"], told["file"]) == (80, str(rows))
    assert len(rows.read_text("utf-8").splitlines()) == told["rows"]
    said = cli("contract", "rows", run, "--out", rows)
    assert f"{told['rows']} of 80 calibration texts are worth a label" in said.out
    contract = json.loads((run / "fit.json").read_text("utf-8"))["contract"]
    assert (contract["max_accuracy_drop"], contract["test"]) == (30.0, "disagreement")

    assert cli("evaluate", run, "--draws", "5").code == 0
    said = cli("export", run, bundle)
    assert said.code == 0, said
    said = cli("inspect", bundle)
    assert "contract: drop at most 30 points at 80 % confidence" in said.out
    said = cli("inspect", bundle, "--json")
    assert json.loads(said.out)["policy"]["contract"] == contract


def test_a_refusal_has_a_code_of_its_own(cli: Cli, run_copy: Callable[..., Path]) -> None:
    run = run_copy()
    before = (run / "policy.json").read_bytes()
    said = cli("fit", run, "--max-cost", "0.1", "--confidence", "0.9")
    assert said.code == 3
    assert said.err.splitlines()[-1].startswith("dimec: no policy is shown to cost at most 0.1")
    assert "allow more with --max-cost, or a lower --confidence" in said.err
    assert said.out == ""
    assert (run / "policy.json").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--max-accuracy-drop 0", "--max-accuracy-drop must be over 0"),
        ("--max-accuracy-drop 1 --confidence 1", "--confidence must be from 0.5 to 0.9999"),
        ("--max-accuracy-drop 1", "calibration rows cannot show a drop"),
        ("--max-accuracy-drop 9 --max-cost 3", "--max-accuracy-drop or --max-disagreement"),
        ("--max-cost 3 --calibration-share 1", "--calibration-share must be over 0"),
        ("--max-cost 3 --calibration-text none.txt", "none.txt"),
        ("--max-cost 3 --calibration-labels x.csv", "--calibration-text"),
    ],
)
def test_a_bad_contract_is_one_line(
    cli: Cli, run_copy: Callable[..., Path], words: str, told: str
) -> None:
    line = cli("fit", run_copy(), *words.split()).complaint()
    assert told in line
