"""``dimec trace import``, and what works on what it makes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dimec.evaluation.ledger import Ledger
from dimec.traces.trace import Trace
from support.records import correctness_rows, long_rows, write_rows
from support.tiny import Said

Cli = Callable[..., Said]
MODELS = {
    "mistralai/mixtral-8x7b": 0.6,
    "gpt-4": 20.0,
    "claude-v1": 8.0,
    "WizardLM-13B": 0.3,
    "llama-70b": 0.9,
}


def test_a_table_of_models_is_evaluated_like_any_run(cli: Cli, tmp_path: Path) -> None:
    validation, test = (correctness_rows(40, MODELS, seed) for seed in (0, 1))
    files = [
        write_rows(tmp_path / f"{name}.csv", rows)
        for name, rows in (("validation", validation), ("test", test))
    ]
    out, run = tmp_path / "records", tmp_path / "run"
    said = cli("trace", "import", files[1], "--validation", files[0], "--out", out)
    assert said.code == 0, said.err
    assert "40 validation and 40 test rows of test" in said.out
    assert said.out.splitlines()[-1] == f"next: dimec evaluate --trace {out} --systems all"

    words = ("--systems", "all", "--draws", "50", "--scenario", "phone-4g")
    said = cli("evaluate", run, "--trace", out, *words)
    assert said.code == 0, said.err
    left_out = [line for line in said.err.splitlines() if line.startswith("left out:")]
    for name, reason in (
        ("cascade", "looks at confidences"),
        ("class-gate", "looks at answers"),
        ("knn", "looks at embeddings"),
    ):
        assert [line for line in left_out if f"({reason}" in line and f" {name}" in line]
    assert len(left_out) < 8
    assert "no milliseconds, millijoules and money: nobody knows" in said.err
    assert json.loads((run / "report" / "scenarios.json").read_text()) == []
    ledger = Ledger.load(run / "report")
    for column in MODELS:
        name = column.lower().replace("/", "-")
        row = ledger.row(f"all-{name}")
        assert row.accuracy == pytest.approx(np.mean([float(str(one[column])) for one in test]))
        costs = [float(str(one[f"{column}_cost"])) for one in [*validation, *test]]
        assert row.cost == pytest.approx(np.mean(costs))
    best = max(ledger.row(f"all-{name.lower().replace('/', '-')}").accuracy for name in MODELS)
    assert ledger.row("oracle").accuracy >= best

    said = cli("fit", run, "--trace", out, "--max-disagreement", "5")
    assert "--max-disagreement compares answers, and these traces only tell" in said.complaint()


def test_answers_alone_do_for_pabee_and_not_for_a_cascade(cli: Cli, tmp_path: Path) -> None:
    table = write_rows(tmp_path / "exits.csv", long_rows(60))
    out, run = tmp_path / "records", tmp_path / "run"
    said = cli("trace", "import", table, "--out", out, "--json")
    assert [tier["layer"] for tier in json.loads(said.out)["tiers"]] == [2, 3, 6]
    said = cli("fit", run, "--trace", out, "--policy", "pabee")
    assert said.code == 0, said.err
    assert "pabee; exits 2, 3, 6" in said.out
    line = cli("fit", run, "--trace", out, "--policy", "cascade").complaint()
    assert "cascade looks at confidences, and these traces hold none" in line
    assert "such as pabee" in line
    line = cli("fit", run, "--trace", out).complaint()
    assert "no data map at the first tier's exit" in line


def test_confidences_do_for_a_cascade_without_embeddings(cli: Cli, tmp_path: Path) -> None:
    rows = long_rows(60)
    for place, row in enumerate(rows):
        row["score"] = 0.55 + 0.4 * (place % 7) / 7
    out, run = tmp_path / "records", tmp_path / "run"
    cli("trace", "import", write_rows(tmp_path / "exits.csv", rows), "--out", out)
    said = cli("fit", run, "--trace", out, "--policy", "cascade", "--tier-price", "edge=1,2,3")
    assert said.code == 0, said.err
    line = cli("fit", run, "--trace", out, "--policy", "knn").complaint()
    assert "knn looks at embeddings, and these traces hold none" in line


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--exits", "a"), "--exits: expected columns with their layers, such as first=2,last=6"),
        (("--exits", "pred=2"), "--exits is of wide tables, and this is read as a long one"),
        (("--cost", "edge"), "--cost: expected a name with a value"),
        (("--cost", "edge=much"), "--cost edge: expected a number, got 'much'"),
        (("--tiers", "2,9"), "--tiers: the table has no exit 9"),
        (("--prediction-column", "said"), "expected a column 'said', the file has"),
        (("--form", "correctness"), "name them with --tiers COLUMN,..."),
    ],
)
def test_what_is_typed_wrong_is_one_line_and_leaves_nothing(
    cli: Cli, tmp_path: Path, words: tuple[str, ...], problem: str
) -> None:
    table = write_rows(tmp_path / "exits.csv", long_rows(20))
    line = cli("trace", "import", table, "--out", tmp_path / "out", *words).complaint()
    assert problem in line
    assert not (tmp_path / "out").exists()


def test_some_of_the_models_keep_their_prices(cli: Cli, tmp_path: Path) -> None:
    table = write_rows(tmp_path / "models.csv", correctness_rows(40))
    out, run = tmp_path / "records", tmp_path / "run"
    told = ("--cost", "a=2", "--cost", "b=3", "--cost", "c=1")
    assert cli("trace", "import", table, "--out", out, *told).code == 0
    said = cli("fit", run, "--trace", out, "--policy", "bert-cloud", "--tiers", "c=1,b=1")
    assert said.code == 0, said.err
    stored = json.loads((run / "policy.json").read_text())
    assert "bert-cloud; exits c 1, b 1" in said.out
    assert [tier["visit_price"] for tier in stored["fitted_on"]["tiers"]] == [1, 3]
    words = ("--tiers", "c=1,b=1", "--tier-price", "c=1,5,0")
    line = cli("fit", run, "--trace", out, "--policy", "bert-cloud", *words).complaint()
    assert "--tier-price: nothing is sent to the first tier, c" in line
    get = ("traces", "get", out, "--out", tmp_path / "test.safetensors")
    assert cli(*get).code == 0
    trace = Trace.load(tmp_path / "test.safetensors")
    assert (trace.answers_only, trace.outcomes_only) == (True, True)
