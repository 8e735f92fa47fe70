"""The report's five figures, drawn with matplotlib (never pyplot: no global state is touched)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dimec.cartography import POOL_NAMES, betas_of, pool_names
from dimec.report import series as data
from dimec.report.bars import stacked_bars
from dimec.report.exit_accuracy import draw_exits
from dimec.report.inputs import PooledInputs, ReportInputs
from dimec.report.policy_plane import draw_policy_plane
from dimec.report.projection import MAX_POINTS, MIN_POINTS
from dimec.report.style import (
    INK,
    RASTER_ABOVE,
    Drawing,
    Series,
    drawing_style,
    new_axes,
    tier_marks,
    to_svg,
)
from dimec.report.wording import join, percent, pool_sentences, setting
from dimec.tiers.names import TIER_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

FIGURES = ("accuracy_cost", "data_map", "tsne", "pools", "tiers")  # all names, in that order


def draw_all(inputs: ReportInputs, progress: Callable[[str], None]) -> list[Drawing]:
    """All figures in the order of the page; those of pools where the router has any.

    Raises:
        MissingExtraError: matplotlib or openTSNE is not installed.
    """
    progress("figure: accuracy and cost")
    drawings = [draw_policy_plane(inputs.ledger, inputs.curves)]
    if isinstance(inputs, PooledInputs):
        for words, draw in _OF_POOLS.items():
            progress(f"figure: {words}")
            drawings.append(draw(inputs))
    progress("figure: accuracy per tier")
    return [*drawings, draw_exits(inputs)]


def draw_data_map(inputs: PooledInputs) -> Drawing:
    """Validation samples by variability and confidence, with α and β (paper, figure 1)."""
    series = data.data_map_series(inputs.data_map, inputs.pools, inputs.names)
    with drawing_style("data_map"):
        figure, axes = new_axes(height=4.3)
        variance = np.asarray(series.columns["variance"], dtype=np.float64)
        _scatter_pools(axes, series, "variance", "confidence", inputs.names)
        right = 1.06 * max(float(variance.max(initial=0.0)), *betas_of(inputs.beta), 1e-6)
        _root_scale(axes, right)
        axes.set_ylim(-0.02, 1.02)
        _draw_thresholds(axes, inputs)
        axes.set_xlabel("variability (variance over epochs, square-root scale)")
        axes.set_ylabel("confidence (mean P of the gold label)")
        _pool_legend(axes, inputs.names)
        svg = to_svg(figure)
    words = " ".join(pool_sentences(inputs.pools, inputs.names))
    return Drawing(
        "data_map",
        "Data map",
        f"Validation samples at the {inputs.names[0]}'s exit. {_told_thresholds(inputs)}{words}",
        f"Scatter plot of variance against confidence, coloured by pool. {words}",
        svg,
        series,
    )


def _draw_thresholds(axes: Axes, inputs: PooledInputs) -> None:
    """α as a line across the map, and β above it."""
    if inputs.alpha is None:
        return
    axes.axhline(inputs.alpha, color=INK, linewidth=1.1, linestyle="--")
    betas = betas_of(inputs.beta).tolist()
    for beta in betas:
        axes.plot([beta] * 2, [inputs.alpha, 1.02], color=INK, linewidth=1.1, linestyle=":")
    axes.annotate(
        f"α = {inputs.alpha:.3g}",
        (1, inputs.alpha),
        (3, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="left",
        va="center",
        annotation_clip=False,
    )
    for k, beta in enumerate(betas):
        axes.annotate(
            f"β = {beta:.3g}" if len(betas) == 1 else f"β{k + 1}",
            (beta, 1.02),
            (0, 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
            annotation_clip=False,
        )


def _told_thresholds(inputs: PooledInputs) -> str:
    """What the lines part; nothing where there is one tier."""
    if inputs.alpha is None:
        return ""
    betas = [f"{beta:.4g}" for beta in betas_of(inputs.beta)]
    if inputs.names == TIER_NAMES:
        return (
            f"Easy: confidence at least α = {inputs.alpha:.4g} and variance at most β = "
            f"{betas[0]}; medium: the same confidence, more variance; hard: less confidence. "
        )
    told = f"Confidence under α = {inputs.alpha:.4g}: {inputs.names[-1]}."
    if betas:
        told += f" The others are parted by their variance at β = {join(betas)}, the least first: "
        told += f"{join(list(inputs.names[:-1]))}."
    return f"{told} "


def _told_pools(pools: tuple[str, ...]) -> str:
    """Where the pools' inputs go."""
    if pools == POOL_NAMES:
        return "Easy inputs go to the mobile, medium ones to the edge, hard ones to the cloud."
    return "Each pool is called as the tier that its inputs go to."


def draw_shares(inputs: PooledInputs) -> Drawing:
    """The pools' shares, and what the routers make of them, as stacked bars."""
    series = data.share_series(inputs.ledger, inputs.pools)
    groups = list(dict.fromkeys(series.columns["of"]))
    shares = np.nan_to_num(np.asarray(series.columns["share"], dtype=np.float64)).reshape(
        -1, len(inputs.names)
    )
    with drawing_style("pools"):
        figure, axes = new_axes(height=max(3.4, 1.1 + 0.55 * len(groups)))
        stacked_bars(axes, groups, shares)
        _pool_legend(axes, inputs.names, tiers=True)
        svg = to_svg(figure)
    pools = pool_names(inputs.names)
    told = [
        f"{name}: {join([f'{percent(s)} % {p}' for s, p in zip(v, pools, strict=True)])}"
        for name, v in zip(groups, shares, strict=True)
    ]
    return Drawing(
        "pools",
        "Shares of the pools and tiers",
        f"{'; '.join(told)}. {_told_pools(pools)}",
        f"Stacked bars. {'; '.join(told)}.",
        svg,
        series,
    )


def draw_tsne(inputs: PooledInputs) -> Drawing:
    """The pool embeddings in the plane (paper, figures 4b and 4c)."""
    count = len(inputs.pools)
    series = data.tsne_series(inputs.embeddings, inputs.pools, inputs.seed, inputs.names)
    drawn = len(series.columns["sample"])
    with drawing_style("tsne"):
        figure, axes = new_axes(height=4.3)
        if drawn:
            _scatter_pools(axes, series, "x", "y", inputs.names)
            _pool_legend(axes, inputs.names)
            axes.set_aspect("equal", adjustable="datalim")
        else:
            axes.text(
                0.5,
                0.5,
                f"too few samples: {count}, at least {MIN_POINTS} are needed",
                ha="center",
                va="center",
                transform=axes.transAxes,
            )
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        svg = to_svg(figure)
    if not drawn:
        caption = f"Too few samples for t-SNE: {count}, at least {MIN_POINTS} are needed."
    elif drawn < count:
        caption = (
            f"t-SNE of the embeddings that the router sees: {setting(drawn)} of "
            f"{setting(count)} validation samples, drawn at random (seed {inputs.seed}, at most "
            f"{setting(MAX_POINTS)})."
        )
    else:
        caption = (
            f"t-SNE of the embeddings that the router sees: all {setting(count)} validation "
            f"samples (seed {inputs.seed})."
        )
    return Drawing(
        "tsne",
        "Embeddings of the pools",
        caption + (" Distances between far groups mean little in such a plot." if drawn else ""),
        f"Scatter plot, coloured by pool. {caption}",
        svg,
        series,
    )


_OF_POOLS = {"data map": draw_data_map, "t-SNE of the pools": draw_tsne, "pools": draw_shares}


def _scatter_pools(axes: Axes, series: Series, x: str, y: str, tiers: tuple[str, ...]) -> None:
    """Draw the samples by pool, the largest pool first so that it hides no other."""
    pool = np.asarray(series.columns["pool"])
    across, up = (np.asarray(series.columns[key], dtype=np.float64) for key in (x, y))
    size = float(np.clip(14_000 / max(1, len(pool)), 5, 24))
    members = [pool == name for name in pool_names(tiers)]
    marks = tier_marks(len(tiers))
    for code in sorted(range(len(tiers)), key=lambda code: -int(members[code].sum())):
        axes.scatter(
            across[members[code]],
            up[members[code]],
            s=size * (1.5 if marks[code].marker == "^" else 1.0),  # a triangle looks smaller
            marker=marks[code].marker,
            color=marks[code].colour,
            alpha=0.7,
            linewidths=0,
            rasterized=len(pool) > RASTER_ABOVE,
        )


def _root_scale(axes: Axes, right: float) -> None:
    """A square-root scale from 0: most variances are small, and β lies among them."""
    axes.set_xscale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0)), np.square))
    axes.set_xlim(0, right)
    ticks = [0.0]
    for value in (1e-5, 1e-4, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25):
        if value <= right and np.sqrt(value) - np.sqrt(ticks[-1]) >= 0.1 * np.sqrt(right):
            ticks.append(value)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks], minor=False)
    axes.minorticks_off()


def _pool_legend(axes: Axes, names: tuple[str, ...], *, tiers: bool = False) -> None:
    """A legend of all pools above the axes, empty ones included."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [],
            [],
            linestyle="none",
            marker="s" if tiers else mark.marker,
            color=mark.colour,
            markersize=8 if tiers else 6,
            label=f"{pool} → {tier}" if tiers and pool != tier else pool,
        )
        for pool, tier, mark in zip(pool_names(names), names, tier_marks(len(names)), strict=True)
    ]
    columns = min(len(names), 4)
    axes.figure.legend(handles=handles, ncols=columns, loc="outside upper left", handletextpad=0.2)
