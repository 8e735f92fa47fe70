"""Markdown from numbers: tables, figures with intervals, headings and their anchors."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dimec.report.wording import number

Statistic = Mapping[str, Any]  # {"mean", "low", "high", "sd"}, each a number or null

MISSING = ""


def table(header: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> str:
    """A table whose first ``texts`` columns are words and the others numbers.

    Raises:
        ValueError: a row is not as long as the header.
    """
    if wrong := [row for row in rows if len(row) != len(header)]:
        raise ValueError(f"expected {len(header)} cells a row, got {len(wrong[0])}: {wrong[0]}")
    rule = ["---"] * texts + ["---:"] * (len(header) - texts)
    return "\n".join("| " + " | ".join(map(_cell, row)) + " |" for row in (header, rule, *rows))


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def details(summary: str, body: str) -> str:
    """A part that is closed until its summary is clicked."""
    return f"<details>\n<summary>{summary}</summary>\n\n{body}\n\n</details>"


def anchor(heading: str) -> str:
    """The fragment by which GitHub and most renderers name a heading.

    Example:
        >>> anchor("Table 1: SST-2, and more")
        'table-1-sst-2-and-more'
    """
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def value(statistic: Statistic, scale: float = 100, digits: int = 1) -> str:
    """``"91.2"``: the mean alone."""
    return number(scale * float(statistic["mean"]), digits)


def spread(statistic: Statistic, scale: float = 100, digits: int = 1) -> str:
    """``"91.2 ± 0.4"``: mean and standard deviation over the seeds, where there are several."""
    text = value(statistic, scale, digits)
    if (deviation := statistic.get("sd")) is None:
        return text
    told = number(scale * float(deviation), digits)
    return text if float(told) == 0 else f"{text} ± {told}"


def bounded(statistic: Statistic | None, scale: float = 100, digits: int = 1) -> str:
    """``"1.4 (0.2 to 2.6)"``: the mean with its interval; the mean alone where that is a point."""
    if statistic is None:
        return MISSING
    text = value(statistic, scale, digits)
    low, high = statistic.get("low"), statistic.get("high")
    if low is None or high is None:
        return text
    ends = [number(scale * float(end), digits) for end in (low, high)]
    return text if ends[0] == ends[1] else f"{text} ({ends[0]} to {ends[1]})"


def significant(figure: float, digits: int = 3) -> str:
    """``1234.56`` → ``"1,230"``, ``0.001234`` → ``"0.00123"``: never an exponent."""
    if not math.isfinite(figure):
        return "n/a"
    if figure == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(figure)))
    rounded = round(figure, places)
    return f"{rounded:,.{max(0, places)}f}"


def span(figures: Sequence[float], scale: float = 100, digits: int = 1, unit: str = "") -> str:
    """``"1.2 to 3.4 %"``: the smallest and largest; one figure where they are written alike."""
    low, high = (number(scale * end, digits) for end in (min(figures), max(figures)))
    return f"{low}{unit}" if low == high else f"{low} to {high}{unit}"


def count(number_of: int, one: str, several: str | None = None) -> str:
    """``count(1, "seed")`` → ``"1 seed"``, ``count(3, "seed")`` → ``"3 seeds"``."""
    return f"{number_of:,} {one if number_of == 1 else several or one + 's'}"


def sizes(numbers: Iterable[float]) -> str:
    """``"2,000"``, or ``"1,060 or 2,000"`` where they differ."""
    return " or ".join(f"{size:,}" for size in sorted({int(one) for one in numbers}))
