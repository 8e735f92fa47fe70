"""The figures of the study of policies that look again: a task's curves, from a stored result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dimec.report.style import INK, MUTED, Drawing, Series, drawing_style, to_svg
from dimec_studies.ladders import CASCADE
from dimec_studies.panels import LINE_COLOURS, LINE_MARKERS, grid_of_axes
from dimec_studies.titles import task_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Task = Mapping[str, Any]
FOLDER = "look"  # of the figures, beside the page
_DASHES = ("-", "--", ":")


def images(result: Mapping[str, Any]) -> list[str]:
    """Markdown of the figures of a result ``savings``."""
    lines: list[str] = []
    for name in result["tasks"]:
        title = f"Accuracy over cost on {task_title(name)}, a line a system"
        lines += [f"![{title}]({FOLDER}/{name}.svg)", ""]
    return lines[:-1]


def draw_all(result: Mapping[str, Any]) -> list[Drawing]:
    """The figures of a result ``savings``, a task each."""
    return [draw_curves(name, task) for name, task in result["tasks"].items()]


def draw_curves(name: str, task: Task) -> Drawing:
    """Accuracy over cost on the test split, a line a system.

    Args:
        name: of the task.
        task: its part of the result ``savings``.
    """
    shown = [one for one in task["systems"] if len(one["front"]) > 1 and one["system"] != "single"]
    with drawing_style(f"look-{name}"):
        figure, grid = grid_of_axes(1, 1, 7.4, 4.6)
        axes = grid[0][0]
        for place, one in enumerate(sorted(shown, key=lambda one: one["system"] == CASCADE)):
            _draw(axes, one, place)
        _points(axes, task)
        axes.set_xlabel("mean cost of an answer, λ")
        axes.set_ylabel("right, % of the test rows")
        figure.legend(loc="outside right upper", fontsize=8)
        svg = to_svg(figure)
    columns = {
        "system": [one["system"] for one in shown for _ in one["front"]],
        "cost": [cost for one in shown for cost, _ in one["front"]],
        "accuracy": [accuracy for one in shown for _, accuracy in one["front"]],
    }
    return Drawing(
        name,
        f"Accuracy and cost on {task_title(name)}",
        "Each line goes through the points of a system that no other of it beats on the "
        "validation split, in figures of the test split. Grey: each tier alone, and the oracle.",
        f"Lines of accuracy over cost: {', '.join(one['title'] for one in shown)}.",
        svg,
        Series(columns),
    )


def _draw(axes: Axes, one: Mapping[str, Any], place: int) -> None:
    own = one["system"] == CASCADE
    axes.plot(
        [cost for cost, _ in one["front"]],
        [100 * accuracy for _, accuracy in one["front"]],
        color=INK if own else LINE_COLOURS[place % len(LINE_COLOURS)],
        linestyle="-" if own else _DASHES[place // len(LINE_COLOURS) % len(_DASHES)],
        linewidth=2.0 if own else 1.1,
        marker=LINE_MARKERS[place % len(LINE_MARKERS)],
        markersize=3.5,
        label=one["title"],
    )


def _points(axes: Axes, task: Task) -> None:
    for one, mark in [*((tier, "o") for tier in task["tiers"]), (task["oracle"], "*")]:
        axes.plot(one["cost"], 100 * one["accuracy"], mark, color=MUTED, markersize=8, zorder=1)
        axes.annotate(
            one["policy"],
            (one["cost"], 100 * one["accuracy"]),
            (4, -10),
            textcoords="offset points",
            fontsize=8,
            color=MUTED,
        )
