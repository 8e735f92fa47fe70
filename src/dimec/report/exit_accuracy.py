"""Accuracy of every exit, with the tiers marked (paper, figure 4a)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dimec.base.arrays import FloatArray
from dimec.report import series as data
from dimec.report.inputs import ReportInputs
from dimec.report.style import INK, MUTED, Drawing, drawing_style, new_axes, tier_marks, to_svg
from dimec.report.wording import join

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_exits(inputs: ReportInputs) -> Drawing:
    """Accuracy of every exit on the test split, with the tiers marked (paper, figure 4a).

    Where tiers have models of their own, each model's exits are joined by a line of their own.
    """
    series = data.exit_series(inputs.exit_accuracy, inputs.tiers, inputs.names, inputs.sources)
    exits, served = list(series.columns["exit"]), list(series.columns["tier"])
    models = list(series.columns.get("model", [""] * len(exits)))
    accuracy = 100 * np.asarray(series.columns["accuracy"], dtype=np.float64)
    with drawing_style("tiers"):
        figure, axes = new_axes(height=3.4)
        for model in dict.fromkeys(models):
            own = [place for place, one in enumerate(models) if one == model]
            of_model = [exits[place] for place in own], [served[place] for place in own]
            _draw_exit_marks(axes, *of_model, accuracy[own], inputs.names)
        last = [k for k, tiers in enumerate(served) if inputs.names[-1] in tiers.split("+")]
        if last:
            _draw_reference(axes, float(accuracy[last[0]]), inputs.names)
        axes.margins(x=0.14)
        _accuracy_limits(axes, accuracy)
        axes.set_xticks(sorted(set(exits)))
        axes.set_xlabel("exit (layers run)")
        axes.set_ylabel("accuracy (%)")
        axes.grid(axis="y")
        svg = to_svg(figure)
    told = [
        f"{_exit(model, layer)}{f' ({tiers})' if tiers else ''} {value:.1f} %"
        for model, layer, tiers, value in zip(models, exits, served, accuracy, strict=True)
    ]
    lines = " Each line is the exits of one tier's own model." if inputs.own_models else ""
    return Drawing(
        "tiers",
        "Accuracy per tier",
        "Accuracy on the test split if every input stopped at the same exit. The dashed line is "
        f"all-{inputs.names[-1]}; the axis does not start at 0.{lines}",
        f"Line plot. {join(told)}." if told else "No exit was recorded.",
        svg,
        series,
    )


def _exit(model: str, layer: int) -> str:
    """``exit 2``, or ``phone's exit 2``."""
    return f"{model}'s exit {layer}" if model else f"exit {layer}"


def _draw_exit_marks(
    axes: Axes,
    exits: list[int],
    served: list[str],
    accuracy: FloatArray,
    names: tuple[str, ...],
) -> None:
    """One mark an exit: those of a tier in its colour and named, the others small."""
    axes.plot(exits, accuracy, color=MUTED, linewidth=1.0, zorder=1)
    for layer, tiers, value in zip(exits, served, accuracy, strict=True):
        mark = tier_marks(len(names))[names.index(tiers.split("+")[-1])] if tiers else None
        axes.plot(
            layer,
            value,
            marker="o" if mark is None else mark.marker,
            markersize=5 if mark is None else 9,
            color="white" if mark is None else mark.colour,
            markeredgecolor=MUTED if mark is None else mark.colour,
            linestyle="none",
        )
        if not tiers and len(exits) > 8:
            continue  # no room; the value is in the CSV file and the description
        name = tiers.replace("+", " = ")
        axes.annotate(
            f"{name}\n{value:.1f} %" if tiers else f"{value:.1f}",
            (layer, value),
            (0, -9),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=9 if tiers else 8,
            color=INK if tiers else MUTED,
        )


def _draw_reference(axes: Axes, last: float, names: tuple[str, ...]) -> None:
    colour = tier_marks(len(names))[-1].colour
    axes.axhline(last, color=colour, linewidth=1.0, linestyle="--", zorder=0)
    axes.annotate(
        f"all-{names[-1]}",
        (0, last),
        (4, 3),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        color=colour,
        fontsize=9,
    )


def _accuracy_limits(axes: Axes, accuracy: FloatArray) -> None:
    """Room below for the names and above for the highest point, also where all are equal."""
    finite = accuracy[np.isfinite(accuracy)]
    if len(finite) == 0:
        return
    low, high = float(finite.min()), float(finite.max())
    span = max(high - low, 1.0)
    axes.set_ylim(low - 0.35 * span, high + 0.2 * span)
