"""Whom to ask for an input, and what that costs."""

from __future__ import annotations

import doctest

import pytest

from dimec.base.errors import ConfigError, TierError
from dimec.mobile import course
from dimec.mobile.course import Course, Tariff, fallback_order
from dimec.tiers.deployment import Deployment
from dimec.tiers.tier import Tier

PAPER = Deployment.paper((2, 3, 6))


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
    assert fallback_order(PAPER.names.index(route), fallback, PAPER) == order
    way = Course(order)
    for number, tier in enumerate(order):
        assert way.tier == tier
        assert way.tried == order[:number]
        way.failed(TierError(tier, "timeout", "late", sent=True))


@pytest.mark.parametrize(
    ("route", "fallback", "order"),
    [
        ("phone", "accuracy", ("phone",)),
        ("gateway", "accuracy", ("gateway", "dc", "box", "phone")),
        ("box", "accuracy", ("box", "dc", "gateway", "phone")),
        ("dc", "accuracy", ("dc", "box", "gateway", "phone")),
        ("phone", "cost", ("phone",)),
        ("gateway", "cost", ("gateway", "dc", "phone")),
        ("box", "cost", ("box", "gateway", "dc", "phone")),
        ("dc", "cost", ("dc", "phone")),
    ],
)
def test_the_order_of_tiers_of_any_number_and_price(
    route: str, fallback: course.Fallback, order: tuple[str, ...]
) -> None:
    """A gateway at 4, a box at 6, and a last tier that is cheaper than both."""
    tiers = Deployment(
        (
            Tier("phone", 1, layer_price=1.0),
            Tier("gateway", 2, layer_price=1.5, send_price=1.0),
            Tier("box", 3, layer_price=1.0, send_price=3.0),
            Tier("dc", 6, send_price=1.0, visit_price=2.0),
        )
    )
    assert fallback_order(tiers.names.index(route), fallback, tiers) == order


def test_the_reason_names_each_tier_and_its_failure() -> None:
    way = Course(fallback_order(2, "accuracy", PAPER))
    assert way.reason is None
    way.failed(TierError("cloud", "circuit open", "left alone", sent=False))
    assert way.reason == "cloud: circuit open"
    way.failed(TierError("edge", "unreachable", "refused", sent=False))
    assert way.reason == "cloud: circuit open; edge: unreachable"
    assert way.tier == "mobile"


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ConfigError, match="accuracy, cost, got 'speed'"):
        fallback_order(1, "speed", PAPER)  # type: ignore[arg-type]


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
    tariff = Tariff(PAPER)
    errors = [TierError(tier, "timeout", "late", sent) for tier, sent in failures]
    assert tariff.cost(served_by, errors) == cost
    assert tariff.last.price == 9


def test_the_examples_hold() -> None:
    failed, tried = doctest.testmod(course)
    assert tried > 0
    assert failed == 0
