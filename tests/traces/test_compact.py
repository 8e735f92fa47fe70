"""The compact form of a trace: small, near, and the same again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimec.base.errors import CorruptArtefactError, MissingArtefactError
from dimec.traces.compact import load_compact, save_compact
from support.builders import make_trace


@settings(max_examples=20)
@given(st.integers(1, 40), st.integers(0, 5))
def test_it_is_read_back_within_its_steps(
    tmp_path_factory: pytest.TempPathFactory, rows: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    embeddings = (rng.standard_normal((rows, 6)) * [1e-3, 1, 50, 1, 0, 7]).astype(np.float32)
    trace = replace(
        make_trace(rows, embeddings=embeddings), extra={"raters": rng.standard_normal(rows)}
    )
    path = tmp_path_factory.mktemp("compact") / "trace.safetensors"
    save_compact(trace, path)
    read = load_compact(path)
    step = np.abs(embeddings).max(axis=0) / 127
    assert (np.abs(read.embeddings - embeddings) <= 0.5001 * step).all()
    np.testing.assert_allclose(read.probabilities, trace.probabilities, atol=5e-4)
    np.testing.assert_allclose(read.extra["raters"], trace.extra["raters"], rtol=1e-6)
    for name in ("labels", "lengths"):
        np.testing.assert_array_equal(getattr(read, name), getattr(trace, name))
        assert getattr(read, name).dtype == np.int64
    for name in ("guids", "exits", "tiers", "label_names", "task", "split", "model", "models"):
        assert getattr(read, name) == getattr(trace, name)


def test_it_takes_a_third_of_the_room(tmp_path: Path) -> None:
    embeddings = np.random.default_rng(0).standard_normal((400, 384)).astype(np.float32)
    trace = make_trace(400, embeddings=embeddings)
    trace.save(tmp_path / "plain")
    save_compact(trace, tmp_path / "compact")
    assert (tmp_path / "compact").stat().st_size < (tmp_path / "plain").stat().st_size / 3


def test_what_is_no_compact_trace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingArtefactError):
        load_compact(tmp_path / "none")
    trace = make_trace(5)
    trace.save(tmp_path / "plain")
    with pytest.raises(CorruptArtefactError):
        load_compact(tmp_path / "plain")
    save_compact(trace, tmp_path / "cut")
    whole = (tmp_path / "cut").read_bytes()
    (tmp_path / "cut").write_bytes(whole[:-10])
    with pytest.raises(CorruptArtefactError):
        load_compact(tmp_path / "cut")
