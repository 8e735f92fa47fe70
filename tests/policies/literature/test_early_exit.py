"""The exits in turn, and what leaving early in the cloud costs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dimec.base.errors import ConfigError
from dimec.policies.literature.early_exit import (
    CONFIDENCE_THRESHOLDS,
    cloud_exit_outcome,
    exits_in_use,
    first_exit,
)
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from support.builders import make_trace


@given(hnp.arrays(np.bool_, st.tuples(st.integers(0, 9), st.integers(1, 6))))
def test_the_first_exit_that_is_satisfied(satisfied: np.ndarray) -> None:
    before = satisfied.copy()
    expected = [row.index(True) if any(row) else len(row) - 1 for row in satisfied.tolist()]
    assert first_exit(satisfied).tolist() == expected
    assert np.array_equal(satisfied, before)


def test_thresholds_of_confidence_ascend_from_one_half() -> None:
    assert [*(k / 100 for k in range(50, 100, 5)), 0.99] == list(CONFIDENCE_THRESHOLDS)


def test_exits_behind_the_last_layer_of_the_deployment_are_not_in_use() -> None:
    trace = make_trace(exits=(2, 4, 6, 8), tiers=(2, 4, 8))
    for tiers, used in (((2, 4, 8), 4), ((2, 4, 6), 3), ((2, 2, 2), 1)):
        found = exits_in_use(trace, Deployment.paper(tiers))
        assert found.tolist() == list(range(used))
    with pytest.raises(ConfigError, match="layer 5"):
        exits_in_use(trace, Deployment.paper((2, 5, 6)))


def test_leaving_early_in_the_cloud_costs_a_share_of_the_charge() -> None:
    """Layers 2, 4 and 6 of 6 at o_c = 3 and γ = 12: 3 + 4, 3 + 8, 3 + 12."""
    trace = make_trace(3, lengths=np.array([1, 10, 7]))
    deployment = Deployment.paper((2, 4, 6), CostModel(offload_cloud=3, cloud_charge=12))
    outcome = cloud_exit_outcome(trace, deployment, np.array([0, 1, 2]))
    assert deployment.price(outcome.usage).tolist() == [7, 11, 15]
    assert outcome.answers.tolist() == np.eye(3).tolist()
    assert outcome.tiers.tolist() == [[0, 0, 1]] * 3
    assert outcome.usage.layers[:, 2].tolist() == [2, 4, 6]
    assert outcome.usage.bytes[:, 2].tolist() == [4, 40, 28]  # the text's tokens, 4 bytes each
    assert not outcome.usage.layers[:, 0].any()
