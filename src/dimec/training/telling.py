"""What a tracker is told, as values by name: settings, epochs, the data map, a fit, a ledger."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dimec.cartography import DataMap, TrainingDynamics, build_pools, pool_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dimec.evaluation.ledger import Ledger
    from dimec.settings.run import RunSettings
    from dimec.training.stages import EpochRecord

Values = dict[str, float]

_NO_NAME = re.compile(r"[^\w ./-]")  # what MLflow takes in no name of a value
_TOLD = ("accuracy", "metric", "drop", "cost", "reduction")  # of a row of the ledger


def plain(settings: RunSettings) -> dict[str, Any]:
    """Settings by name, ``training.epochs``, as numbers and texts; none that is not given."""
    flat: dict[str, Any] = {}

    def add(at: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for key, one in value.items():
                add(f"{at}.{key}" if at else key, one)
        elif isinstance(value, bool | int | float | str):
            flat[at] = value
        elif value not in (None, [], ()):
            flat[at] = str(value)

    add("", settings.model_dump(mode="json"))
    return flat


def values_of(record: EpochRecord, exits: Sequence[int], metric: str) -> Values:
    """What is logged of an epoch: name → value."""
    values = {
        "loss": record.loss,
        "stage": record.stage,
        "seconds/training": record.seconds,
        "seconds/validation": record.validation_seconds,
    }
    by_exit = {"accuracy": record.accuracy, "validation_loss": record.validation_loss or ()}
    by_exit |= {metric: record.metric}
    for name, of_exits in by_exit.items():
        for layer, value in zip(exits, of_exits, strict=False):
            values[f"{name}/exit-{layer}"] = value
    return values


def values_of_map(dynamics: TrainingDynamics) -> Values:
    """The data map at each exit, as means over its N samples; nothing of a single epoch's dynamics.

    Variability is the standard deviation over the epochs, as ``dimec map select`` has it.
    """
    if dynamics.logits.shape[0] < 2:
        return {}  # there is no map
    values: Values = {}
    for layer in dynamics.exits:
        values |= _means(dynamics.data_map(layer), f"map/exit-{layer}")
    return values


def values_of_pools(
    data_map: DataMap,
    alpha: float | None,
    beta: float | Sequence[float] | None,
    tiers: Sequence[str],
) -> Values:
    """Each pool's number and share of the samples, and its mean place on the data map.

    Args:
        data_map: of N samples, at the first tier's exit.
        alpha, beta: the fitted thresholds, as :func:`dimec.cartography.build_pools` takes them.
        tiers: names; pools are called by them, or easy, medium and hard.

    Returns:
        ``pools/easy/samples`` and so on; an empty pool has no means.
    """
    pools, values = build_pools(data_map, alpha, beta), Values()
    for code, name in enumerate(pool_names(tiers)):
        rows = (pools == code).nonzero()[0]
        at = f"pools/{name}"
        values[f"{at}/samples"] = len(rows)
        values[f"{at}/share"] = len(rows) / len(pools)
        if len(rows):
            values |= _means(data_map.take(rows), at)
    return _named(values.items())


def _means(data_map: DataMap, at: str) -> Values:
    return {
        f"{at}/confidence": float(data_map.confidence.mean()),
        f"{at}/variability": float(data_map.std.mean()),
        f"{at}/correctness": float(data_map.correctness.mean()),
    }


def values_of_fit(record: Mapping[str, Any]) -> Values:
    """The numbers of ``fit.json``: λ, thresholds, reward, and what they gain on the validation
    split."""
    found = {key: value for key, value in record.items() if isinstance(value, int | float)}
    return {f"fit/{key}": float(value) for key, value in found.items() if key != "learns_online"}


def values_of_ledger(ledger: Ledger) -> Values:
    """Accuracy, score, drop, cost and reduction of each policy, ``ledger/all-edge/drop``."""
    return _named(
        (f"ledger/{row.policy}/{name}", float(getattr(row, name)))
        for row in ledger.rows
        for name in _TOLD
    )


def ledger_text(ledger: Ledger) -> str:
    """The ledger as a table in Markdown, for a tracker that keeps texts and no files."""
    heads = ("policy", "accuracy", ledger.metric_name, *_TOLD[2:], *ledger.tiers)
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for row in ledger.rows:
        values = [getattr(row, name) for name in _TOLD]
        values += [row.shares.get(tier, 0.0) for tier in ledger.tiers]
        lines.append(f"| {row.policy} | " + " | ".join(f"{value:.4f}" for value in values) + " |")
    return "\n".join(lines) + "\n"


def _named(values: Iterable[tuple[str, float]]) -> Values:
    """With names that every tracker takes."""
    return {_NO_NAME.sub("-", name): value for name, value in values}
