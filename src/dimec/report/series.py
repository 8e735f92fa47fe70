"""The numbers behind every figure, as columns; the CSV files are these columns and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dimec.cartography import pool_names
from dimec.evaluation.ledger import share_key
from dimec.report.projection import MIN_POINTS, project, sample_rows
from dimec.report.style import Series
from dimec.report.wording import router_names
from dimec.tiers.names import TIER_NAMES

if TYPE_CHECKING:
    from dimec.cartography import DataMap
    from dimec.evaluation.ledger import Ledger


def data_map_series(
    data_map: DataMap, pools: NDArray[np.int64], tiers: Sequence[str] = TIER_NAMES
) -> Series:
    """One record a validation sample: its place in the data map and its pool."""
    names = pool_names(tiers)
    return Series(
        {
            "sample": list(range(len(pools))),
            "confidence": data_map.confidence.tolist(),
            "variance": data_map.variance.tolist(),
            "std": data_map.std.tolist(),
            "correctness": data_map.correctness.tolist(),
            "pool": [names[code] for code in pools],
        }
    )


def share_series(ledger: Ledger, pools: NDArray[np.int64]) -> Series:
    """The pools' shares of the validation split, and each router's shares of the test split."""
    tiers = ledger.tiers
    counts = np.bincount(pools, minlength=len(tiers))
    columns: dict[str, list[Any]] = {"of": [], "pool": [], "tier": [], "share": []}
    groups = {"pools (validation)": (counts / max(1, len(pools))).tolist()}
    for row in ledger.rows:
        if row.policy in router_names(ledger):
            groups[f"{row.policy} (test)"] = [row.shares[name] for name in tiers]
    for name, shares in groups.items():
        columns["of"] += [name] * len(tiers)
        columns["pool"] += pool_names(tiers)
        columns["tier"] += tiers
        columns["share"] += shares
    return Series(columns)


def tsne_series(
    embeddings: NDArray[np.float32],
    pools: NDArray[np.int64],
    seed: int,
    tiers: Sequence[str] = TIER_NAMES,
) -> Series:
    """Places of at most 3,000 validation samples in the plane; none where there are under 10."""
    names = pool_names(tiers)
    rows = sample_rows(len(embeddings), seed)
    if len(rows) < MIN_POINTS:
        rows = rows[:0]
    places = project(embeddings[rows], seed) if len(rows) else np.empty((0, 2))
    return Series(
        {
            "sample": rows.tolist(),
            "pool": [names[code] for code in pools[rows]],
            "x": places[:, 0].tolist(),
            "y": places[:, 1].tolist(),
        }
    )


def exit_series(
    exit_accuracy: Mapping[str, Mapping[int, float]],
    tiers: tuple[int, ...],
    names: Sequence[str] = TIER_NAMES,
    sources: Sequence[str] = (),
) -> Series:
    """Accuracy of every exit, with the tiers that stop there (``mobile+edge`` where m = n).

    Where there are several models, the column ``model`` says whose exit it is, and the exits of
    each stand together.
    """
    models = list(exit_accuracy)
    owners = sources if len(models) > 1 else models * len(tiers)
    stops = list(zip(names, owners, tiers, strict=True))
    exits = [(model, layer) for model in models for layer in sorted(exit_accuracy[model])]
    columns: dict[str, list[Any]] = {"exit": [layer for _, layer in exits]}
    if len(models) > 1:
        columns["model"] = [model for model, _ in exits]
    columns["tier"] = [
        "+".join(name for name, *stop in stops if tuple(stop) == exit_) for exit_ in exits
    ]
    columns["accuracy"] = [float(exit_accuracy[model][layer]) for model, layer in exits]
    return Series(columns)


def policy_series(ledger: Ledger) -> Series:
    """The ledger, one record a policy, with all its columns."""
    if not ledger.rows:
        return Series({"policy": []})
    absent = {share_key(name) for name in TIER_NAMES}
    columns: dict[str, list[Any]] = {}
    for name in (field.name for field in fields(ledger.rows[0])):
        if name == share_key(TIER_NAMES[0]):  # the place of the shares, whatever the tiers
            for tier in ledger.tiers:
                columns[share_key(tier)] = [row.shares.get(tier) for row in ledger.rows]
        elif name not in absent | {"shares"}:
            columns[name] = [getattr(row, name) for row in ledger.rows]
    return Series(columns)
