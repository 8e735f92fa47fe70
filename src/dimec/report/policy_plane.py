"""The accuracy-cost plane: every policy as a named point with its intervals."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dimec.report.curve_lines import (
    Line,
    curve_lines,
    draw_contract,
    draw_curves,
    nameless,
    told_curves,
)
from dimec.report.curves import with_curves
from dimec.report.labels import place_labels
from dimec.report.series import policy_series
from dimec.report.style import (
    INK,
    MUTED,
    Drawing,
    drawing_style,
    new_axes,
    tier_marks,
    to_svg,
)
from dimec.report.wording import find_row, fitted_names, join, number, percent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dimec.evaluation.curves import Curves
    from dimec.evaluation.ledger import Ledger


_AROUND = 3.0  # pixels kept free left and right of a name


def policy_points(ledger: Ledger) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]]:
    """Names, points (K, 2) of cost (λ) and accuracy (%), and bars (K, 4).

    A bar holds the lowest and highest cost and the lowest and highest accuracy: the intervals of
    reduction and drop, laid round the reference's cost and accuracy. Policies whose cost or
    accuracy is not finite are left out; a bar that is not finite shrinks to its point.
    """
    reference = find_row(ledger, ledger.reference)
    rows = [row for row in ledger.rows if np.isfinite([row.cost, row.accuracy]).all()]
    points = np.array([[row.cost, 100 * row.accuracy] for row in rows]).reshape(-1, 2)
    bars = points[:, [0, 0, 1, 1]]
    if reference is not None:
        told = np.array(
            [
                [
                    reference.cost * (1 - row.reduction_high),
                    reference.cost * (1 - row.reduction_low),
                    100 * (reference.accuracy - row.drop_high),
                    100 * (reference.accuracy - row.drop_low),
                ]
                for row in rows
            ]
        ).reshape(-1, 4)
        bars = np.where(np.isfinite(told), told, bars)
    return [row.policy for row in rows], points, bars


def draw_policy_plane(ledger: Ledger, curves: Curves | None = None) -> Drawing:
    """Accuracy over cost: a point a policy with 95 % intervals, and a line a curve.

    Raises:
        CorruptArtefactError: the ledger's contract cannot be read.
    """
    with drawing_style("accuracy_cost"):
        svg = to_svg(_plane(ledger, curves))
    told = [
        f"{row.policy} {percent(row.accuracy)} % at {number(row.cost)} λ" for row in ledger.rows
    ]
    return Drawing(
        "accuracy_cost",
        "Accuracy and cost of every policy",
        "Up is more accurate, left is cheaper. Bars are the 95 % intervals of drop and reduction "
        f"against {ledger.reference}. Hollow diamonds route at random; the star sees the labels."
        + told_curves(ledger, curves),
        f"Scatter plot of cost against accuracy. {join(told)}." if told else "No policy.",
        svg,
        with_curves(policy_series(ledger), curves) if curves is not None else policy_series(ledger),
    )


def policy_plane_png(ledger: Ledger, curves: Curves | None = None) -> bytes:
    """The same picture as a PNG, for pages that show no SVG."""
    with drawing_style("accuracy_cost"):
        stream = io.BytesIO()
        _plane(ledger, curves).savefig(stream, format="png", dpi=150, metadata={"Software": None})
        return stream.getvalue()


def _plane(ledger: Ledger, curves: Curves | None) -> Figure:
    """The figure, drawn within its style."""
    names, points, bars = policy_points(ledger)
    lines = curve_lines(ledger, curves)
    figure, axes = new_axes(width=6.4, height=4.6)
    if curves is not None:
        draw_curves(axes, curves, lines)
    draw_contract(axes, ledger)
    _draw_points(axes, ledger, names, points, bars, lines)
    axes.set_xlabel("cost per input (λ): cheaper to the left")
    axes.set_ylabel("accuracy (%)")
    axes.grid()
    axes.margins(0.12)
    if curves is not None:
        more, places = nameless(ledger, curves)
        names, points = [*names, *more], np.concatenate([points, places])
        bars = np.concatenate([bars, places[:, [0, 0, 1, 1]]])
    if len(names):
        _write_names(figure, axes, names, points, bars)
    return figure


def _look(name: str, routers: set[str], tiers: tuple[str, ...]) -> dict[str, Any]:
    """Marker and colour by the kind of policy."""
    if name.removeprefix("all-") in tiers:
        mark = tier_marks(len(tiers))[tiers.index(name.removeprefix("all-"))]
        return {"marker": mark.marker, "color": mark.colour, "markersize": 7}
    if name.startswith("random"):
        return {"marker": "D", "color": "white", "markeredgecolor": MUTED, "markersize": 6}
    if name == "oracle":
        return {"marker": "*", "color": INK, "markersize": 11}
    return {"marker": "o" if name in routers else "P", "color": INK, "markersize": 8}


def _draw_points(
    axes: Axes,
    ledger: Ledger,
    names: list[str],
    points: NDArray[np.float64],
    bars: NDArray[np.float64],
    lines: Mapping[str, Line],
) -> None:
    routers = set(fitted_names(ledger))
    for name, (cost, accuracy), bar in zip(names, points, bars, strict=True):
        bold = name in routers
        for x, y in ((bar[:2], [accuracy] * 2), ([cost] * 2, bar[2:])):
            axes.plot(
                x,
                y,
                color=INK if bold else MUTED,
                alpha=0.8 if bold else 0.4,
                linewidth=1.3 if bold else 1.0,
                zorder=2,
            )
        look = _look(name, routers, ledger.tiers)
        if name in lines:  # its point is told by the colour of its line
            look["color"] = lines[name].colour
        axes.plot(cost, accuracy, linestyle="none", zorder=3, **look)


def _write_names(
    figure: Figure,
    axes: Axes,
    names: list[str],
    points: NDArray[np.float64],
    bars: NDArray[np.float64],
) -> None:
    """Write the names where they cover nothing, with a thin line back to a far point."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()  # settles the layout, so that pixels mean what they will mean in the file
    renderer = canvas.get_renderer()
    texts = [axes.text(0, 0, name, fontsize=9, ha="left", va="bottom", zorder=4) for name in names]
    extents = [text.get_window_extent(renderer) for text in texts]
    sizes = np.array([[extent.width + 2 * _AROUND, extent.height] for extent in extents])
    to_pixels = axes.transData.transform
    marks = to_pixels(points)
    low, high = to_pixels(bars[:, [0, 2]]), to_pixels(bars[:, [1, 3]])
    across = np.stack([low[:, 0], marks[:, 1] - 3, high[:, 0], marks[:, 1] + 3], axis=1)
    upright = np.stack([marks[:, 0] - 3, low[:, 1], marks[:, 0] + 3, high[:, 1]], axis=1)
    area = axes.get_window_extent(renderer)
    bounds = (area.x0 + 2, area.y0 + 2, area.x1, area.y1)
    boxes = place_labels(marks, sizes, np.concatenate([across, upright]), bounds)
    limits = axes.axis()
    to_data = axes.transData.inverted().transform
    for text, mark, box in zip(texts, marks, boxes, strict=True):
        text.set_position(tuple(to_data((box[0] + _AROUND, box[1]))))
        nearest = np.clip(mark, box[:2], box[2:])
        if np.hypot(*(nearest - mark)) > 16:
            ends = to_data(np.stack([mark, nearest]))
            axes.plot(ends[:, 0], ends[:, 1], color=MUTED, linewidth=0.6, zorder=1)
    axes.axis(limits)
