"""The figures of the reproduction, from stored results to SVG, the same bytes every time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any

import numpy as np

from dimec.report.bars import name_rows, stacked_bars
from dimec.report.style import COLOURS, INK, MARKERS, MUTED, Drawing, Series, drawing_style, to_svg
from dimec.report.wording import number, percent
from dimec.tiers.names import TIER_NAMES
from dimec_studies.figure_tables import (
    Entry,
    grouped,
    seeds_of,
    tier_accuracy,
)
from dimec_studies.panels import (
    LINE_COLOURS,
    LINE_MARKERS,
    compact_svg,
    grid_of_axes,
    legend,
    panel_grid,
    pool_legend,
    root_scale,
    scatter_pools,
)
from dimec_studies.titles import cost_title, system_title, task_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POLICY_MARKERS = ("D", "X", "v", "P", "*")


def draw_maps(name: str, maps: Sequence[Entry]) -> Drawing:
    """Data maps, one panel each: variance, confidence, pools, α and β (paper, figures 1 and 3)."""
    shown = list(maps)
    with drawing_style(name):
        figure, axes = panel_grid(len(shown), 3.1, 2.7)
        for panel, one in zip(axes, shown, strict=True):
            _draw_map(panel, one)
        for panel in axes[:: min(3, max(1, len(shown)))]:
            panel.set_ylabel("confidence")
        figure.supxlabel("variance over the epochs, square-root scale", fontsize=10)
        pool_legend(figure)
        svg = compact_svg(figure)
    columns = {
        "task": [one["task"] for one in shown for _ in one["pools"]],
        "grid": [one["grid"] for one in shown for _ in one["pools"]],
        **{
            key: [figure for one in shown for figure in one[key]]
            for key in ("confidence", "variance", "pools")
        },
    }
    told = "; ".join(
        f"{task_title(one['task'])}, {one['grid']} grid, seed {one['seed']}" for one in shown
    )
    return Drawing(
        name,
        "Data maps",
        "Validation samples at the mobile's exit: mean and variance, over the epochs, of the "
        "probability of the gold label. Dashed: α; dotted: β. Every panel has a scale of its own. "
        f"Drawn: {told}.",
        f"Scatter plots of variance against confidence, coloured by pool: {told}.",
        svg,
        Series(columns),
    )


def _draw_map(axes: Axes, one: Entry) -> None:
    alpha, beta = float(one["alpha"]), float(one["beta"])
    right = 1.06 * max(1e-6, beta, *map(float, one["variance"]))
    scatter_pools(
        axes,
        np.asarray(one["variance"], np.float64),
        np.asarray(one["confidence"], np.float64),
        np.asarray(one["pools"], np.int64),
    )
    root_scale(axes, right)
    axes.set_ylim(-0.02, 1.02)
    axes.axhline(alpha, color=INK, linewidth=1.0, linestyle="--")
    axes.plot([beta, beta], [alpha, 1.02], color=INK, linewidth=1.0, linestyle=":")
    axes.set_title(
        f"{task_title(one['task'])}, {one['grid']}: α = {alpha:.3g}, β = {beta:.3g}",
        fontsize=9,
        loc="left",
    )


def draw_shares(name: str, shares: Sequence[Entry]) -> Drawing:
    """The pools of every task, mean over the seeds, as stacked bars (paper, figure 3)."""
    groups = grouped(shares, "task", "grid")
    grids = {grid for _, grid in groups}
    names = [task_title(t) if len(grids) == 1 else f"{task_title(t)}, {g}" for t, g in groups]
    values = np.array(
        [[mean(float(e["pools"][k]) for e in group) for k in range(3)] for group in groups.values()]
    )
    with drawing_style(name):
        figure, axes = grid_of_axes(1, 1, 6.0, max(2.0, 1.0 + 0.42 * len(names)))
        stacked_bars(axes[0][0], names, values)
        pool_legend(figure, tiers=True)
        svg = to_svg(figure)
    told = "; ".join(
        f"{row}: {' / '.join(percent(share, 0) for share in shares_)} %"
        for row, shares_ in zip(names, values, strict=True)
    )
    return Drawing(
        name,
        "Pools of every task",
        "Shares of easy, medium and hard samples in the validation split, mean over the seeds.",
        f"Stacked bars. Easy / medium / hard: {told}.",
        svg,
        Series(
            {
                "of": names,
                **{
                    pool: values[:, k].tolist() for k, pool in enumerate(("easy", "medium", "hard"))
                },
            }
        ),
    )


def draw_exits(name: str, exits: Sequence[Entry]) -> Drawing:
    """Accuracy of each tier alone and of the routers, by task (paper, figure 4a)."""
    groups = grouped(exits, "task")
    names = [task_title(task) for (task,) in groups]
    policies = list(dict.fromkeys(policy for entry in exits for policy in entry["policies"]))
    columns: dict[str, list[float | None]] = {
        **{tier: [] for tier in TIER_NAMES},
        **{policy: [] for policy in policies},
    }
    for group in groups.values():
        for k, tier in enumerate(TIER_NAMES):
            columns[tier].append(mean(tier_accuracy(entry, k) for entry in group))
        for policy in policies:
            found = [float(e["policies"][policy]) for e in group if policy in e["policies"]]
            columns[policy].append(mean(found) if found else None)
    colours = [*COLOURS, *[INK] * len(policies)]
    marks = [*MARKERS, *(_POLICY_MARKERS[k % len(_POLICY_MARKERS)] for k in range(len(policies)))]
    titles = [f"{tier} alone" for tier in TIER_NAMES] + [system_title(p) for p in policies]
    with drawing_style(name):
        figure, grid = grid_of_axes(1, 1, 6.4, max(2.2, 1.2 + 0.55 * len(names)))
        axes = grid[0][0]
        for row in range(len(names)):
            values = [100 * v for column in columns.values() if (v := column[row]) is not None]
            axes.hlines(row, min(values), max(values), color=MUTED, linewidth=1.0, zorder=1)
        for k, column in enumerate(columns.values()):
            # Routers stand lower, one below the other: they are about as accurate as some tier.
            lower = 0.0 if k < len(TIER_NAMES) else min(0.45, 0.2 + 0.17 * (k - len(TIER_NAMES)))
            axes.plot(
                [np.nan if v is None else 100 * v for v in column],
                np.arange(len(names)) + lower,
                linestyle="none",
                marker=marks[k],
                color=colours[k],
                markersize=7,
                zorder=2,
            )
        name_rows(axes, names)
        axes.grid(axis="x")
        axes.set_xlabel("accuracy (%); the axis does not start at 0")
        legend(figure, titles, colours, marks)
        svg = to_svg(figure)
    told = "; ".join(
        f"{row}: "
        + ", ".join(
            f"{title} {percent(value)} %"
            for title, column in zip(titles, columns.values(), strict=True)
            if (value := column[k]) is not None
        )
        for k, row in enumerate(names)
    )
    return Drawing(
        name,
        "Every tier alone",
        "Accuracy on the test split if one tier answered everything, and of the routers, mean "
        "over the seeds.",
        f"Dot plot. {told}.",
        svg,
        Series({"task": names, **columns}),
    )


def draw_tsne(name: str, tsne: Sequence[Entry]) -> Drawing:
    """The pool embeddings in the plane (paper, figures 4b and 4c)."""
    with drawing_style(name):
        figure, axes = panel_grid(len(tsne), 3.3, 3.1)
        for panel, one in zip(axes, tsne, strict=True):
            scatter_pools(
                panel,
                np.asarray(one["x"], np.float64),
                np.asarray(one["y"], np.float64),
                np.asarray(one["pools"], np.int64),
            )
            panel.set_title(
                f"{task_title(one['task'])}, seed {one['seed']}: silhouette "
                f"{number(float(one['silhouette']))}",
                fontsize=9,
                loc="left",
            )
            panel.set_aspect("equal", adjustable="datalim")
            panel.set_xticks([])
            panel.set_yticks([])
            panel.spines[:].set_visible(False)
        pool_legend(figure)
        svg = compact_svg(figure)
    told = "; ".join(f"{task_title(one['task'])}, seed {one['seed']}" for one in tsne)
    return Drawing(
        name,
        "The pools in the plane",
        f"t-SNE of the embeddings that the router sees, validation samples, by pool: {told}.",
        f"Scatter plots, coloured by pool: {told}.",
        svg,
        Series(
            {
                "task": [one["task"] for one in tsne for _ in one["x"]],
                "x": [x for one in tsne for x in one["x"]],
                "y": [y for one in tsne for y in one["y"]],
            }
        ),
    )


def draw_curves(
    name: str, curves: Sequence[Entry], defaults: Mapping[str, float | None]
) -> Drawing:
    """Accuracy and reduction while one cost varies (paper, figure 5); one policy's curves.

    Args:
        name: of the file.
        curves: of one policy.
        defaults: cost → its value elsewhere, marked by a dashed line; None marks nothing.
    """
    costs = list(dict.fromkeys(curve["cost"] for curve in curves))
    tasks = list(dict.fromkeys(curve["task"] for curve in curves))
    columns: dict[str, list[Any]] = {
        key: [] for key in ("cost", "task", "value", "accuracy", "reduction")
    }
    with drawing_style(name):
        figure, axes = grid_of_axes(2, len(costs), 2.15 * len(costs) + 0.6, 4.8, share_y="row")
        for (cost, task), group in grouped(curves, "cost", "task").items():
            values, accuracy, reduction = mean_curve(group)
            for key, found in zip(columns, (cost, task), strict=False):
                columns[key] += [found] * len(values)
            columns["value"] += values
            columns["accuracy"] += accuracy
            columns["reduction"] += reduction
            k = tasks.index(task)
            for row, heights in enumerate((accuracy, reduction)):
                axes[row][costs.index(cost)].plot(
                    values,
                    [100 * height for height in heights],
                    color=LINE_COLOURS[k % len(LINE_COLOURS)],
                    marker=LINE_MARKERS[k % len(LINE_MARKERS)],
                    markersize=4,
                    linewidth=1.3,
                )
        for column, cost in enumerate(costs):
            _finish_column([row[column] for row in axes], cost, defaults.get(cost))
        axes[0][0].set_ylabel("accuracy (%)")
        axes[1][0].set_ylabel("cost reduction (%)")
        where = range(len(tasks))
        legend(
            figure,
            [task_title(task) for task in tasks],
            [LINE_COLOURS[k % len(LINE_COLOURS)] for k in where],
            [LINE_MARKERS[k % len(LINE_MARKERS)] for k in where],
        )
        svg = to_svg(figure)
    policy = system_title(curves[0]["policy"])
    return Drawing(
        name,
        "One cost varied",
        f"{policy}, thresholds fitted again for every value; seeds {seeds_of(curves)}, mean. The "
        "other costs stay as they are; dashed: the value used elsewhere.",
        f"Line plots of accuracy and cost reduction of {policy} over each cost, one line a task.",
        svg,
        Series(columns),
    )


def mean_curve(group: Sequence[Entry]) -> tuple[list[float], list[float], list[float]]:
    """Values that every seed's curve has, and the mean accuracy and reduction at each."""
    found = [{float(point["value"]): point for point in curve["points"]} for curve in group]
    values = sorted(set.intersection(*(set(points) for points in found)))
    accuracy, reduction = (
        [mean(float(points[value][key]) for points in found) for value in values]
        for key in ("accuracy", "reduction")
    )
    return values, accuracy, reduction


def _finish_column(axes: Sequence[Axes], cost: str, default: float | None) -> None:
    for one in axes:
        one.grid(axis="y")
        if default is not None:
            one.axvline(default, color=MUTED, linewidth=1.0, linestyle="--", zorder=0)
    axes[0].set_title(cost_title(cost).replace(", ", ",\n", 1), fontsize=9, loc="left")
    axes[0].tick_params(labelbottom=False)
    axes[-1].set_xlabel("value, λ")
