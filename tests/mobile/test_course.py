"""Whom to ask for an input, and what that costs."""

from __future__ import annotations

import doctest

import pytest

from dimec.base.errors import ConfigError, TierError
from dimec.mobile import course
from dimec.mobile.course import Course, Tariff, fallback_order
from dimec.tiers.deployment import Deployment


@pytest.mark.parametrize(
    ("route", "fallback", "order"),
    [
        ("mobile", "accuracy", ("mobile",)),
        ("mobile", "cost", ("mobile",)),
        ("edge", "accuracy", ("edge", "cloud", "mobile")),
        ("edge", "cost", ("edge", "mobile")),
        ("cloud", "accuracy", ("cloud", "edge", "mobile")),
        ("cloud", "cost", ("cloud", "edge", "mobile")),
    ],
)
def test_the_order_of_the_tiers(
    route: str, fallback: course.Fallback, order: tuple[str, ...]
) -> None:
    assert fallback_order(route, fallback) == order
    way = Course(route, fallback)
    for number, tier in enumerate(order):
        assert way.tier == tier
        assert way.tried == order[:number]
        way.failed(TierError(tier, "timeout", "late", sent=True))


def test_the_reason_names_each_tier_and_its_failure() -> None:
    way = Course("cloud", "accuracy")
    assert way.reason is None
    way.failed(TierError("cloud", "circuit open", "left alone", sent=False))
    assert way.reason == "cloud: circuit open"
    way.failed(TierError("edge", "unreachable", "refused", sent=False))
    assert way.reason == "cloud: circuit open; edge: unreachable"
    assert way.tier == "mobile"


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ConfigError, match="accuracy, cost, got 'speed'"):
        Course("edge", "speed")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("served_by", "failures", "cost"),
    [
        ("mobile", [], 1.5 * 2),
        ("edge", [], 3 + 2.5),
        ("cloud", [], 3 + 6),
        ("mobile", [("cloud", True), ("edge", True)], 3 + 3 + 2.5),
        ("mobile", [("cloud", False), ("edge", True)], 3 + 2.5),
        ("mobile", [("cloud", False), ("edge", False)], 3),
        ("edge", [("cloud", True)], 3 + 5.5),
        ("cloud", [("edge", True)], 2.5 + 9),
    ],
)
def test_an_answer_costs_its_tier_and_every_sending_in_vain(
    served_by: str, failures: list[tuple[str, bool]], cost: float
) -> None:
    tariff = Tariff(Deployment.paper((2, 3, 6)))
    errors = [TierError(tier, "timeout", "late", sent) for tier, sent in failures]
    assert tariff.cost(served_by, errors) == cost
    assert tariff.cloud == 9


def test_the_examples_hold() -> None:
    failed, tried = doctest.testmod(course)
    assert tried > 0
    assert failed == 0
