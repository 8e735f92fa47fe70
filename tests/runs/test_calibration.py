"""Calibration rows are apart from those of the fit, by position and by name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError, DataError
from dimec.contract.losses import UNKNOWN
from dimec.runs.calibration import (
    Calibration,
    CalibrationFiles,
    check_share,
    joined,
    of_validation,
    parted,
    refuse_fitted,
)
from support.builders import make_trace


@given(st.integers(10, 300), st.floats(0.1, 0.7), st.integers(0, 5))
def test_the_parts_are_disjoint_and_whole(size: int, share: float, seed: int) -> None:
    fit, held = parted(size, share, seed)
    assert sorted([*fit.tolist(), *held.tolist()]) == list(range(size))
    assert abs(len(held) - share * size) <= 0.5
    again = parted(size, share, seed)
    np.testing.assert_array_equal(held, again[1])


def test_which_rows_calibrate_is_chance() -> None:
    assert parted(100, 0.5, 0)[1].tolist() != parted(100, 0.5, 1)[1].tolist()


@pytest.mark.parametrize(("size", "share"), [(1, 0.5), (3, 0.9), (10, 0.01)])
def test_too_few_rows_for_two_parts(size: int, share: float) -> None:
    with pytest.raises(DataError, match="calibration_text"):
        parted(size, share, 0)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_share_that_leaves_nothing(share: float) -> None:
    with pytest.raises(ConfigError, match="calibration_share must be over 0 and under 1"):
        check_share(share)


def test_labels_need_texts() -> None:
    with pytest.raises(ConfigError, match="give both"):
        CalibrationFiles(None, "labels.csv")
    assert not CalibrationFiles(None, None).given


def test_rows_of_two_sources_are_joined_in_order() -> None:
    trace = make_trace(10, split="validation")
    mine = of_validation(trace, np.array([1, 4]))
    own = Calibration(
        make_trace(3, split="calibration", model=trace.model), np.array([0, UNKNOWN, 1]), "a file"
    )
    both = joined([mine, own])
    assert len(both) == 5
    assert both.labels.tolist() == [*trace.labels[[1, 4]].tolist(), 0, UNKNOWN, 1]
    assert both.trace.guids == (*mine.trace.guids, *own.trace.guids)
    assert both.source == "2 rows of the validation split and a file"
    assert not both.unlabelled
    np.testing.assert_array_equal(both.trace.probabilities[:2], trace.probabilities[[1, 4]])
    assert joined([mine]) is mine


def test_rows_that_were_fitted_to_are_refused_by_name() -> None:
    trace = make_trace(10, split="validation")
    mine = of_validation(trace, np.array([1, 4, 7]))
    fitted = dict.fromkeys(trace.guids[4:8], "validation split")
    with pytest.raises(DataError, match=r"2 of 3 calibration rows were fitted to.*validation"):
        refuse_fitted(mine, fitted)
    refuse_fitted(mine, dict.fromkeys(trace.guids[8:], "validation split"))
