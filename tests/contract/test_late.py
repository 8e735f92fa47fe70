"""Rows of an audit come out in its order, whatever the order of their labels."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import CorruptArtefactError, DataError
from dimec.contract.late import InOrder


@given(st.lists(st.sampled_from([-1, 0, 1, None]), max_size=20), st.randoms(use_true_random=False))
def test_values_come_in_the_order_of_the_audit_and_survive_restarts(
    values: list[int | None], random: Any
) -> None:
    rows = list(range(1, len(values) + 1))
    random.shuffle(rows)
    queue, out = InOrder(), []
    for i, row in enumerate(rows):
        out += queue.settle(row, values[row - 1])
        unsettled = set(rows[i + 1 :])
        assert queue.due == min(unsettled, default=len(values) + 1)
        queue = InOrder.of_json(queue.to_json())
    assert out == [value for value in values if value is not None]
    assert queue.waiting == {}


def test_a_row_is_settled_once() -> None:
    queue = InOrder()
    assert queue.settle(2, 1) == []
    assert queue.settle(1, 0) == [0, 1]
    queue.settle(4, None)
    for row in (0, 1, 2, 4):
        with pytest.raises(DataError, match=f"row {row} of the audit"):
            queue.settle(row, 0)


@pytest.mark.parametrize(
    "state",
    [
        [],
        {"due": 1},
        {"due": 0, "waiting": []},
        {"due": "1", "waiting": []},
        {"due": 3, "waiting": [[3, 0]]},
        {"due": 1, "waiting": [["2", 0]]},
        {"due": 1, "waiting": [[2, 5]]},
        {"due": 1, "waiting": [2]},
    ],
)
def test_a_state_that_is_none_is_refused(state: Any) -> None:
    with pytest.raises(CorruptArtefactError, match="begin a new audit"):
        InOrder.of_json(json.dumps(state))
