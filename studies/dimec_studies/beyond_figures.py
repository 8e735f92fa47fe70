"""The figure of docs/beyond.md: accuracy over cost of three methods on every task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dimec.report.style import INK, MUTED, Drawing, Series, drawing_style, to_svg
from dimec_studies.ladders import CASCADE
from dimec_studies.panels import LINE_COLOURS, LINE_MARKERS, panel_grid
from dimec_studies.pooled import BASE, parts_of, tasks_in
from dimec_studies.titles import task_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOLDER = "beyond"  # of the figure, beside the page
NAME = "curves"
# The way and the system of each line, and what it is called.
LINES = (
    ("joint", "dimec-fixed-quantile", "the paper's router, one model cut"),
    ("joint", "exit-cascade", "a threshold per exit, one model cut"),
    ("own", CASCADE, "the cascade, a model each"),
)


def draw(result: Mapping[str, Any]) -> Drawing:
    """A panel for each task, of the first seed; the plain fine-tuning is the grey line."""
    tasks = tasks_in(result)
    columns: dict[str, list[Any]] = {"task": [], "line": [], "cost": [], "accuracy": []}
    with drawing_style("beyond-curves"):
        figure, panels = panel_grid(len(tasks), 2.8, 2.5)
        for axes, task in zip(panels, tasks, strict=True):
            parts = next(iter(parts_of(result, task).values()))
            _panel(axes, task, {part["recipe"]: part for part in parts}, columns)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8)
        svg = to_svg(figure)
    return Drawing(
        NAME,
        "Accuracy and cost on the trace collection",
        "Each line goes through the points of a method that no other of its points beats on "
        "validation rows, in figures of the test rows; grey: the plain fine-tuning alone.",
        f"Lines of accuracy over cost on {', '.join(map(task_title, tasks))}.",
        svg,
        Series(columns),
    )


def _panel(
    axes: Axes, task: str, parts: Mapping[str, Mapping[str, Any]], columns: dict[str, list[Any]]
) -> None:
    for place, (recipe, system, title) in enumerate(LINES):
        if recipe not in parts:
            continue
        points = parts[recipe]["charges"][BASE]["systems"][system]["front"]
        axes.plot(
            [cost for cost, _ in points],
            [100 * accuracy for _, accuracy in points],
            color=INK if system == CASCADE else LINE_COLOURS[place],
            linewidth=1.8 if system == CASCADE else 1.1,
            marker=LINE_MARKERS[place],
            markersize=3,
            label=title,
        )
        for cost, accuracy in points:
            for name, value in zip(columns, (task, title, cost, accuracy), strict=True):
                columns[name].append(value)
    reference = 100 * parts["own"]["tiers"][-1]["right"]
    axes.axhline(reference, color=MUTED, linewidth=0.9, zorder=0)
    axes.set_title(task_title(task), fontsize=9)
    axes.set_xlabel("mean cost, λ", fontsize=8)
    axes.set_ylabel("right, %", fontsize=8)
