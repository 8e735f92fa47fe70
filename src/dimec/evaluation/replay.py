"""Replay policies on a trace: what each answered, which tier did, and what that cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray
from dimec.base.errors import ConfigError, DataError
from dimec.evaluation.bootstrap import column_means
from dimec.policies import OraclePolicy, Policy, RandomPolicy, RouterPolicy
from dimec.routing import Router, SingleTierRouter
from dimec.tiers.deployment import Deployment
from dimec.tiers.names import TIER_NAMES
from dimec.tiers.usage import Usage
from dimec.traces.trace import Trace

REFERENCE = "all-cloud"  # of the paper's tiers; see reference_name


@dataclass(frozen=True, eq=False)
class Replay:
    """What a policy did on a trace, in the terms that the ledger needs.

    Replays on traces of different models stand in one ledger as long as the samples are the same.

    Attributes:
        policy: its name.
        labels: (N,) right labels of the samples.
        votes: (N, C) probability that the answer was each class.
        tiers: (N, K) probability that each tier answered: mobile, edge and cloud.
        cost: (N,) in units of λ.
        usage: what the answers took.
        names: of the K tiers; the paper's by default.
    """

    policy: str
    labels: npt.NDArray[np.int64]
    votes: FloatArray
    tiers: FloatArray
    cost: FloatArray
    usage: Usage
    names: tuple[str, ...] = TIER_NAMES

    @property
    def right(self) -> FloatArray:
        """(N,) probability that the answer was right."""
        return self.votes[np.arange(len(self.labels)), self.labels]


def replay(policy: Policy, trace: Trace, deployment: Deployment) -> Replay:
    """Let a policy replay a trace, and see what it answered and what that cost."""
    outcome = policy.replay(trace, deployment)
    classes, predictions = len(trace.label_names), trace.predictions
    votes = np.zeros((len(trace), classes))
    for column in range(len(trace.exits)):
        votes[np.arange(len(trace)), predictions[:, column]] += outcome.answers[:, column]
    price = deployment.price(outcome.usage)
    names = deployment.names
    return Replay(policy.name, trace.labels, votes, outcome.tiers, price, outcome.usage, names)


def standard_policies(
    routers: Mapping[str, Router], tiers: Sequence[str] = TIER_NAMES
) -> list[Policy]:
    """The rows of every report, but for the matched random ones that :func:`replay_all` adds.

    all-NAME for each tier (all-mobile, all-edge, all-cloud), uniform random, each router, and the
    oracle.
    """
    singles = [RouterPolicy(f"all-{name}", SingleTierRouter(k)) for k, name in enumerate(tiers)]
    routed = [RouterPolicy(name, router) for name, router in routers.items()]
    return [*singles, RandomPolicy("random"), *routed, OraclePolicy()]


def replay_all(
    trace: Trace,
    policies: Iterable[Policy],
    deployment: Deployment,
    *,
    matched: Sequence[str] | None = None,
    own: Mapping[str, Trace] = MappingProxyType({}),
) -> list[Replay]:
    """Every policy's replay, and behind some of them random routing with the same tier shares.

    Args and errors: as :func:`dimec.evaluation.evaluate.evaluate`; and ``own``, by a policy's name
    the trace of the same samples that it replays in place of the others'.
    """
    if len(trace) == 0:
        raise DataError("cannot evaluate on a trace without samples")
    replays: dict[str, Replay] = {}
    for policy in policies:
        if policy.name in replays:
            raise ConfigError(f"two policies are named {policy.name!r}; names must differ")
        replays[policy.name] = one = replay(policy, own.get(policy.name, trace), deployment)
        if _wants_match(policy, matched):
            shares = column_means(one.tiers)
            twin = RandomPolicy(matched_name(policy.name), shares.tolist())
            replays[twin.name] = replay(twin, trace, deployment)
    if unknown := set(matched or ()) - replays.keys():
        raise ConfigError(f"no policy is named {sorted(unknown)[0]!r}, which was to be matched")
    return list(replays.values())


def reference_replay(trace: Trace, deployment: Deployment) -> Replay:
    """Everything to the last tier: what drops and reductions are against."""
    router = SingleTierRouter(deployment.last)
    return replay(RouterPolicy(reference_name(deployment), router), trace, deployment)


def reference_name(deployment: Deployment) -> str:
    """``all-cloud`` where the last tier is the cloud."""
    return f"all-{deployment.names[-1]}"


def matched_name(policy: str) -> str:
    """Name of the row of random routing with the same tier shares as ``policy``."""
    return f"random@{policy}"


def _wants_match(policy: Policy, matched: Sequence[str] | None) -> bool:
    if matched is not None:
        return policy.name in matched
    return isinstance(policy, RouterPolicy) and not isinstance(policy.router, SingleTierRouter)
