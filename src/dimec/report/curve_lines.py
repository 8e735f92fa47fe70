"""Curves in the accuracy-cost plane: a line a policy, the point that its knob is set to, and the
contract's bounds."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dimec.evaluation.curves import Curve, CurvePoint, Curves
from dimec.report.curves import contract_lines
from dimec.report.style import INK, MORE_COLOURS, MUTED
from dimec.report.wording import fitted_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from dimec.evaluation.ledger import Ledger

_DASHES = ("-", "--", "-.", ":")  # of further turns round the colours


@dataclass(frozen=True)
class Line:
    """How a curve is drawn."""

    colour: str
    dash: str
    width: float


def curve_lines(ledger: Ledger, curves: Curves | None) -> dict[str, Line]:
    """The line of each curve by its policy: the run's own in ink, the others in colours."""
    if curves is None:
        return {}
    own = fitted_names(ledger)
    lines = {name: Line(INK, "-", 1.6) for name in own}
    looks = itertools.cycle(itertools.product(_DASHES, MORE_COLOURS))
    found = {}
    for curve in curves.curves:
        if curve.policy not in lines:
            dash, colour = next(looks)
            found[curve.policy] = Line(colour, dash, 1.1)
        else:
            found[curve.policy] = lines[curve.policy]
    return found


def draw_curves(axes: Axes, curves: Curves, lines: dict[str, Line]) -> None:
    """Each curve through the points that none beats on the validation split, in test figures."""
    for curve in curves.curves:
        line, front = lines[curve.policy], curve.front()
        axes.plot(
            [one.cost for one in front],
            [100 * one.accuracy for one in front],
            color=line.colour,
            linestyle=line.dash,
            linewidth=line.width,
            marker=".",
            markersize=3,
            zorder=1.5,
        )
        best = curve.chosen()
        if best is not None:
            axes.plot(
                best.cost,
                100 * best.accuracy,
                linestyle="none",
                marker="o",
                markersize=10,
                markerfacecolor="none",
                markeredgecolor=line.colour,
                zorder=2.5,
            )


def draw_contract(axes: Axes, ledger: Ledger) -> None:
    """The lowest accuracy and the highest cost that the contract allows, as dashed lines.

    Raises:
        CorruptArtefactError: the contract cannot be read.
    """
    lowest, highest = contract_lines(ledger)
    look: dict[str, Any] = {"color": MUTED, "linestyle": (0, (5, 3)), "linewidth": 1.0, "zorder": 1}
    if lowest is not None:
        axes.axhline(100 * lowest, **look)
        axes.annotate(
            "contract",
            (1, 100 * lowest),
            (3, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            fontsize=9,
            annotation_clip=False,
        )
    if highest is not None:
        axes.axvline(highest, **look)
        axes.annotate(
            "contract",
            (highest, 1),
            (0, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=9,
            annotation_clip=False,
        )


def nameless(ledger: Ledger, curves: Curves) -> tuple[list[str], NDArray[np.float64]]:
    """Curves whose policy has no row in the ledger, and where their names stand: (K, 2) points."""
    rows = {row.policy for row in ledger.rows}
    found = [curve for curve in curves.curves if curve.policy not in rows]
    points = np.array([_named_point(curve) for curve in found]).reshape(-1, 2)
    return [curve.policy for curve in found], points


def _named_point(curve: Curve) -> tuple[float, float]:
    point: CurvePoint = curve.chosen() or curve.front()[-1]
    return point.cost, 100 * point.accuracy


def told_curves(ledger: Ledger, curves: Curves | None) -> str:
    """How the lines came to be, for the caption."""
    bounded = contract_lines(ledger) != (None, None)
    bound = " The dashed line is the contract's bound." if bounded else ""
    if curves is None:
        return bound
    return (
        " A line is a policy along its knob: each setting is fitted on the validation split and "
        "replayed on the test split, and the line goes through those that no other beats on the "
        "validation split. A ring is the setting that saves most there at a drop of at most half a "
        f"point.{bound}"
    )
