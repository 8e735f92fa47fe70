"""What the bandit systems share: the UCB index, which exits are arms, and μ = λ when fitted.

A bandit plays one of K arms for each sample, sees that arm's reward, and learns. UCB plays each
arm once and from then on the arm of the highest

    mean reward + c·sqrt(ln(t + 1) / N),

with t samples seen before this one and N rewards of that arm seen so far (Auer, Cesa-Bianchi and
Fischer, "Finite-time analysis of the multiarmed bandit problem", Machine Learning 47, 2002). Equal
indices go to the first arm. A trace holds every exit's confidence, so the rewards of all arms are
computed at once for all samples, and only the choice itself goes sample by sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray, IntArray
from dimec.base.errors import ConfigError
from dimec.policies.base import Policy, require_one_model
from dimec.policies.registry import FitInputs, Fitted, System
from dimec.tiers.deployment import Deployment
from dimec.tiers.paths import leg, usage_of
from dimec.traces.trace import Trace

Observed = Callable[[int, int], Iterable[int]]


def ucb_choices(
    rewards: npt.NDArray[np.floating],
    c: float,
    *,
    opening: Sequence[int] | None = None,
    offsets: Sequence[float] | None = None,
    observed: Observed | None = None,
) -> IntArray:
    """The arms that UCB plays on N samples in order of arrival.

    Args:
        rewards: (N, K) what each arm earns on each sample, played or not.
        c: weight of the exploration term.
        opening: arms of the first samples, before any index is computed; afterwards every arm must
            have been observed. By default each arm once, in order.
        offsets: K numbers that are known without playing, added to the arms' mean rewards.
        observed: given a sample and the arm played on it, the arms whose rewards on that sample
            are learnt from. By default the arm played, alone.

    Returns:
        (N,) arms.
    """
    arms = rewards.shape[1]
    first = list(range(arms) if opening is None else opening)
    known = [0.0] * arms if offsets is None else list(offsets)
    totals, counts, values = [0.0] * arms, [0] * arms, [0.0] * arms
    chosen: list[int] = []
    for t, row in enumerate(rewards.tolist()):
        arm = first[t] if t < len(first) else best_arm(values, counts, c, t)
        chosen.append(arm)
        for k in (arm,) if observed is None else observed(t, arm):
            totals[k] += row[k]
            counts[k] += 1
            values[k] = totals[k] / counts[k] + known[k]
    return np.array(chosen, np.int64)


def best_arm(values: Sequence[float], counts: Sequence[int], c: float, t: int) -> int:
    """The first of the arms whose index is the highest.

    Args:
        values: K mean rewards, with what is known beside.
        counts: K numbers of rewards seen, each of at least 1.
        c: weight of the exploration term.
        t: samples seen before.
    """
    log = math.log(t + 1)
    indices = [
        value + c * math.sqrt(log / count) for value, count in zip(values, counts, strict=True)
    ]
    return indices.index(max(indices))


def up_to(_: int, arm: int) -> range:
    """The side observations of a network with exits: the arm played and every shallower one."""
    return range(arm + 1)


def arm_columns(trace: Trace, deployment: Deployment) -> IntArray:
    """(K,) positions of the trace's exits up to the deployed model's last layer, which is the last.

    An exit at layer 0 is no arm: the systems of the literature know none before the first layer.

    Raises:
        ConfigError: the trace has no exit at the last layer.
    """
    require_one_model(deployment, "a bandit over the exits of a model")
    last = trace.columns((deployment.layers,), deployment.sources[:1])[0]
    return trace.columns_after_layers(last)


def mobile_costs(trace: Trace, deployment: Deployment, columns: IntArray) -> FloatArray:
    """(K,) price in λ of running on the first tier up to each of these exits: λ_m·layer."""
    return layer_costs(deployment, np.asarray(trace.exits)[columns])


def layer_costs(deployment: Deployment, layers: npt.ArrayLike) -> FloatArray:
    """(K,) price in λ of running on the first tier up to each of these K layers: λ_m·layer."""
    return deployment.price(usage_of([leg(np.size(layers), 0, layers)], deployment))


def offload_cost(deployment: Deployment) -> float:
    """Price in λ of going on at the last tier, in the cloud: o_c + γ."""
    last = deployment.tiers[-1]
    return last.send_price + last.visit_price


def check_share(name: str, value: float) -> float:
    """``value`` itself if it lies in [0, 1]; ConfigError otherwise."""
    if not 0 <= value <= 1:
        raise ConfigError(f"{name} must lie between 0 and 1, got {value!r}")
    return float(value)


def check_weight(name: str, value: float) -> float:
    """``value`` itself if it is a finite number of at least 0; ConfigError otherwise."""
    if not (math.isfinite(value) and value >= 0):
        raise ConfigError(f"{name} must be a finite number of at least 0, got {value!r}")
    return float(value)


def priced_system(
    name: str,
    source: str,
    make: Callable[..., Policy],
    grid: Mapping[str, Sequence[Any]],
) -> System:
    """A system whose reward weighs costs by μ, which fitting sets to the ledger's λ.

    So the bandit trades confidence against the same cost, in the same unit, as the ledger trades
    accuracy. The other settings, ``weight`` (a multiple of μ) among them, are chosen as in
    :meth:`System.fit`.

    Args:
        name, source, grid: see :class:`System`.
        make: builds the policy; takes ``mu`` beside the grid's settings.
    """

    def fit(inputs: FitInputs) -> Fitted:
        def at_lambda(**settings: Any) -> Policy:
            return make(**{"mu": inputs.lam, **settings})

        best = System(name, source, at_lambda, grid=grid).fit(inputs)
        settings = MappingProxyType({**best.settings, "mu": best.settings.get("mu", inputs.lam)})
        return Fitted(best.policy, settings, best.reward)

    return System(name, source, make, grid=grid, fitter=fit)
