"""Replay policies on a trace and draw up the ledger: accuracy, cost, shares, intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from dimec.base.arrays import FloatArray
from dimec.base.errors import MismatchError
from dimec.base.metrics import confusion_matrix, score
from dimec.evaluation.bootstrap import bootstrap_means, check_bootstrap, column_means, interval
from dimec.evaluation.ledger import Ledger, LedgerRow, share_key
from dimec.evaluation.replay import Replay, matched_name, reference_replay, replay_all
from dimec.policies import Policy
from dimec.tiers.deployment import Deployment
from dimec.tiers.names import TIER_NAMES
from dimec.traces.trace import Trace


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

    Drops and reductions are against sending every sample to the last tier: the cloud. Their
    intervals are paired percentile bootstrap intervals at 95 %: samples are drawn with
    replacement, the same ones for every policy.

    Args:
        trace: of N ≥ 1 samples, usually the test split.
        policies: in the order of the rows.
        deployment: the tiers and their prices.
        draws: of the bootstrap; at least 1.
        seed: of the bootstrap.
        matched: names of policies that get a row ``random@NAME`` behind them: random routing with
            the same tier shares, in expectation. By default every :class:`RouterPolicy` whose
            router may choose between tiers.
        context: kept with the ledger.

    Raises:
        DataError: an empty trace.
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
        drop_low, drop_high = interval(drawn_right[:, 0] - drawn_right[:, k])
        reduction_low, reduction_high = interval(drawn_reductions[:, k])
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
        }
        by_tier = dict(zip(one.names, shares.tolist(), strict=True))
        values |= {share_key(name): by_tier[name] for name in TIER_NAMES if name in by_tier}
        if matched_name(one.policy) in names:
            twin = names.index(matched_name(one.policy))
            values["gain"] = mean_right[k] - mean_right[twin]
            low, high = interval(drawn_right[:, k] - drawn_right[:, twin])
            values |= {"gain_low": low, "gain_high": high}
        numbers = {key: float(v) for key, v in values.items()}
        rows.append(LedgerRow(policy=one.policy, **numbers, shares=by_tier))
    return tuple(rows)


def _confusion(one: Replay) -> FloatArray:
    """(C, C) expected counts of (label, answer) pairs."""
    classes = one.votes.shape[1]
    everything = np.broadcast_to(np.arange(classes), one.votes.shape)
    return confusion_matrix(one.labels, everything, classes, one.votes)


def _reduction(mean_cost: FloatArray) -> FloatArray:
    """1 - cost / cost of the reference, which stands first on the last axis.

    Where the reference costs nothing there is nothing to save: 0.
    """
    reference = mean_cost[..., :1]
    ratio = np.divide(mean_cost, reference, out=np.ones_like(mean_cost), where=reference > 0)
    return 1 - ratio
