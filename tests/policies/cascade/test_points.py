"""Where an input can stand, and what each step from there costs."""

from __future__ import annotations

import pytest

from dimec.base.errors import ConfigError
from dimec.policies.cascade.points import points_of, seen_after
from dimec.policies.step import Go, Signal, Site, Walk
from dimec.tiers.deployment import Deployment
from dimec.tiers.paths import leg, usage_of

# λ_m = 1.5, λ_e = 1, o_e = 2.5, o_c = 3, γ = 6.
PAPER = Deployment.paper((2, 3, 6))
EDGE, CLOUD = 1.0 * 3 + 2.5, 3.0 + 6.0


def test_of_the_papers_tiers_by_hand() -> None:
    points = points_of(Site(PAPER, (1, 2, 3, 6)))
    assert [(point.seen, point.goes, point.costs) for point in points] == [
        ((), (Go(0, 1), Go(1, 3), Go(2, 6)), (1.5, EDGE, CLOUD)),
        (((0, 1),), (Go(0, 2), Go(1, 3), Go(2, 6)), (1.5, EDGE, CLOUD)),
        (((0, 1), (1, 3)), (Go(2, 6),), (CLOUD,)),
        (((0, 1), (2, 6)), (), ()),
        (((0, 1), (0, 2)), (Go(1, 3), Go(2, 6)), (EDGE, CLOUD)),
        (((0, 1), (0, 2), (1, 3)), (Go(2, 6),), (CLOUD,)),
        (((0, 1), (0, 2), (2, 6)), (), ()),
        (((1, 3),), (Go(2, 6),), (CLOUD,)),
        (((2, 6),), (), ()),
    ]


def test_an_exit_at_layer_0_is_where_every_text_begins() -> None:
    points = points_of(Site(PAPER, (0, 2, 3, 6)))
    assert points[0].seen == ((0, 0),)
    assert (points[0].goes, points[0].costs) == ((Go(0, 2), Go(1, 3), Go(2, 6)), (3, EDGE, CLOUD))
    assert all(point.seen[0] == (0, 0) for point in points)


@pytest.mark.parametrize("tiers", [(6,), (2, 6), (2, 3, 6), (1, 2, 4, 6)])
@pytest.mark.parametrize("exits", [(1, 2, 3, 4, 6), (0, 1, 2, 3, 4, 6)])
def test_the_costs_along_any_way_are_those_of_its_path(
    tiers: tuple[int, ...], exits: tuple[int, ...]
) -> None:
    """Each point comes after those that lead to it, and step by step adds up to the whole."""
    names = None if len(tiers) < 4 else ("a", "b", "c", "d")
    deployment = Deployment.paper(tiers, names=names)
    points = {point.seen: point for point in points_of(Site(deployment, exits))}
    place = {seen: number for number, seen in enumerate(points)}
    ways = 0

    def follow(seen: tuple[tuple[int, int], ...], walk: Walk, cost: float) -> None:
        nonlocal ways
        legs = [leg(1, visit.tier, visit.stop, start=visit.start) for visit in walk.visits]
        if legs:
            price = float(deployment.price(usage_of(legs, deployment))[0])
            assert cost == pytest.approx(price)
        ways += 1
        point = points[seen]
        for go, spent in zip(point.goes, point.costs, strict=True):
            further = Walk(walk.signal, list(walk.looks), list(walk.visits))
            further.go(go, deployment)
            to = seen_after(point, (go.tier, go.layer))
            assert place[to] > place[seen]
            follow(to, further, cost + spent)

    first = points_of(Site(deployment, exits))[0]
    walk = Walk(Signal(None, 9))  # type: ignore[arg-type]  # nobody looks at it
    for exit_ in first.seen:
        walk.go(Go(*exit_), deployment)
    follow(first.seen, walk, 0.0)
    assert ways >= len(points)


def test_a_first_tier_without_an_exit_is_refused() -> None:
    with pytest.raises(ConfigError, match="an exit on the first tier"):
        points_of(Site(PAPER, (3, 6)))
