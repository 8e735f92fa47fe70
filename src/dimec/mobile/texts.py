"""Texts as they are sent to a tier with a tokenizer of its own: bytes of UTF-8, in batches.

What stands behind the first 256 KiB of a text is not sent: a server takes requests of 1 MiB, unless
it is told otherwise, and far less makes all the tokens that a model reads. What is left out would
count only behind as much white space, or for a tokenizer that keeps the end of a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dimec.mobile.core import Text
from dimec.protocol import PAIR, TEXT

LONGEST = 1 << 18  # bytes of one text, a quarter of the largest that a server takes
MOST_BYTES = 1 << 19  # of the texts of one request, the two of a pair among them


def utf8_of(text: Text) -> tuple[bytes, ...]:
    """A text that was checked, or the two of a pair, in UTF-8; of a long one its beginning.

    Example:
        >>> utf8_of("naïve"), utf8_of(("a", "b"))
        ((b'na\\xc3\\xafve',), (b'a', b'b'))
    """
    parts = text if isinstance(text, tuple) else (text,)
    return tuple(_beginning(part[:LONGEST].encode("utf-8")) for part in parts)


def text_inputs(rows: Sequence[tuple[bytes, ...]]) -> dict[str, npt.NDArray[Any]]:
    """The inputs of B texts or pairs: ``text`` (B, 1), and of pairs ``pair`` (B, 1), of bytes."""
    names = (TEXT, PAIR)[: len(rows[0])]
    inputs = {name: np.empty((len(rows), 1), object) for name in names}
    for column, name in enumerate(names):
        inputs[name][:, 0] = [row[column] for row in rows]
    return inputs


def _beginning(text: bytes) -> bytes:
    """At most :data:`LONGEST` bytes, which end with a whole character."""
    if len(text) <= LONGEST:
        return text
    end = LONGEST
    while text[end] & 0xC0 == 0x80:  # inside of a character
        end -= 1
    return text[:end]
