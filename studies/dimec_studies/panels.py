"""Parts that several figures of the reproduction share: grids of axes, scatters, legends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from dimec.base.arrays import FloatArray
from dimec.cartography import POOL_NAMES
from dimec.report.style import (
    COLOURS,
    INK,
    MARKERS,
    MUTED,
    RASTER_ABOVE,
    require,
    to_svg,
)
from dimec.tiers.names import TIER_NAMES
from dimec_studies.markdown import Statistic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# Paul Tol's "bright" scheme, for more lines than there are tiers: colour-blind readers tell them
# apart.
LINE_COLOURS = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#555555")
LINE_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
RASTER_DPI = 110.0  # of points drawn as one picture: enough for a page, a fraction of the size


def grid_of_axes(
    rows: int, columns: int, width: float, height: float, *, share_y: Literal["row"] | bool = False
) -> tuple[Figure, list[list[Axes]]]:
    """A figure, its sides in inches, with rows x columns axes, outside pyplot's register."""
    require("matplotlib", "drawing the reproduction's figures")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes: Any = figure.subplots(rows, columns, squeeze=False, sharey=share_y)
    return figure, [list(row) for row in axes]


def panel_grid(panels: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """As many axes as panels, at most three a row; each panel's sides in inches."""
    columns = min(3, max(1, panels))
    rows = -(-max(1, panels) // columns)
    figure, axes = grid_of_axes(rows, columns, width * columns, height * rows + 0.4)
    flat = [one for row in axes for one in row]
    for unused in flat[panels:]:
        unused.set_visible(False)
    return figure, flat[:panels]


def scatter_pools(axes: Axes, x: FloatArray, y: FloatArray, pools: NDArray[np.int64]) -> None:
    """Points by pool, the largest pool first so that it hides no other; many as one picture."""
    size = float(np.clip(8_000 / max(1, len(pools)), 3, 20))
    sizes = np.bincount(pools, minlength=3)
    for code in sorted(range(3), key=lambda code: -int(sizes[code])):
        own = pools == code
        axes.scatter(
            x[own],
            y[own],
            s=size * (1.5 if MARKERS[code] == "^" else 1.0),  # a triangle looks smaller
            marker=MARKERS[code],
            color=COLOURS[code],
            alpha=0.6,
            linewidths=0,
            rasterized=len(pools) > RASTER_ABOVE // 10,
        )


def root_scale(axes: Axes, right: float) -> None:
    """A square-root scale from 0: most variances are small, and β lies among them."""
    axes.set_xscale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0)), np.square))
    axes.set_xlim(0, right)
    ticks = [0.0]
    for tick in (1e-5, 1e-4, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25):
        if tick <= right and np.sqrt(tick) - np.sqrt(ticks[-1]) >= 0.17 * np.sqrt(right):
            ticks.append(tick)
    axes.set_xticks(ticks, [np.format_float_positional(t, trim="-") for t in ticks], minor=False)
    axes.minorticks_off()


def pool_legend(figure: Figure, *, tiers: bool = False) -> None:
    """A legend of all three pools above the axes, empty ones included."""
    names = [f"{p} → {t}" if tiers else p for p, t in zip(POOL_NAMES, TIER_NAMES, strict=True)]
    marks = ["s"] * 3 if tiers else list(MARKERS)
    legend(figure, names, COLOURS, marks)


def legend(
    figure: Figure, names: Sequence[str], colours: Sequence[str], marks: Sequence[str]
) -> None:
    """Marks and their names above the axes, as many a row as surely fit."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linestyle="none", marker=mark, color=colour, markersize=6, label=name)
        for name, colour, mark in zip(names, colours, marks, strict=True)
    ]
    # In inches: a letter of 9 points and the mark with the gaps round it, on the safe side.
    column = 0.075 * max(len(name) for name in names) + 0.45
    fitting = max(1, int(figure.get_figwidth() / column))
    figure.legend(
        handles=handles,
        ncols=min(fitting, len(handles)),
        loc="outside upper left",
        handletextpad=0.2,
    )


def interval_rows(
    axes: Axes,
    statistics: Sequence[Statistic],
    *,
    scale: float = 1.0,
    shift: float = 0.0,
    colour: str = INK,
    mark: str = "o",
) -> None:
    """Means with their intervals, one a row and ``shift`` rows lower, and a line at 0."""
    rows = np.arange(len(statistics)) + shift
    middles, lows, highs = (
        scale * np.array([one[end] for one in statistics], dtype=np.float64)
        for end in ("mean", "low", "high")
    )
    axes.hlines(rows, lows, highs, color=colour, linewidth=1.2, alpha=0.7)
    axes.plot(middles, rows, linestyle="none", color=colour, marker=mark, markersize=5)
    axes.axvline(0, color=MUTED, linewidth=1.0, linestyle="--", zorder=0)
    axes.grid(axis="x")


def compact_svg(figure: Figure) -> str:
    """As SVG, clouds of points in a resolution that fits a page."""
    matplotlib = require("matplotlib", "drawing the reproduction's figures")
    with matplotlib.rc_context({"savefig.dpi": RASTER_DPI}):
        return to_svg(figure)
