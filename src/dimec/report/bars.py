"""Rows of bars: shares of the tiers, or of their pools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dimec.report.style import tier_marks
from dimec.report.wording import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def stacked_bars(axes: Axes, names: Sequence[str], shares: NDArray[np.float64]) -> None:
    """One bar of K shares a row, from the top down; shares of 7 % and more are written."""
    marks = tier_marks(shares.shape[1])
    for row, values in enumerate(shares):
        left = 0.0
        for code, share in enumerate(values):
            axes.barh(row, share, 0.62, left, color=marks[code].colour, edgecolor="white")
            if share >= 0.07:
                axes.text(
                    left + share / 2,
                    row,
                    f"{percent(share, 0)} %",
                    ha="center",
                    va="center",
                    color=marks[code].on_colour,
                )
            left += share
    name_rows(axes, names)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100 %"])


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Rows with names at the left, the first at the top."""
    axes.set_yticks(range(len(names)), list(names))
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.spines["left"].set_visible(False)
