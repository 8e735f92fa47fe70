"""Tables in the columns of text that there are: nothing is cut, nothing is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.box import Box
    from rich.console import Console, ConsoleOptions
    from rich.table import Table
    from rich.text import Text

_LEAST = 12  # characters that a column of words may be folded to, where there is no room
_NAME = 16  # characters of the first column, which names the rows, that are kept on a line


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: above it; may have several lines.
        cells: one a row, of one line or more.
        words: text, on the left; it is folded where there is no room. Else a number, on the right,
            which stays in one piece.
    """

    title: str
    cells: Sequence[str]
    words: bool = False

    @property
    def width(self) -> int:
        """Characters of its longest line."""
        from rich.cells import cell_len

        lines = [line for cell in (self.title, *self.cells) for line in cell.split("\n")]
        return max(map(cell_len, lines), default=0)


@dataclass(frozen=True)
class Columns:
    """What rich prints as :func:`fit_columns` lays it out in the width that there is."""

    columns: Sequence[Column]
    gap: int = 2
    box: Box | None = None
    title: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        from rich.text import Text

        title = Text(self.title, style="italic") if self.title else None
        width = options.max_width
        yield from fit_columns(self.columns, width, gap=self.gap, box=self.box, title=title)


def fit_columns(
    columns: Sequence[Column],
    width: int,
    *,
    gap: int = 2,
    box: Box | None = None,
    styles: Sequence[str | None] = (),
    title: Text | None = None,
    caption: Text | None = None,
) -> list[Table]:
    """One table, or several below each other where one is too wide, each with the first column.

    Args:
        columns: the first one names the rows.
        width: characters that a line has.
        gap: spaces between two columns.
        box: lines of the table; none are drawn at its edges.
        styles: one a row.
        title: above the first table.
        caption: below the last one.
    """
    from rich.text import Text

    ruled = gap + (1 if box is not None else 0)
    blocks = _blocks(columns, width, ruled)
    return [
        _table(
            block,
            _widths(block, width, ruled),
            gap,
            box,
            styles,
            title if number == 0 else Text(" "),  # an empty line between two
            caption if number == len(blocks) - 1 else None,
        )
        for number, block in enumerate(blocks)
    ]


def _blocks(columns: Sequence[Column], width: int, gap: int) -> list[list[Column]]:
    """The columns of each table: as many as fit, but at least one beside the first."""
    first, *others = columns
    blocks: list[list[Column]] = [[first]]
    for column in others:
        least = _least([*blocks[-1], column])
        if len(blocks[-1]) > 1 and sum(least) + gap * (len(least) - 1) > width:
            blocks.append([first])
        blocks[-1].append(column)
    return blocks


def _least(block: Sequence[Column]) -> list[int]:
    """The characters that each column takes at least: words may be folded."""
    least = [min(one.width, _LEAST) if one.words else one.width for one in block]
    if block[0].words:
        least[0] = min(block[0].width, _NAME)
    return least


def _widths(block: Sequence[Column], width: int, gap: int) -> list[int]:
    """The characters of each column: what it takes at least, and what is left for words."""
    widths = _least(block)
    spare = width - sum(widths) - gap * (len(block) - 1)
    for number, column in enumerate(block):
        more = min(max(spare, 0), column.width - widths[number])
        widths[number], spare = widths[number] + more, spare - more
    for number in (0, *range(len(block) - 1, 0, -1)):  # narrower than that: all are folded
        less = min(max(-spare, 0), widths[number] - 1)
        widths[number], spare = widths[number] - less, spare + less
    return widths


def _table(
    block: Sequence[Column],
    widths: Sequence[int],
    gap: int,
    box: Box | None,
    styles: Sequence[str | None],
    title: Text | None,
    caption: Text | None,
) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box,
        padding=(0, gap, 0, 0),
        pad_edge=False,
        show_edge=False,
        title=title,
        title_justify="left",
        caption=caption,
        caption_justify="left",
    )
    for column, width in zip(block, widths, strict=True):
        table.add_column(
            Text(column.title),
            justify="left" if column.words else "right",
            overflow="fold",
            width=width,
        )
    rows = zip(*[column.cells for column in block], strict=True)
    for number, cells in enumerate(rows):
        table.add_row(*map(Text, cells), style=styles[number] if styles else None)
    return table
