"""A column of texts that takes the room of its bytes: :class:`TextColumn`.

A million Python strings of a hundred characters take 250 MB and more beside the 100 MB that they
say. A column lays them end to end in UTF-8, as Arrow does, and makes a string of a row when it is
asked for.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, overload

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    Bytes = npt.NDArray[np.uint8]
    Positions = npt.NDArray[np.int64]

_CHUNK = 4096  # rows that become strings at once


class TextColumn(Sequence[str]):
    """N texts, immutable; equal to any sequence of the same texts.

    Args:
        data: (bytes,) uint8, UTF-8; shared, not copied.
        starts: (N,) int64, where in ``data`` each text begins.
        ends: (N,) int64, where it ends.
    """

    __slots__ = ("_data", "_ends", "_starts")

    def __init__(self, data: Bytes, starts: Positions, ends: Positions) -> None:
        self._data, self._starts, self._ends = data, starts, ends

    @classmethod
    def of(cls, texts: Iterable[str]) -> TextColumn:
        """Of any texts, taken one at a time.

        Raises:
            UnicodeEncodeError: half a surrogate pair, which is no text.
        """
        data, ends, end = bytearray(), array("q"), 0
        for text in texts:
            encoded = text.encode("utf-8")
            data += encoded
            end += len(encoded)
            ends.append(end)
        return cls.of_offsets(
            np.frombuffer(data, np.uint8), np.concatenate([[0], np.frombuffer(ends, np.int64)])
        )

    @classmethod
    def of_offsets(cls, data: Bytes, offsets: Positions) -> TextColumn:
        """Of texts that lie end to end; ``offsets`` (N + 1,) int64 tell where each begins."""
        return cls(data, offsets[:-1], offsets[1:])

    @classmethod
    def joined(cls, parts: Sequence[TextColumn]) -> TextColumn:
        """The texts of all parts, one behind the other."""
        shift = np.cumsum([0, *(len(part._data) for part in parts)]).tolist()
        return cls(
            np.concatenate([part._data for part in parts]),
            np.concatenate([p._starts + by for p, by in zip(parts, shift, strict=False)]),
            np.concatenate([p._ends + by for p, by in zip(parts, shift, strict=False)]),
        )

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> TextColumn: ...
    def __getitem__(self, row: int | slice) -> str | TextColumn:
        if isinstance(row, slice):
            return TextColumn(self._data, self._starts[row], self._ends[row])
        return str(self._data[self._starts[row] : self._ends[row]].data, "utf-8")

    def __iter__(self) -> Iterator[str]:
        view = self._data.data  # a slice of it is quicker than one of the array
        for first in range(0, len(self), _CHUNK):
            starts = self._starts[first : first + _CHUNK].tolist()
            ends = self._ends[first : first + _CHUNK].tolist()
            for start, end in zip(starts, ends, strict=True):
                yield str(view[start:end], "utf-8")

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str) or not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as a list: equal to sequences of other kinds

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self[:3]))
        return f"TextColumn([{shown}{', …' if len(self) > 3 else ''}], {len(self)} texts)"

    @property
    def nbytes(self) -> int:
        """Bytes of UTF-8 that the texts take; what they share counts for each."""
        return int((self._ends - self._starts).sum())

    def take(self, rows: npt.NDArray[np.int64]) -> TextColumn:
        """The texts at some positions, in their order.

        The bytes are shared where most of them are taken, and copied where few are, so that a small
        sample does not hold on to a large file.
        """
        taken = TextColumn(self._data, self._starts[rows], self._ends[rows])
        return taken if 2 * taken.nbytes > len(self._data) else TextColumn.of(taken)


def take_rows(texts: Sequence[str], rows: npt.NDArray[np.int64]) -> Sequence[str]:
    """The texts at some positions: a column of a column, a tuple of anything else."""
    if isinstance(texts, TextColumn):
        return texts.take(rows)
    return tuple(texts[row] for row in rows.tolist())


def first_repeated(texts: Sequence[str]) -> str | None:
    """A text that occurs more than once, or None; without a copy of them all."""
    hashes = np.fromiter((hash(text) for text in texts), np.int64, len(texts))
    values, counts = np.unique(hashes, return_counts=True)
    suspects = set(values[counts > 1].tolist())
    seen: set[str] = set()
    for text in texts if suspects else ():
        if hash(text) in suspects:
            if text in seen:
                return text
            seen.add(text)
    return None
