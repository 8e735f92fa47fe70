"""Whom to ask for an input, and what that costs."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from dimec.base.errors import ConfigError, TierError
from dimec.mobile import course
from dimec.mobile.course import Course, Tariff, fallback_order
from dimec.policies.step import Answer, Go, Signal, Step, Visit, Walk
from dimec.tiers.deployment import Deployment
from dimec.tiers.tier import Tier

PAPER = Deployment.paper((2, 3, 6))
ROW = np.array([0.25, 0.75], np.float32)


def to(route: str, fallback: course.Fallback = "accuracy") -> Course:
    """The course of an input that a router sends to a tier."""
    tier = PAPER.names.index(route)
    walk = Walk(Signal(np.zeros(4), 9))
    return Course(walk, Go(tier, PAPER.exits[tier]), fallback_order(tier, fallback, PAPER), PAPER)


def late(tier: str) -> TierError:
    return TierError(tier, "timeout", "late", sent=True)


def answering(walk: Walk) -> Answer:
    return Answer()


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
    way = to(route, fallback)
    for number, tier in enumerate(order):
        assert way.tier == tier
        assert way.layer == PAPER.exits[PAPER.names.index(tier)]
        assert way.tried == order[:number]
        if number < len(order) - 1:
            way.failed(late(tier))
    way.see(ROW, answering)
    assert way.answer is not None
    assert PAPER.names[way.answer.tier] == order[-1]
    assert [PAPER.names[visit.tier] for visit in way.path] == [order[-1]]


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
    found = fallback_order(tiers.names.index(route), fallback, tiers)
    assert tuple(tiers.names[k] for k in found) == order


def test_the_reason_names_each_tier_and_its_failure() -> None:
    way = to("cloud")
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
    ("answered_by", "failures", "cost"),
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
    answered_by: str, failures: list[tuple[str, bool]], cost: float
) -> None:
    tariff = Tariff(PAPER)
    errors = [TierError(tier, "timeout", "late", sent) for tier, sent in failures]
    tier = PAPER.names.index(answered_by)
    assert tariff.cost([Visit(tier, 0, PAPER.exits[tier])], errors) == cost


def test_a_way_over_three_tiers_costs_all_of_it() -> None:
    """λ_m·2, then o_e + λ_e·3 from the first layer, then o_c + γ."""
    tariff = Tariff(PAPER)
    way = [Visit(0, 0, 2), Visit(1, 0, 3, "text"), Visit(2, 0, 6, "text")]
    assert tariff.cost(way, []) == 3 + 5.5 + 9
    assert tariff.cost([Visit(0, 0, 1)], []) == 1.5
    assert tariff.cost(way[:1], [late("edge")]) == 3 + 2.5


class TestAPolicyThatLooksAgain:
    """Layers 1 and 2 of the device, then the edge, then the cloud."""

    def course(self) -> Course:
        order = fallback_order(0, "accuracy", PAPER)
        return Course(Walk(Signal(np.zeros(4), 9)), Go(0, 1), order, PAPER)

    def escalate(self, walk: Walk) -> Step:
        steps: list[Step] = [Go(0, 2), Go(1, 3), Go(2, 6), Answer()]
        return steps[len(walk.looks) - 1]

    def test_goes_as_it_says(self) -> None:
        way = self.course()
        asked = []
        while way.answer is None:
            asked.append((way.tier, way.layer))
            way.see(ROW, self.escalate)
        assert asked == [("mobile", 1), ("mobile", 2), ("edge", 3), ("cloud", 6)]
        assert way.path == (Visit(0, 0, 2), Visit(1, 0, 3, "text"), Visit(2, 0, 6, "text"))
        assert (way.answer.tier, way.answer.layer, way.tried) == (2, 6, ())

    @pytest.mark.parametrize(("tiers", "answered"), [(("mobile",), (0, 2)), (("edge",), (1, 3))])
    def test_falls_back_on_what_was_said_last(
        self, tiers: tuple[str], answered: tuple[int, int]
    ) -> None:
        way = self.course()
        while way.tier in ("mobile", *tiers):
            way.see(ROW, self.escalate)
        lost = way.tier
        way.failed(late(lost))
        assert way.answer is not None
        assert (way.answer.tier, way.answer.layer) == answered
        assert (way.tried, way.reason) == ((lost,), f"{lost}: timeout")
        assert [visit.tier for visit in way.path] == list(range(answered[0] + 1))

    def test_is_not_asked_about_an_answer_that_stood_in(self) -> None:
        """It wanted the edge to begin with; the cloud stands in, and nobody looks again."""
        order = fallback_order(1, "accuracy", PAPER)
        way = Course(Walk(Signal(np.zeros(4), 9)), Go(1, 3), order, PAPER)
        way.failed(late("edge"))
        way.see(ROW, self.never)
        assert way.answer is not None
        assert way.path == (Visit(2, 0, 6, "text"),)
        assert way.walk.looks == []

    def never(self, walk: Walk) -> Step:
        raise AssertionError("asked")

    @pytest.mark.parametrize(
        ("step", "words"),
        [(Answer(1), "1 exits were seen"), (Go(0, 1), "leads on"), (Go(3, 6), "tiers 0 to 2")],
    )
    def test_may_not_say_what_cannot_be(self, step: Step, words: str) -> None:
        with pytest.raises(ConfigError, match=words):
            self.course().see(ROW, lambda walk: step)


def test_the_examples_hold() -> None:
    failed, tried = doctest.testmod(course)
    assert tried > 0
    assert failed == 0
