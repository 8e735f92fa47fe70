"""Rows over several seeds: means, and intervals by resampling every seed's test samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dimec.base.arrays import FloatArray
from dimec.base.errors import MismatchError
from dimec.base.metrics import METRICS
from dimec.evaluation.bootstrap import LEVEL, bootstrap_means
from dimec.evaluation.replay import Replay


@dataclass(frozen=True, eq=False)
class SeedReplays:
    """What all policies did on one seed's test split, on the same samples and in the same order.

    Attributes:
        seed: of the runs, and of the bootstrap.
        reference: what drops and reductions are against.
        replays: one a policy.
    """

    seed: int
    reference: Replay
    replays: Sequence[Replay]


def summarise(seeds: Sequence[SeedReplays], metric: str, draws: int) -> list[dict[str, Any]]:
    """One row a policy: means over the seeds, with 95 % intervals and deviations over the seeds.

    ``low`` and ``high`` are percentile bootstrap intervals of the mean over these seeds: in every
    draw each seed's test samples are drawn anew, the same ones for all policies. They tell how
    exact a figure is for these trained models; ``sd``, the standard deviation over the seeds (None
    with one seed), tells how much training, initialisation and split change it.

    Args:
        seeds: with the same policies in the same order.
        metric: the task's own score.
        draws: of the bootstrap.

    Raises:
        MismatchError: the seeds differ in their policies.
    """
    names = [one.policy for one in seeds[0].replays]
    if any([one.policy for one in seed.replays] != names for seed in seeds):
        raise MismatchError("the seeds do not have the same policies in the same order")
    tables = [_figures(seed, metric, draws) for seed in seeds]
    rows = []
    for k, name in enumerate(names):
        row: dict[str, Any] = {"policy": name}
        for figure in ("accuracy", "metric", "drop", "reduction", "cost"):
            row[figure] = _over_seeds([table[figure] for table in tables], k)
        row["gain"] = None
        if f"random@{name}" in names:
            twin = names.index(f"random@{name}")
            differences = [
                (table["accuracy"][0][[k]] - table["accuracy"][0][[twin]],
                 table["accuracy"][1][:, [k]] - table["accuracy"][1][:, [twin]])
                for table in tables
            ]  # fmt: skip
            row["gain"] = _over_seeds(differences, 0)
        shares = np.mean([seed.replays[k].tiers.mean(axis=0) for seed in seeds], axis=0)
        row["shares"] = [float(share) for share in shares]
        rows.append(row)
    return rows


def _figures(
    seed: SeedReplays, metric: str, draws: int
) -> Mapping[str, tuple[FloatArray, FloatArray]]:
    """Each figure of all P policies: (P,) as it is, and (draws, P) as the bootstrap draws it."""
    everyone = [seed.reference, *seed.replays]
    cells = np.concatenate([_cells(one) for one in everyone], axis=1)
    costs = np.stack([one.cost for one in everyone], axis=1)
    columns = np.concatenate([cells, costs], axis=1)
    drawn = bootstrap_means(columns, draws, seed.seed)
    both = np.concatenate([columns.mean(axis=0, keepdims=True), drawn])
    classes = seed.reference.votes.shape[1]
    confusion = both[:, : cells.shape[1]].reshape(len(both), len(everyone), classes, classes)
    accuracy = np.trace(confusion, axis1=2, axis2=3)
    cost = both[:, cells.shape[1] :]
    reference = np.maximum(cost[:, :1], np.finfo(float).tiny)
    score = np.vectorize(METRICS[metric], signature="(c,c)->()")(confusion)
    figures = {
        "accuracy": accuracy,
        "metric": score,
        "drop": accuracy[:, :1] - accuracy,
        "reduction": 1 - cost / reference,
        "cost": cost,
    }
    return {name: (table[0, 1:], table[1:, 1:]) for name, table in figures.items()}


def _cells(one: Replay) -> FloatArray:
    """(N, C²) each sample's share in every cell of the confusion matrix."""
    n, classes = one.votes.shape
    cells = np.zeros((n, classes, classes))
    cells[np.arange(n), one.labels] = one.votes
    return cells.reshape(n, classes * classes)


def _over_seeds(tables: Sequence[tuple[FloatArray, FloatArray]], k: int) -> dict[str, float | None]:
    values = [float(point[k]) for point, _ in tables]
    drawn = np.mean([draws[:, k] for _, draws in tables], axis=0)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "low": float(low), "high": float(high), "sd": sd}
