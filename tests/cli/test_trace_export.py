"""``dimec trace export``, and the ledger of ``dimec evaluate`` as a table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from dimec.evaluation.ledger import Ledger
from dimec.traces.collection import load_trace
from dimec.traces.trace import Trace
from support.builders import make_trace
from support.tiny import Said
from support.written import written_run

Cli = Callable[..., Said]


def test_a_trace_goes_out_and_comes_back(cli: Cli, tmp_path: Path) -> None:
    trace, own = make_trace(9), tmp_path / "own.safetensors"
    trace.save(own)
    table, arrow, back = (tmp_path / name for name in ("a.parquet", "a.arrow", "b.safetensors"))
    for source, out in ((own, table), (table, arrow), (arrow, back)):
        said = cli("trace", "export", source, out)
        assert said.code == 0, said.err
        assert said.out == f"{out}: 9 samples of glue/sst2, 3 exits\n"
    assert back.read_bytes() == own.read_bytes()


def test_a_trace_of_the_collection_without_embeddings(cli: Cli, tmp_path: Path) -> None:
    name, out = "mrpc/minilm-joint/0/test", tmp_path / "mrpc.parquet"
    said = cli("trace", "export", name, out, "--no-embeddings", "--json")
    assert said.code == 0, said.err
    trace = load_trace(name)
    told = {"trace": str(out), "samples": len(trace), "exits": list(trace.exits)}
    assert json.loads(said.out) == told
    assert "embedding" not in parquet.read_schema(out).names
    kept = Trace.from_parquet(out)
    np.testing.assert_array_equal(kept.probabilities, trace.probabilities)
    assert kept.embeddings.shape == (len(trace), 0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("{own}", "{folder}/a.csv"), "OUT: expected a file that ends in .parquet, .arrow,"),
        (("{own}", "{own}"), "is the trace itself; choose another file"),
        (("{folder}/none.parquet", "{folder}/a.arrow"), "does not exist; make it with"),
        (("{folder}/none.safetensors", "{folder}/a.arrow"), "none.safetensors"),
        (("mrpc/minilm-joint/0", "{folder}/a.arrow"), "expected the name of a trace that ends in"),
    ],
)
def test_what_is_wrong_is_one_line(
    cli: Cli, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    own = tmp_path / "own.safetensors"
    make_trace(3).save(own)
    said = cli("trace", "export", *(word.format(own=own, folder=tmp_path) for word in words))
    assert said.code == 2
    assert message in said.err
    assert said.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["own.safetensors"]


def test_of_a_run_one_trace_is_to_be_named(cli: Cli, tmp_path: Path) -> None:
    for split in ("test", "validation"):
        make_trace(3).save(tmp_path / f"trace-{split}.safetensors")
    line = cli("trace", "export", tmp_path, tmp_path / "a.arrow").complaint()
    traces = "trace-test.safetensors or trace-validation.safetensors"
    assert line == f"{tmp_path} is a run; give one of its traces: {tmp_path}/{traces}"


def test_the_ledger_is_a_table_too(cli: Cli, tmp_path: Path) -> None:
    run = written_run(tmp_path / "run")
    run.fit(policy="max-softmax")
    out = tmp_path / "ledger.parquet"
    words = ("evaluate", run.path, "--draws", "20", "--no-curves", "--ledger")
    said = cli(*words, out)
    assert said.code == 0, said.err
    assert Ledger.from_parquet(out) == Ledger.load(run.path / "report")
    said = cli(*words, tmp_path / "ledger.csv")
    assert said.code == 2
    assert "--ledger: expected a file that ends in .parquet" in said.err
