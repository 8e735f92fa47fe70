"""Replay policies on a trace and draw up the ledger: accuracy, cost, shares, intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from dimec.costs import CLOUD, EDGE, MOBILE, TIER_NAMES, Tier
from dimec.errors import ConfigError, CorruptArtefactError, DataError
from dimec.metrics import confusion_matrix, score
from dimec.policies import OraclePolicy, Outcome, Policy, RandomPolicy, RouterPolicy
from dimec.routing import Router, SingleTierRouter
from dimec.storage import read_json, write_json
from dimec.trace import Trace

FloatArray = npt.NDArray[np.float64]

REFERENCE = "all-cloud"
LEVEL = 0.95
_CHUNK_CELLS = 8_000_000  # of a block of bootstrap counts (64 MB)


@dataclass(frozen=True)
class LedgerRow:
    """What one policy does to accuracy and cost. Fractions, not percent.

    Attributes:
        policy: its name.
        accuracy: share of right answers.
        metric: the task's own score.
        drop: accuracy of all-cloud minus this accuracy; above 0 the policy is worse.
        drop_low, drop_high: 95 % interval of ``drop``.
        cost: mean cost of an answer in units of λ.
        reduction: 1 - cost / cost of all-cloud; above 0 the policy is cheaper.
        reduction_low, reduction_high: 95 % interval of ``reduction``.
        share_mobile, share_edge, share_cloud: shares of the answers given by each tier.
        gain: accuracy minus that of ``random@POLICY``, what the router's choice of *which* samples
            go where is worth; None where there is no such row.
        gain_low, gain_high: 95 % interval of ``gain``.
    """

    policy: str
    accuracy: float
    metric: float
    drop: float
    drop_low: float
    drop_high: float
    cost: float
    reduction: float
    reduction_low: float
    reduction_high: float
    share_mobile: float
    share_edge: float
    share_cloud: float
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None


@dataclass(frozen=True)
class Ledger:
    """The rows of all policies on one trace.

    Attributes:
        rows: in the order in which the policies were given.
        metric_name: which score ``LedgerRow.metric`` is.
        context: what the figures rest on: task, exits, sizes, costs, thresholds, seeds, versions.
    """

    rows: tuple[LedgerRow, ...]
    metric_name: str
    context: Mapping[str, Any] = field(default_factory=dict)

    def row(self, policy: str) -> LedgerRow:
        """The row of that policy; ConfigError names those that there are."""
        for row in self.rows:
            if row.policy == policy:
                return row
        known = ", ".join(row.policy for row in self.rows)
        raise ConfigError(f"the ledger has no policy {policy!r}; it has {known}")

    def to_dicts(self) -> list[dict[str, Any]]:
        """One JSON object a row."""
        return [asdict(row) for row in self.rows]

    def save(self, folder: Path) -> None:
        """Write ``ledger.json`` (the rows) and ``ledger-context.json`` (what they rest on)."""
        context = {"metric_name": self.metric_name, **self.context}
        write_json(folder / "ledger-context.json", context)
        write_json(folder / "ledger.json", self.to_dicts())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            ArtefactError: missing, or not a ledger.
        """
        made_by = "dimec evaluate"
        path = folder / "ledger.json"
        rows, context = read_json(path, made_by), read_json(folder / "ledger-context.json", made_by)
        try:
            metric = str(context.pop("metric_name"))
            return cls(tuple(LedgerRow(**row) for row in rows), metric, context)
        except (TypeError, KeyError, AttributeError) as error:
            raise CorruptArtefactError(
                f"{path} is not a ledger ({error}); make it again with: {made_by}"
            ) from None


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
    tiers: Sequence[Tier],
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
        tiers: the three tiers.
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
    if len(trace) == 0:
        raise DataError("cannot evaluate on a trace without samples")
    if len(tiers) != len(TIER_NAMES):
        raise DataError(f"the ledger needs three tiers, got {len(tiers)}")
    if draws < 1:
        raise ConfigError(f"the bootstrap needs at least 1 draw, got {draws}")
    outcomes: dict[str, Outcome] = {}
    for policy in policies:
        if policy.name in outcomes:
            raise ConfigError(f"two policies are named {policy.name!r}; names must differ")
        outcome = policy.replay(trace, tiers)
        outcomes[policy.name] = outcome
        if _wants_match(policy, matched):
            shares = column_means(outcome.tiers)
            twin = RandomPolicy(matched_name(policy.name), shares.tolist())
            outcomes[twin.name] = twin.replay(trace, tiers)
    if unknown := set(matched or ()) - outcomes.keys():
        raise ConfigError(f"no policy is named {sorted(unknown)[0]!r}, which was to be matched")
    reference = RouterPolicy(REFERENCE, SingleTierRouter(CLOUD)).replay(trace, tiers)
    rows = _rows(trace, outcomes, reference, draws, seed)
    return Ledger(rows, trace.metric, dict(context or {}))


def matched_name(policy: str) -> str:
    """Name of the row of random routing with the same tier shares as ``policy``."""
    return f"random@{policy}"


def _wants_match(policy: Policy, matched: Sequence[str] | None) -> bool:
    if matched is not None:
        return policy.name in matched
    return isinstance(policy, RouterPolicy) and not isinstance(policy.router, SingleTierRouter)


def _rows(
    trace: Trace, outcomes: Mapping[str, Outcome], reference: Outcome, draws: int, seed: int
) -> tuple[LedgerRow, ...]:
    correct, predictions = trace.correct, trace.predictions
    classes = len(trace.label_names)
    everyone = [reference, *outcomes.values()]
    right = np.stack([(o.answers * correct).sum(axis=1) for o in everyone], axis=1)
    cost = np.stack([o.cost for o in everyone], axis=1)
    mean_right, mean_cost = column_means(right), column_means(cost)
    drawn = bootstrap_means(np.concatenate([right, cost], axis=1), draws, seed)
    drawn_right, drawn_cost = np.split(drawn, 2, axis=1)
    reductions, drawn_reductions = _reduction(mean_cost), _reduction(drawn_cost)
    names = ["", *outcomes]
    rows = []
    for k, (name, outcome) in enumerate(outcomes.items(), start=1):
        drop_low, drop_high = _interval(drawn_right[:, 0] - drawn_right[:, k])
        reduction_low, reduction_high = _interval(drawn_reductions[:, k])
        confusion = confusion_matrix(trace.labels, predictions, classes, outcome.answers)
        shares = column_means(outcome.tiers)
        values = {
            "accuracy": mean_right[k],
            "metric": score(trace.metric, confusion),
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
        if matched_name(name) in outcomes:
            twin = names.index(matched_name(name))
            values["gain"] = mean_right[k] - mean_right[twin]
            low, high = _interval(drawn_right[:, k] - drawn_right[:, twin])
            values |= {"gain_low": low, "gain_high": high}
        rows.append(LedgerRow(policy=name, **{key: float(v) for key, v in values.items()}))
    return tuple(rows)


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
