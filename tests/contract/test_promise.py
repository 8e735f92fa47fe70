"""The stored promise: what it says, and that nothing else passes for one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from dimec.base.errors import CorruptArtefactError
from dimec.contract.promise import Calibrated, Promise, promise_in

SEEN = Calibrated(
    rows=900,
    labelled=True,
    drop=0.001,
    drop_bound=0.004,
    different=0.02,
    different_bound=0.03,
    cost=4.5,
    cost_bound=4.9,
    reduction=0.5,
)
PROMISE = Promise(
    max_accuracy_drop=0.5,
    max_disagreement=None,
    max_cost=None,
    confidence=0.95,
    test="exact",
    calibration=SEEN,
    fitted_rows=800,
    source="900 rows of the validation split",
    tried=4,
    accepted=3,
)


@pytest.mark.parametrize(
    ("promise", "told"),
    [
        (PROMISE, "drop at most 0.5 points at 95 % confidence"),
        (
            replace(PROMISE, max_accuracy_drop=None, max_disagreement=1.0, confidence=0.9),
            "at most 1 % of answers differ, at 90 % confidence",
        ),
        (
            replace(PROMISE, max_accuracy_drop=None, max_cost=5.0),
            "mean cost at most 5 lambda at 95 % confidence",
        ),
    ],
)
def test_it_is_told_and_read_back(promise: Promise, told: str) -> None:
    assert promise.told() == told
    stored = json.loads(json.dumps(promise.to_json()))
    assert Promise.of_json(stored) == promise == promise_in({"contract": stored})


def test_a_policy_without_a_contract_has_none() -> None:
    assert promise_in({"model": "x"}) is None


@pytest.mark.parametrize(
    "change",
    [
        {"calibration": None},
        {"max_cost": 3.0},
        {"max_accuracy_drop": None},
        {"max_accuracy_drop": "half"},
        {"confidence": 1.0},
        {"confidence": True},
        {"more": 1},
    ],
)
def test_what_is_no_promise_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(CorruptArtefactError, match="dimec fit"):
        Promise.of_json({**PROMISE.to_json(), **change})
    with pytest.raises(CorruptArtefactError):
        Promise.of_json("no object")
