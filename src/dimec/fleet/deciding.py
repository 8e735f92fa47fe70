"""Where every input of a fleet goes: the policies' own replays, gathered or mobile by mobile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dimec.base.arrays import FloatArray, IntArray
from dimec.base.progress import Progress
from dimec.fleet.centres import Centres, route
from dimec.fleet.courses import Courses, courses_of, tier_courses
from dimec.fleet.sharing import Exchange, Weight, route_sharing
from dimec.fleet.worlds import World, without_learning
from dimec.policies.base import Policy
from dimec.policies.routed import RouterPolicy
from dimec.routing import CentroidRouter


@dataclass(frozen=True, eq=False)
class Inputs:
    """N inputs of one world, in order of arrival: seconds, mobiles, and rows of its trace."""

    times: FloatArray
    mobiles: IntArray
    rows: IntArray


def decide(world: World, inputs: Inputs, mobiles: int, progress: Progress) -> Courses:
    """The course of each input.

    What does not learn does the same with a text on every mobile, so each text is replayed once.
    The adaptive router of centres learns on all mobiles at once (:mod:`dimec.fleet.centres`).
    Whatever else learns is replayed for each mobile, with the texts that it has, by its own
    replay, which the battery holds equal to its steps.
    """
    if not world.policy.learns_online:
        return fixed_courses(world).take(inputs.rows)
    router = adaptive_router(world.policy)
    if router is not None:
        centres = Centres.alike(router.sums, router.counts, mobiles)
        tiers = route(centres, world.ground.trace.embeddings, inputs.mobiles, inputs.rows)
        return routed_courses(world, tiers, inputs.rows)
    return _driven(world, inputs, progress)


def adaptive_router(policy: Policy) -> CentroidRouter | None:
    """The router of centres behind a policy that learns; None behind any other."""
    router = policy.router if isinstance(policy, RouterPolicy) else None
    return router if isinstance(router, CentroidRouter) and router.adaptive else None


def fixed_courses(world: World) -> Courses:
    """The course of each text, for a policy that does not learn."""
    ground = world.ground
    return courses_of(world.policy.replay(ground.trace, ground.deployment), ground)


def routed_courses(world: World, tiers: IntArray, rows: IntArray) -> Courses:
    """The courses of texts that a router sends to these tiers.

    Args:
        world: whose tiers they are.
        tiers: (N,) chosen.
        rows: (N,) which text it is.
    """
    each = [tier_courses(world.ground, k) for k in range(len(world.ground.deployment))]
    size = len(world.ground.trace)
    return Courses.joined(each).take(tiers * size + rows)


@dataclass(frozen=True)
class Share:
    """How mobiles share: moments of the rounds, who misses them, and how they weigh."""

    rounds: FloatArray
    dropout: float
    weight: Weight


def decide_sharing(
    world: World, inputs: Inputs, mobiles: int, share: Share, rng: np.random.Generator
) -> tuple[IntArray, Exchange]:
    """(N,) tiers of an adaptive router whose mobiles share, and the pools at the end."""
    router = adaptive_router(world.policy)
    assert router is not None  # the caller asks for such policies only
    exchange = Exchange(router.sums, router.counts, mobiles, share.weight)
    tiers = route_sharing(
        exchange,
        world.ground.trace.embeddings,
        inputs.times,
        inputs.mobiles,
        inputs.rows,
        share.rounds,
        share.dropout,
        rng,
    )
    return tiers, exchange


def fixed_tiers(world: World, inputs: Inputs) -> IntArray:
    """(N,) tiers of the same router, were it not to learn."""
    policy = without_learning(world).policy
    assert isinstance(policy, RouterPolicy)
    tiers: IntArray = policy.router.route(world.ground.trace.embeddings)
    return tiers[inputs.rows]


def _driven(world: World, inputs: Inputs, progress: Progress) -> Courses:
    """Mobile by mobile, each from the fitted policy on."""
    order = np.argsort(inputs.mobiles, kind="stable")
    owners = inputs.mobiles[order]
    groups = np.split(order, np.flatnonzero(np.diff(owners)) + 1) if len(order) else []
    parts = []
    progress.start(f"{world.policy.name} learns on each mobile", len(groups))
    for group in groups:
        ground = world.ground.taken(inputs.rows[group])
        outcome = world.policy.replay(ground.trace, ground.deployment)
        parts.append(courses_of(outcome, ground))
        progress.advance(1)
    progress.end()
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    if not parts:
        return fixed_courses(without_learning(world)).take(inputs.rows)
    return Courses.joined(parts).take(back)
