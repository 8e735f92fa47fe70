"""Recordings of links that were measured, from a CSV file.

A head names the columns, in any order:

    recording       optional: rows of different names are different recordings
    seconds         from the recording's begin; ascending
    up_mbit         megabits a second from the phone; 0 where there was no link
    down_mbit       and to it
    round_trip_ms   to the edge and back

Each row holds until the next one's moment. The last holds as long as the rows do in the middle
(their median), and then the recording begins anew; of one row it holds throughout.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from dimec.base.arrays import BoolArray, FloatArray, IntArray
from dimec.base.errors import DataError, quoted

COLUMNS = ("seconds", "up_mbit", "down_mbit", "round_trip_ms")
_NAME = "recording"


@dataclass(frozen=True, eq=False)
class Recording:
    """One recording of R rows.

    Attributes:
        name: of the recording.
        moments: (R,) seconds, ascending from 0 on.
        up_mbit, down_mbit, round_trip_ms: (R,) from each moment on.
        seconds: of the whole.
    """

    name: str
    moments: FloatArray
    up_mbit: FloatArray
    down_mbit: FloatArray
    round_trip_ms: FloatArray
    seconds: float

    @classmethod
    def of(cls, name: str, rows: FloatArray) -> Self:
        """From (R, 4) values of :data:`COLUMNS`, the first moment of which becomes 0."""
        moments = rows[:, 0] - rows[0, 0]
        gaps = np.diff(moments)
        last = float(np.median(gaps)) if len(gaps) else 1.0
        return cls(name, moments, rows[:, 1], rows[:, 2], rows[:, 3], float(moments[-1]) + last)

    @property
    def lost(self) -> BoolArray:
        """(R,) whether there was no link."""
        none: BoolArray = (self.up_mbit == 0) | (self.down_mbit == 0)
        return none

    def at(self, times: FloatArray) -> IntArray:
        """(N,) the row that holds at each time, the recording gone through again and again."""
        return np.searchsorted(self.moments, times % self.seconds, "right") - 1


def read_recordings(path: Path) -> list[Recording]:
    """All recordings of a CSV file, in the order in which they begin there.

    Raises:
        DataError: no such file, no such column, a value that is none, moments that do not ascend,
            or no row with a link; names the line.
    """
    try:
        if path.exists() and not path.is_file():  # a device has no end
            raise DataError(f"cannot read the links {path}: it is no regular file")
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot read the links {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"the links {path} are no text in UTF-8") from None
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
        raise DataError(
            f"the links {path} need the columns {', '.join(COLUMNS)}; {missing[0]} is missing "
            f"(their head is {quoted(','.join(reader.fieldnames or ()))})"
        )
    found: dict[str, list[list[float]]] = {}
    for row in reader:
        where = f"{path}, line {reader.line_num}"
        name = row.get(_NAME) or ""
        rows = found.setdefault(name, [])
        rows.append(_values(row, where))
        if len(rows) > 1 and rows[-1][0] <= rows[-2][0]:
            raise DataError(
                f"{where}: seconds must ascend within a recording, got {rows[-1][0]:g} after "
                f"{rows[-2][0]:g}"
            )
    recordings = [Recording.of(name, np.array(rows)) for name, rows in found.items()]
    if not any((~one.lost).any() for one in recordings):
        raise DataError(f"the links {path} have no row with a rate above 0 in both directions")
    return recordings


def _values(row: dict[str, str], where: str) -> list[float]:
    values = []
    for name in COLUMNS:
        try:
            value = float(row[name])
        except (TypeError, ValueError):
            raise DataError(
                f"{where}: {name} must be a number, got {quoted(row[name] or '')}"
            ) from None
        if not (np.isfinite(value) and value >= 0):
            raise DataError(f"{where}: {name} must be finite and at least 0, got {value:g}")
        values.append(value)
    return values
