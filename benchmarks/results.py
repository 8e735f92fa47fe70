"""What a benchmark reports: figures with goals, as a table for people and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from dimec_studies.units import BYTES, PER_SECOND, RATIO, SECONDS, SHARE, formatted

__all__ = ["BYTES", "PER_SECOND", "RATIO", "SECONDS", "SHARE", "Figure", "Result", "table"]


@dataclass(frozen=True)
class Figure:
    """One measured quantity.

    Attributes:
        name: what was measured.
        value: the median of the repeats, where there are several.
        unit: ``"s"``, ``"B"`` (bytes), ``"ratio"``, ``"1/s"`` or ``"share"``.
        low, high: the smallest and the largest repeat.
        goal: ``value`` should be at most this; None where nothing was promised.
        at_least: the goal is the least that ``value`` should be, not the most.
    """

    name: str
    value: float
    unit: str
    low: float
    high: float
    goal: float | None = None
    at_least: bool = False

    @classmethod
    def of(
        cls,
        name: str,
        values: Sequence[float],
        unit: str = SECONDS,
        goal: float | None = None,
        at_least: bool = False,
    ) -> Figure:
        """The median of one or more repeats, with their range."""
        value, low, high = (float(of(values)) for of in (median, min, max))
        return cls(name, value, unit, low, high, goal, at_least)

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without a goal."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    def to_dict(self) -> dict[str, Any]:
        """A JSON object."""
        return {**rounded(asdict(self)), "met": self.met}


@dataclass(frozen=True)
class Result:
    """The figures of one benchmark, and what they rest on.

    Attributes:
        figures: in the order of the table.
        notes: what a reader of the figures has to know.
        runs: the single measurements behind the figures, JSON values.
    """

    figures: tuple[Figure, ...]
    notes: tuple[str, ...] = ()
    runs: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """A JSON object."""
        figures = [figure.to_dict() for figure in self.figures]
        return {"figures": figures, "notes": list(self.notes), "runs": rounded(self.runs)}


def rounded(value: Any) -> Any:
    """A JSON value with its numbers cut to six significant digits: no clock is finer."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def table(title: str, result: Result) -> str:
    """The figures as aligned text: name, figure, range of the repeats, goal, verdict."""
    verdicts = {None: "", True: "met", False: "MISSED"}
    rows: list[tuple[str, ...]] = [("", "figure", "lowest", "highest", "goal", "")]
    for f in result.figures:
        sign = ">=" if f.at_least else "<="
        goal = "" if f.goal is None else f"{sign} {formatted(f.goal, f.unit)}"
        numbers = (formatted(value, f.unit) for value in (f.value, f.low, f.high))
        rows.append((f.name, *numbers, goal, verdicts[f.met]))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [title]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join([*lines, *(f"  note: {note}" for note in result.notes)])
