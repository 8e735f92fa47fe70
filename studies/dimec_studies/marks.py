"""The cascade beside what a trial of it reached on the same rows, before it was built.

The trial's figures are points on its curve over the test rows, so that the cascade's curve there is
what they compare with, and no choice of λ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import pairwise
from typing import Any

from dimec.base.storage import parse_toml
from dimec.report.wording import percent
from dimec_studies.markdown import table

PROFILE = "trial"  # whose traces are the trial's own

_HEADING = ("tiers", "drop, points", "the trial saved %", "the cascade saves %")


def marks() -> dict[str, dict[str, list[tuple[float, float]]]]:
    """(drop in points, percent of the cost saved) by task and way to make the tiers."""
    read = parse_toml(files(__package__).joinpath("marks.toml").read_bytes())
    return {
        task: {name: [(drop, saved) for drop, saved in points] for name, points in variants.items()}
        for task, variants in read.items()
    }


def saved_within(curve: Sequence[tuple[float, float]], drop: float) -> float | None:
    """The most that a curve saves at no more than a drop.

    Between two neighbouring λ lies what a coin between them reaches, input by input: both its drop
    and its cost are in proportion to how often either is taken.

    Args:
        curve: (drop, share of the cost saved) at each λ, in its order.
        drop: allowed.

    Returns:
        The share saved; None where every point loses more.
    """
    found = [saved for lost, saved in curve if lost <= drop]
    for (lost, saved), (lost_next, saved_next) in pairwise(curve):
        if min(lost, lost_next) < drop < max(lost, lost_next):
            share = (drop - lost) / (lost_next - lost)
            found.append(saved + share * (saved_next - saved))
    return max(found, default=None)


def marks_table(result: Mapping[str, Any], titles: Mapping[str, str], task: str) -> list[str]:
    """Markdown lines: a row a mark of the task, by the curves of a stored result."""
    variants = result["tasks"][task]["variants"]
    rows = []
    for name, points in marks()[task].items():
        curve = [(one["drop"], one["reduction"]) for one in variants[name]["curve"]]
        for drop, saved in points:
            ours = saved_within(curve, drop / 100)
            shown = "none within it" if ours is None else percent(ours)
            rows.append([titles[name], f"{drop:.2f}", f"{saved:.1f}", shown])
    return table(_HEADING, rows).splitlines()
