"""Data maps as columns of a trace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dimec.runs.mapped import data_map_in, maps_as_columns, without_maps
from dimec.traces.compact import load_compact, save_compact
from support.builders import dynamics, make_trace

EXITS, ROWS = (2, 4), 12
LABELS = [0, 1] * (ROWS // 2)


@pytest.mark.parametrize("layer", EXITS)
def test_a_map_is_read_as_the_dynamics_have_it(layer: int, tmp_path: Path) -> None:
    trained = dynamics(np.random.default_rng(0).standard_normal((4, 2, ROWS, 2)), LABELS, EXITS)
    trace = make_trace(ROWS, extra=maps_as_columns(trained))
    save_compact(trace, tmp_path / "trace")
    expected = trained.data_map(layer)
    for one, rtol in ((trace, 1e-15), (load_compact(tmp_path / "trace"), 1e-6)):
        read = data_map_in(one, layer)
        assert read is not None
        for name in ("confidence", "variance", "std", "correctness"):
            np.testing.assert_allclose(getattr(read, name), getattr(expected, name), rtol=rtol)


def test_a_map_by_hand() -> None:
    """Two epochs that give the right label 1/4 and 3/4: mean 1/2, variance 1/16, right once."""
    logits = np.log(np.array([[[[0.75, 0.25]]], [[[0.25, 0.75]]]]))
    columns = maps_as_columns(dynamics(logits, [1]))
    told = {name: column.tolist() for name, column in columns.items()}
    assert set(told) == {"map.2.confidence", "map.2.variance", "map.2.correctness"}
    assert told["map.2.confidence"] == pytest.approx([0.5])
    assert told["map.2.variance"] == pytest.approx([0.0625])
    assert told["map.2.correctness"] == [0.5]
    data_map = data_map_in(make_trace(1, extra=columns), 2)
    assert data_map is not None
    assert data_map.std.tolist() == pytest.approx([0.25])


def test_there_is_none_where_a_column_is_missing() -> None:
    trained = dynamics(np.zeros((2, 2, ROWS, 2)), LABELS, EXITS)
    trace = make_trace(ROWS, extra={"raters": np.ones(ROWS), **maps_as_columns(trained)})
    assert data_map_in(trace, 6) is None
    lacking = {name: v for name, v in trace.extra.items() if name != "map.2.variance"}
    assert data_map_in(replace(trace, extra=lacking), 2) is None
    assert data_map_in(replace(trace, extra=lacking), 4) is not None
    assert list(without_maps(trace).extra) == ["raters"]
