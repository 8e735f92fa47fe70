"""What a user gets of the collection: the parts of a result, taken together over ways and seeds.

For each task, seed and system the way is taken that saves most on validation among those that lose
no more than is allowed there; where there is none, the plain fine-tuning answers everything, which
saves and loses nothing. Figures are means over the seeds, with 95 % intervals of the normal
distribution by the bootstrap's errors: they tell of rows, and with more than one seed of trainings
only as far as these differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dimec.policies import systems
from dimec_studies.ladders import CASCADE
from dimec_studies.ways import CHARGES, SINGLE

BASE = f"{CHARGES[0]:g}"
HALF = "0.005"
_Z = 1.959964  # of 95 %
_TRIVIAL = ("random", "bert-cloud", SINGLE)
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Pooled:
    """A system on a task. Shares, not percent.

    Attributes:
        saved, saved_error: mean over the seeds, and its standard error.
        drop, drop_error: alike.
        ways: the recipe that each seed chose; None where nothing was within the drop.
        scenarios: mean savings by scenario and unit, where all seeds have them.
    """

    saved: float
    saved_error: float
    drop: float
    drop_error: float
    ways: tuple[str | None, ...]
    scenarios: Mapping[str, Mapping[str, float]]

    @property
    def within(self) -> bool:
        """Whether any seed found something within the drop."""
        return any(way is not None for way in self.ways)

    def interval(self, name: str) -> tuple[float, float]:
        """Of ``saved`` or ``drop``."""
        value, error = getattr(self, name), getattr(self, f"{name}_error")
        return value - _Z * error, value + _Z * error


def tasks_in(result: Record) -> list[str]:
    """The tasks of which there is a part, in the order of the plan."""
    found = {part["task"] for part in result["parts"].values()}
    return [task for task in result["plan"]["tasks"] if task in found]


def parts_of(result: Record, task: str) -> dict[int, list[Record]]:
    """The parts of a task by seed, each in the order of the recipes.

    Those of a seed without the plain fine-tuning are left out: their reference would be another.
    """
    by_seed: dict[int, list[Record]] = {}
    for part in result["parts"].values():
        if part["task"] == task:
            by_seed.setdefault(part["seed"], []).append(part)
    return {
        seed: parts
        for seed, parts in sorted(by_seed.items())
        if any(part["recipe"] == "own" for part in parts)
    }


def pooled(
    parts: Mapping[int, Sequence[Record]],
    system: str,
    *,
    allowed: str = HALF,
    charge: str = BASE,
    recipe: str | None = None,
) -> Pooled | None:
    """A system on a task.

    Args:
        parts: of the task, by seed.
        system: its name.
        allowed: drop on validation.
        charge: γ.
        recipe: the way, where it is not to be chosen.

    Returns:
        None where no way of any seed can be replayed by it, or has the recipe.
    """
    chosen: list[Record | None] = []
    for several in parts.values():
        own = [part for part in several if recipe in (None, part["recipe"])]
        if not any(system in part["charges"][charge]["systems"] for part in own):
            continue
        chosen.append(next(best_ways(own, charge, system, allowed), None))
    if not chosen:
        return None
    figures = {
        key: [0.0 if one is None else float(one[key]) for one in chosen]
        for key in ("saved", "saved_error", "drop", "drop_error")
    }
    size = len(chosen)
    timed = [one["scenarios"] for one in chosen if one is not None and "scenarios" in one]
    scenarios = {
        name: {unit: sum(one[name][unit] for one in timed) / size for unit in timed[0][name]}
        for name in (timed[0] if timed else {})
    }
    return Pooled(
        saved=float(np.mean(figures["saved"])),
        saved_error=float(np.linalg.norm(figures["saved_error"])) / size,
        drop=float(np.mean(figures["drop"])),
        drop_error=float(np.linalg.norm(figures["drop_error"])) / size,
        ways=tuple(None if one is None else one["recipe"] for one in chosen),
        scenarios=scenarios,
    )


def best_ways(
    parts: Sequence[Mapping[str, Any]], charge: str, system: str, allowed: str
) -> Iterator[dict[str, Any]]:
    """What of the ways of one task and seed a system is chosen on: the first of them.

    Args:
        parts: of one task and seed.
        charge, system, allowed: keys of the parts.

    Yields:
        Figures with the recipe behind them, the largest saving on validation first.
    """
    found = [
        {**line["chosen"][allowed], "recipe": part["recipe"]}
        for part in parts
        if (line := part["charges"][charge]["systems"].get(system)) is not None
        and line["chosen"][allowed] is not None
    ]
    yield from sorted(found, key=lambda one: -float(one["seen_saved"]))


def rivals(result: Record) -> list[str]:
    """Every system of the result but the cascade and what is no method, in the order of tables."""
    seen = {name for part in result["parts"].values() for name in part["charges"][BASE]["systems"]}
    return [name for name in systems() if name in seen - {CASCADE, *_TRIVIAL}]


def best_rival(
    result: Record, task: str, *, allowed: str = HALF, charge: str = BASE
) -> tuple[str, Pooled] | None:
    """The rival that saves most on the test rows of a task; None where none saves anything."""
    parts = parts_of(result, task)
    found = [
        (name, one)
        for name in rivals(result)
        if (one := pooled(parts, name, allowed=allowed, charge=charge)) is not None
    ]
    best = max(found, key=lambda pair: pair[1].saved, default=None)
    return best if best is not None and best[1].saved > 0 else None


def area(parts: Mapping[int, Sequence[Record]], system: str) -> float | None:
    """The largest area of any way, a mean over the seeds; None where there is none."""
    found = [
        max(areas)
        for several in parts.values()
        if (
            areas := [
                value
                for part in several
                if (line := part["charges"][BASE]["systems"].get(system)) is not None
                and (value := line.get("area_share")) is not None
            ]
        )
    ]
    return float(np.mean(found)) if found else None
