"""Colours, sizes and the way a figure becomes an SVG file; nothing here knows what is drawn."""

from __future__ import annotations

import csv
import importlib
import io
import itertools
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dimec.base.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Paul Tol's "high contrast" scheme: told apart by colour-blind readers and in grey print.
COLOURS = ("#004488", "#DDAA33", "#BB5566")
ON_COLOURS = ("#ffffff", "#000000", "#ffffff")  # text that is legible on each
MARKERS = ("o", "^", "s")
# Of more tiers than three: his "bright" scheme.
MORE_COLOURS = ("#4477AA", "#CCBB44", "#EE6677", "#228833", "#66CCEE", "#AA3377", "#BBBBBB")
_ON_MORE_COLOURS = ("#ffffff", "#000000", "#000000", "#ffffff", "#000000", "#ffffff", "#000000")
_MORE_MARKERS = ("o", "^", "s", "D", "v", "P", "X")
INK = "#222222"
MUTED = "#6b6b6b"
GRID = "#dddddd"

RASTER_ABOVE = 2000  # more points than this are drawn as one picture inside the SVG

_RC: dict[str, Any] = {
    # Text stays text: a third of the size of outlines, and it can be searched. The fallbacks are
    # no wider than the font that the layout was measured with.
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "Helvetica"],
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "font.size": 10.0,
    "axes.labelsize": 10.0,
    "axes.titlesize": 10.0,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "legend.fontsize": 9.0,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "savefig.dpi": 200.0,
    "axes.unicode_minus": True,
}


@dataclass(frozen=True)
class Mark:
    """How a tier and its pool are drawn: colour, the colour of text on it, and marker."""

    colour: str
    on_colour: str
    marker: str


def tier_marks(count: int) -> list[Mark]:
    """The marks of so many tiers, in order. Beyond seven they come again."""
    few = [Mark(*parts) for parts in zip(COLOURS, ON_COLOURS, MARKERS, strict=True)]
    if count <= len(few):  # the last of two is the cloud, as the last of three
        return few[:count] if count != 2 else [few[0], few[2]]
    more = zip(MORE_COLOURS, _ON_MORE_COLOURS, _MORE_MARKERS, strict=True)
    return list(itertools.islice(itertools.cycle(Mark(*parts) for parts in more), count))


@dataclass(frozen=True, eq=False)
class Series:
    """The data of a figure: named columns of equal length."""

    columns: Mapping[str, Sequence[Any]]

    def to_csv(self) -> str:
        """A header row and one line a record; floats with all their digits."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(zip(*self.columns.values(), strict=True))
        return stream.getvalue()


@dataclass(frozen=True, eq=False)
class Drawing:
    """One finished figure: ``name.svg``, ``name.csv`` and the words around it."""

    name: str
    title: str
    caption: str
    description: str  # read aloud in place of the picture
    svg: str
    series: Series


def require(package: str, purpose: str) -> Any:
    """Import an optional package of the extra ``plots``.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError:
        raise MissingExtraError(package, "plots", purpose) from None


def drawing_style(salt: str) -> AbstractContextManager[None]:
    """Settings for the figure named ``salt``, in force within the ``with`` block only."""
    matplotlib = require("matplotlib", "drawing the report's figures")
    style: dict[str, Any] = dict(matplotlib.rcParamsDefault)
    # Switching the backend is pyplot's business, which is never imported here.
    for key in [key for key in style if key.startswith("backend")]:
        del style[key]
    context: AbstractContextManager[None] = matplotlib.rc_context(
        style | _RC | {"svg.hashsalt": f"dimec-{salt}"}
    )
    return context


def new_axes(width: float = 5.6, height: float = 3.9) -> tuple[Figure, Axes]:
    """A figure, its sides in inches, with one pair of axes, outside pyplot's register."""
    require("matplotlib", "drawing the report's figures")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def to_svg(figure: Figure) -> str:
    """The figure as SVG, the same bytes every time: no date, no metadata."""
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    text = stream.getvalue().decode("utf-8")
    return re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)


def inline_svg(drawing: Drawing) -> str:
    """The drawing's SVG as an element of an HTML page.

    Its ids get the drawing's name as prefix, because several figures share the page, and its size
    follows the page.
    """
    start = drawing.svg.index("<svg")
    text = drawing.svg[start:].strip()
    text = re.sub(r'\bid="([^"]*)"', rf'id="{drawing.name}-\1"', text)
    text = re.sub(r'href="#([^"]*)"', rf'href="#{drawing.name}-\1"', text)
    text = re.sub(r"url\(#([^)]*)\)", rf"url(#{drawing.name}-\1)", text)
    head, body = text.split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    label = f'role="img" aria-labelledby="{drawing.name}-title {drawing.name}-description"'
    return f"{head} {label}>{body}"
