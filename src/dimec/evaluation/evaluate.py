"""Replay policies on a trace and draw up the ledger: accuracy, cost, shares, intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray
from dimec.base.errors import ConfigError, DataError, MismatchError, option
from dimec.base.metrics import confusion_matrix, score
from dimec.evaluation.ledger import Ledger, LedgerRow
from dimec.policies import OraclePolicy, Policy, RandomPolicy, RouterPolicy
from dimec.routing import Router, SingleTierRouter
from dimec.tiers.costs import CLOUD, EDGE, MOBILE, TIER_NAMES
from dimec.tiers.deployment import Deployment
from dimec.tiers.usage import Usage
from dimec.traces.trace import Trace

REFERENCE = "all-cloud"
LEVEL = 0.95
_CHUNK_CELLS = 8_000_000  # of a block of bootstrap counts (64 MB)


@dataclass(frozen=True, eq=False)
class Replay:
    """What a policy did on a trace, in the terms that the ledger needs.

    Replays on traces of different models stand in one ledger as long as the samples are the same.

    Attributes:
        policy: its name.
        labels: (N,) right labels of the samples.
        votes: (N, C) probability that the answer was each class.
        tiers: (N, 3) probability that mobile, edge or cloud answered.
        cost: (N,) in units of λ.
        usage: what the answers took.
    """

    policy: str
    labels: npt.NDArray[np.int64]
    votes: FloatArray
    tiers: FloatArray
    cost: FloatArray
    usage: Usage

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
    return Replay(policy.name, trace.labels, votes, outcome.tiers, price, outcome.usage)


def standard_policies(routers: Mapping[str, Router]) -> list[Policy]:
    """The rows of every report, but for the matched random ones that :func:`evaluate` adds.

    all-mobile, all-edge, all-cloud, uniform random, each router, and the oracle.
    """
    singles = [
        RouterPolicy(f"all-{name}", SingleTierRouter(k)) for k, name in enumerate(TIER_NAMES)
    ]
    routed = [RouterPolicy(name, router) for name, router in routers.items()]
    return [*singles, RandomPolicy("random"), *routed, OraclePolicy()]


def evaluate(
    trace: Trace,
    policies: Iterable[Policy],
    deployment: Deployment,
    *,
    draws: int = 1000,
    seed: int = 0,
    matched: Sequence[str] | None = None,
    context: Mapping[str, Any] | None = None,
) -> Ledger:
    """Replay every policy on the same trace and account for accuracy and cost.

    Drops and reductions are against sending every sample to the last tier, the cloud. Their
    intervals are paired percentile bootstrap intervals at 95 %: samples are drawn with
    replacement, the same ones for every policy.

    Args:
        trace: of N ≥ 1 samples, usually the test split.
        policies: in the order of the rows.
        deployment: exits of the three tiers, and the cost structure.
        draws: of the bootstrap; at least 1.
        seed: of the bootstrap.
        matched: names of policies that get a row ``random@NAME`` behind them: random routing with
            the same tier shares, in expectation. By default every :class:`RouterPolicy` whose
            router may choose between tiers.
        context: kept with the ledger.

    Raises:
        DataError: an empty trace, or tiers that are not three.
        ConfigError: the trace lacks a tier's exit, fewer than 1 draw, two policies of one name, or
            a name in ``matched`` that no policy has.
    """
    replays = replay_all(trace, policies, deployment, matched=matched)
    return draw_up(
        replays,
        reference_replay(trace, deployment),
        metric=trace.metric,
        draws=draws,
        seed=seed,
        context=context,
    )


def replay_all(
    trace: Trace,
    policies: Iterable[Policy],
    deployment: Deployment,
    *,
    matched: Sequence[str] | None = None,
) -> list[Replay]:
    """Every policy's replay, and behind some of them random routing with the same tier shares.

    Args and errors: as :func:`evaluate`.
    """
    if len(trace) == 0:
        raise DataError("cannot evaluate on a trace without samples")
    replays: dict[str, Replay] = {}
    for policy in policies:
        if policy.name in replays:
            raise ConfigError(f"two policies are named {policy.name!r}; names must differ")
        replays[policy.name] = one = replay(policy, trace, deployment)
        if _wants_match(policy, matched):
            shares = column_means(one.tiers)
            twin = RandomPolicy(matched_name(policy.name), shares.tolist())
            replays[twin.name] = replay(twin, trace, deployment)
    if unknown := set(matched or ()) - replays.keys():
        raise ConfigError(f"no policy is named {sorted(unknown)[0]!r}, which was to be matched")
    return list(replays.values())


def check_bootstrap(draws: int, seed: int) -> None:
    """Refuse what no bootstrap can be made with, before anything slow begins.

    Raises:
        ConfigError: fewer than 1 draw, or a negative seed.
    """
    if draws < 1:
        raise ConfigError(f"{option('draws')}: the bootstrap needs at least 1 draw, got {draws}")
    if seed < 0:
        raise ConfigError(f"{option('seed')} must be at least 0, got {seed}")


def reference_replay(trace: Trace, deployment: Deployment) -> Replay:
    """Everything to the cloud: what drops and reductions are against."""
    return replay(RouterPolicy(REFERENCE, SingleTierRouter(CLOUD)), trace, deployment)


def draw_up(
    replays: Sequence[Replay],
    reference: Replay,
    *,
    metric: str,
    draws: int = 1000,
    seed: int = 0,
    context: Mapping[str, Any] | None = None,
) -> Ledger:
    """The ledger of replays of the same samples, whatever models their traces are of.

    Args:
        replays: in the order of the rows.
        reference: what drops and reductions are against.
        metric: the task's own score.
        draws, seed: of the bootstrap.
        context: kept with the ledger.

    Raises:
        ConfigError: fewer than 1 draw, or a negative seed.
        MismatchError: the replays are not of the same samples.
    """
    check_bootstrap(draws, seed)
    for one in replays:
        if not np.array_equal(one.labels, reference.labels):
            raise MismatchError(
                f"{one.policy} was replayed on other samples than {reference.policy}; "
                "replay both on traces of the same split"
            )
    rows = _rows(replays, reference, metric, draws, seed)
    return Ledger(rows, metric, dict(context or {}))


def matched_name(policy: str) -> str:
    """Name of the row of random routing with the same tier shares as ``policy``."""
    return f"random@{policy}"


def _wants_match(policy: Policy, matched: Sequence[str] | None) -> bool:
    if matched is not None:
        return policy.name in matched
    return isinstance(policy, RouterPolicy) and not isinstance(policy.router, SingleTierRouter)


def _rows(
    replays: Sequence[Replay], reference: Replay, metric: str, draws: int, seed: int
) -> tuple[LedgerRow, ...]:
    everyone = [reference, *replays]
    right = np.stack([one.right for one in everyone], axis=1)
    cost = np.stack([one.cost for one in everyone], axis=1)
    mean_right, mean_cost = column_means(right), column_means(cost)
    drawn = bootstrap_means(np.concatenate([right, cost], axis=1), draws, seed)
    drawn_right, drawn_cost = np.split(drawn, 2, axis=1)
    reductions, drawn_reductions = _reduction(mean_cost), _reduction(drawn_cost)
    names = ["", *(one.policy for one in replays)]
    rows = []
    for k, one in enumerate(replays, start=1):
        drop_low, drop_high = _interval(drawn_right[:, 0] - drawn_right[:, k])
        reduction_low, reduction_high = _interval(drawn_reductions[:, k])
        shares = column_means(one.tiers)
        values = {
            "accuracy": mean_right[k],
            "metric": score(metric, _confusion(one)),
            "drop": mean_right[0] - mean_right[k],
            "drop_low": drop_low,
            "drop_high": drop_high,
            "cost": mean_cost[k],
            "reduction": reductions[k],
            "reduction_low": reduction_low,
            "reduction_high": reduction_high,
            "share_mobile": shares[MOBILE],
            "share_edge": shares[EDGE],
            "share_cloud": shares[CLOUD],
        }
        if matched_name(one.policy) in names:
            twin = names.index(matched_name(one.policy))
            values["gain"] = mean_right[k] - mean_right[twin]
            low, high = _interval(drawn_right[:, k] - drawn_right[:, twin])
            values |= {"gain_low": low, "gain_high": high}
        rows.append(LedgerRow(policy=one.policy, **{key: float(v) for key, v in values.items()}))
    return tuple(rows)


def _confusion(one: Replay) -> FloatArray:
    """(C, C) expected counts of (label, answer) pairs."""
    classes = one.votes.shape[1]
    everything = np.broadcast_to(np.arange(classes), one.votes.shape)
    return confusion_matrix(one.labels, everything, classes, one.votes)


def column_means(values: FloatArray) -> FloatArray:
    """(V,) means over N rows, summed pairwise along each column: the error hardly grows with N."""
    means: FloatArray = np.ascontiguousarray(values.T).mean(axis=1)
    return means


def _reduction(mean_cost: FloatArray) -> FloatArray:
    """1 - cost / cost of the reference, which stands first on the last axis.

    Where the reference costs nothing there is nothing to save: 0.
    """
    reference = mean_cost[..., :1]
    ratio = np.divide(mean_cost, reference, out=np.ones_like(mean_cost), where=reference > 0)
    return 1 - ratio


def _interval(drawn: FloatArray) -> tuple[float, float]:
    """Low and high end of the percentile interval of bootstrap draws."""
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    return low, high


def bootstrap_means(values: FloatArray, draws: int, seed: int) -> FloatArray:
    """(draws, V) means of ``values`` (N, V) over N rows drawn with replacement.

    Rows that are equal are drawn as one: how often each *different* row occurs in a bootstrap
    sample is multinomial, so the result has exactly the distribution of drawing row by row. Few
    rows of a ledger differ (a sample is right or wrong at three tiers, and goes to one of them),
    which makes 1,000 draws from 100,000 samples a matter of milliseconds.
    """
    n = len(values)
    different, counts = np.unique(values, axis=0, return_counts=True)
    rng = np.random.default_rng(seed)
    block = max(1, _CHUNK_CELLS // len(different))
    means = np.empty((draws, values.shape[1]))
    for start in range(0, draws, block):
        size = min(block, draws - start)
        occurrences = rng.multinomial(n, counts / n, size=size)
        means[start : start + size] = occurrences @ different / n
    return means
