"""Paths, and what they take."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import DataError
from dimec.tiers.deployment import Deployment
from dimec.tiers.paths import Leg, ends_of, leg, tier_legs, usage_of

FOUR = Deployment.paper((1, 2, 3, 6), names=("phone", "gateway", "box", "dc"))


def test_a_worked_case() -> None:
    """One text stays; one goes on by way of the box to the dc, which starts from layer 3.

    λ: 1.5·1 = 1.5, and 1.5·1 + (1·3 + 2.5) + (3 + 6) = 16.
    """
    legs = [
        leg(2, 0, 1, ends=[1, 0]),
        leg(2, 2, 3, taken=[0, 1], ends=0, payload=40),
        leg(2, 3, 6, start=3, taken=[0, 1], payload=1000),
    ]
    usage = usage_of(legs, FOUR)
    assert usage.layers.tolist() == [[1, 0, 0, 0], [1, 0, 3, 3]]
    assert usage.sent.tolist() == [[0, 0, 0, 0], [0, 0, 1, 1]]
    assert usage.charges.tolist() == [[1, 0, 0, 0], [1, 0, 1, 1]]
    assert usage.bytes.tolist() == [[0, 0, 0, 0], [0, 0, 40, 1000]]
    assert ends_of(legs, 4).tolist() == [[1, 0, 0, 0], [0, 0, 0, 1]]
    assert FOUR.price(usage).tolist() == [1.5, 16.0]


def test_a_visit_that_stops_early_is_charged_its_share() -> None:
    """Half of the cloud's layers: 3 + 6/2."""
    usage = usage_of([leg(1, 2, 3)], Deployment.paper((2, 3, 6)))
    assert usage.charges.tolist() == [[0, 0, 0.5]]
    assert Deployment.paper((2, 3, 6)).price(usage).tolist() == [6.0]


def test_a_tier_that_is_visited_twice_takes_both() -> None:
    usage = usage_of([leg(1, 1, 2, ends=0, payload=8), leg(1, 1, 2, payload=8)], FOUR)
    assert (usage.layers[0, 1], usage.sent[0, 1], usage.bytes[0, 1]) == (4, 2, 16)


def test_nothing_is_sent_to_the_first_tier() -> None:
    usage = usage_of([leg(1, 0, 1, payload=8)], FOUR)
    assert not usage.sent.any()
    assert not usage.bytes.any()


def slow(legs: list[Leg], deployment: Deployment, row: int) -> list[list[float]]:
    """Layers, sendings, charges and bytes of one input, tier by tier."""
    table = [[0.0] * len(deployment) for _ in range(4)]
    for one in legs:
        tier, taken = deployment.tiers[one.tier], float(one.taken[row])
        table[0][one.tier] += taken * float(one.stop[row] - one.start[row])
        table[2][one.tier] += taken * float(one.stop[row]) / tier.layer
        if one.tier > 0:
            table[1][one.tier] += taken
            table[3][one.tier] += taken * float(one.payload[row])
    return table


@st.composite
def some_legs(draw: st.DrawFn) -> list[Leg]:
    column = st.lists(st.integers(0, 8), min_size=3, max_size=3)
    share = st.lists(st.sampled_from([0, 0.25, 1]), min_size=3, max_size=3)
    return [
        leg(
            3,
            draw(st.integers(0, 3)),
            np.add(start := draw(column), draw(column)),
            start=start,
            taken=draw(share),
            ends=draw(share),
            payload=draw(column),
        )
        for _ in range(draw(st.integers(1, 5)))
    ]


@given(some_legs())
def test_usage_agrees_with_a_loop_over_inputs(legs: list[Leg]) -> None:
    usage = usage_of(legs, FOUR)
    for row in range(3):
        got = [t[row].tolist() for t in (usage.layers, usage.sent, usage.charges, usage.bytes)]
        np.testing.assert_allclose(got, slow(legs, FOUR, row), rtol=1e-12)


def test_text_to_one_tier_costs_what_the_tier_is_priced_at() -> None:
    legs = tier_legs(FOUR, np.array([7, 7, 7, 7]), np.eye(4))
    assert FOUR.price(usage_of(legs, FOUR)).tolist() == list(FOUR.prices)


@pytest.mark.parametrize("legs", [[], [leg(1, 4, 6)], [leg(1, -1, 6)]])
def test_legs_to_tiers_that_there_are_not(legs: list[Leg]) -> None:
    with pytest.raises(DataError, match="tiers 0 to 3"):
        usage_of(legs, FOUR)
