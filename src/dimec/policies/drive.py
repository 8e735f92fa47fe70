"""The driver: any policy's steps, sample by sample, over a trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dimec.base.arrays import FloatArray, IntArray
from dimec.base.errors import ConfigError
from dimec.policies.base import Outcome, one_hot, outcome_of
from dimec.policies.step import Answer, Go, Signal, Site, Steps, Visit, Walk
from dimec.tiers.deployment import Deployment
from dimec.tiers.paths import Leg, leg
from dimec.tiers.usage import hidden_bytes, text_bytes
from dimec.traces.trace import Trace


def site_of(trace: Trace, deployment: Deployment) -> Site:
    """The site that a trace stands for: every exit that it recorded can be seen."""
    trace.columns(deployment.exits, deployment.sources)  # each tier's own among them
    return Site(deployment, trace.exits, trace.sources)


def drive(steps: Steps, trace: Trace, deployment: Deployment) -> Outcome:
    """Replay steps on a trace, one sample after the other in order of arrival.

    Slow, and the definition of what a policy does: a vectorised replay has to agree with it.

    Args:
        steps: of a policy on :func:`site_of` this trace; what they learn stays in them.
        trace: of N samples.
        deployment: whose tiers are visited.

    Raises:
        ConfigError: a step leads back, or to an exit that the trace does not have.
    """
    walks: list[Walk] = []
    answered = np.empty(len(trace), np.int64)
    for i in range(len(trace)):
        walk, look = walked(steps, trace, deployment, i)
        walks.append(walk)
        exit_ = walk.answer(Answer(look))
        answered[i] = trace.column(exit_.layer, deployment.tiers[exit_.tier].source)
    return _outcome(walks, answered, trace, deployment)


def walked(steps: Steps, trace: Trace, deployment: Deployment, sample: int) -> tuple[Walk, int]:
    """The way of one sample of a trace, and the position of the look that answers.

    Errors: as :func:`drive`.
    """
    signal = Signal(trace.embeddings[sample], int(trace.lengths[sample]))
    walk, step = Walk(signal), steps.begin(signal)
    if isinstance(step, Answer):
        raise ConfigError("a policy cannot answer before any exit was seen")
    first = step
    if steps.learns == "deciding":
        steps.learn(walk, first)
    while isinstance(step, Go):
        walk.go(step, deployment)
        column = trace.column(step.layer, deployment.tiers[step.tier].source)
        walk.see(trace.probabilities[sample, column])
        step = steps.after(walk)
    if steps.learns == "answered":
        steps.learn(walk, first)
    return walk, step.look


def legs_of(
    visits: Sequence[Sequence[Visit]], lengths: IntArray, width: int, tiers: int
) -> list[Leg]:
    """The paths of N inputs as legs, at least one.

    Args:
        visits: of each input, in order.
        lengths: (N,) tokens of each.
        width: numbers in a token's hidden state, which may travel in the text's place.
        tiers: how many there are.
    """
    sent = {"text": text_bytes(lengths), "hidden": hidden_bytes(lengths, width)}
    legs: list[Leg] = []
    for position in range(max(map(len, visits), default=0)):
        for tier in range(tiers):
            legs += _leg(visits, position, tier, sent)
    return legs or [leg(len(visits), 0, 0.0)]  # of no inputs


def _outcome(
    walks: Sequence[Walk], answered: IntArray, trace: Trace, deployment: Deployment
) -> Outcome:
    visits = [walk.visits for walk in walks]
    legs = legs_of(visits, trace.lengths, trace.embeddings.shape[1], len(deployment))
    return outcome_of(trace, deployment, legs, one_hot(answered, len(trace.exits)))


def _leg(
    visits: Sequence[Sequence[Visit]], position: int, tier: int, sent: Mapping[str, FloatArray]
) -> list[Leg]:
    """The leg of those inputs whose visit at this position is to this tier, if there are any."""
    size = len(visits)
    made = np.zeros(size)
    start, stop, ends, payload = (np.zeros(size) for _ in range(4))
    for i, path in enumerate(visits):
        if position < len(path) and path[position].tier == tier:
            visit = path[position]
            made[i], start[i], stop[i] = 1, visit.start, visit.stop
            ends[i] = position == len(path) - 1
            payload[i] = 0.0 if visit.payload is None else sent[visit.payload][i]
    if not made.any():
        return []
    return [leg(size, tier, stop, start=start, taken=made, ends=ends, payload=payload)]
