"""The figures beyond the paper's: streams of other domains, human raters, selected rows."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from typing import Any

from dimec.report.bars import name_rows
from dimec.report.style import Drawing, Series, drawing_style, to_svg
from dimec_studies.figure_tables import Entry, grouped
from dimec_studies.panels import (
    LINE_COLOURS,
    LINE_MARKERS,
    grid_of_axes,
    interval_rows,
    legend,
)
from dimec_studies.study_tables import (
    CORRELATIONS,
    advantage,
    correlation,
    pair_name,
    selection_accuracies,
)


def draw_streams(name: str, cells: Sequence[Entry]) -> Drawing:
    """Ours-D minus Ours-F on streams of each domain, with 95 % intervals."""
    names = [pair_name(cell) for cell in cells]
    columns: dict[str, list[Any]] = {"pair": names}
    with drawing_style(name):
        figure, axes = grid_of_axes(1, 2, 7.4, max(2.4, 1.0 + 0.3 * len(names)))
        for panel, key, scale, label in (
            (axes[0][0], "accuracy", 100, "Ours-D minus Ours-F, points of accuracy"),
            (axes[0][1], "cost", 1, "Ours-D minus Ours-F, λ an answer"),
        ):
            told = [advantage(cell, key) for cell in cells]
            columns |= {f"{key}_{end}": [one[end] for one in told] for end in _ENDS}
            interval_rows(panel, told, scale=scale)
            panel.set_xlabel(label)
        name_rows(axes[0][0], names)
        name_rows(axes[0][1], [""] * len(names))
        svg = to_svg(figure)
    pairs = "; ".join(
        f"{pair} {100 * value:+.2f}"
        for pair, value in zip(names, columns["accuracy_mean"], strict=True)
    )
    return Drawing(
        name,
        "Following another domain",
        "Trained on one domain, streamed another: accuracy and cost of Ours-D minus those of "
        "Ours-F, with 95 % intervals, mean over the seeds.",
        f"Dot plots with intervals. Points of accuracy: {pairs}.",
        svg,
        Series(columns),
    )


_ENDS = ("mean", "low", "high")


def draw_raters(name: str, raters: Sequence[Entry]) -> Drawing:
    """Rank correlations of dimec's measures with the human raters' disagreement."""
    domains = grouped(raters, "domain")
    names = [domain for (domain,) in domains]
    columns: dict[str, list[Any]] = {"domain": names}
    with drawing_style(name):
        figure, grid = grid_of_axes(1, 1, 6.4, max(2.4, 1.3 + 0.6 * len(names)))
        axes = grid[0][0]
        for k, key in enumerate(CORRELATIONS):
            told = [correlation(entries, key) for entries in domains.values()]
            columns[key] = [one["mean"] for one in told]
            interval_rows(
                axes,
                told,
                shift=0.18 * (k - (len(CORRELATIONS) - 1) / 2),
                colour=LINE_COLOURS[k],
                mark=LINE_MARKERS[k],
            )
        name_rows(axes, names)
        axes.set_xlabel("Spearman's ρ with the raters' disagreement")
        size = len(CORRELATIONS)
        legend(figure, list(CORRELATIONS.values()), LINE_COLOURS[:size], LINE_MARKERS[:size])
        svg = to_svg(figure)
    return Drawing(
        name,
        "Pools and human raters",
        "Rank correlation between the spread of the human raters' scores and what the model made "
        "of the same texts, with 95 % intervals, mean over the seeds.",
        f"Dot plot with intervals, by domain: {', '.join(names)}.",
        svg,
        Series(columns),
    )


def draw_selections(name: str, rows: Sequence[Entry]) -> Drawing:
    """Accuracy by what was trained on, at home and on other domains, a mark a seed."""
    accuracies = selection_accuracies(rows)
    places = list(dict.fromkeys(place for one in accuracies.values() for place in one))
    kinds = list(accuracies)
    with drawing_style(name):
        figure, grid = grid_of_axes(1, 1, 6.4, max(2.4, 1.3 + 0.6 * len(places)))
        axes = grid[0][0]
        for k, kind in enumerate(kinds):
            shift = 0.14 * (k - (len(kinds) - 1) / 2)
            colour, mark = LINE_COLOURS[k % len(LINE_COLOURS)], LINE_MARKERS[k % len(LINE_MARKERS)]
            for row, place in enumerate(places):
                values = [100 * value for value in accuracies[kind].get(place, [])]
                if values:
                    axes.hlines(row + shift, min(values), max(values), color=colour, linewidth=1.2)
                    axes.plot(
                        values,
                        [row + shift] * len(values),
                        linestyle="none",
                        marker=mark,
                        markersize=5,
                        color=colour,
                    )
        name_rows(axes, places)
        axes.grid(axis="x")
        axes.set_xlabel("accuracy of the last exit (%); the axis does not start at 0")
        size = range(len(kinds))
        legend(
            figure,
            kinds,
            [LINE_COLOURS[k % len(LINE_COLOURS)] for k in size],
            [LINE_MARKERS[k % len(LINE_MARKERS)] for k in size],
        )
        svg = to_svg(figure)
    told = "; ".join(
        f"{kind}: "
        + ", ".join(f"{place} {100 * mean(values):.1f} %" for place, values in found.items())
        for kind, found in accuracies.items()
    )
    return Drawing(
        name,
        "Training on what a data map selects",
        "Accuracy of the last exit after training on all rows and on each selection, on the test "
        "split of the same domain and on other domains; a mark a seed.",
        f"Dot plot, means over the seeds. {told}.",
        svg,
        Series(
            {
                "kind": [k for k, one in accuracies.items() for v in one.values() for _ in v],
                "place": [p for one in accuracies.values() for p, v in one.items() for _ in v],
                "accuracy": [a for one in accuracies.values() for v in one.values() for a in v],
            }
        ),
    )
