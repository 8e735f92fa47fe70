"""Arrays of ``BYTES``: texts in UTF-8, as JSON strings or as raw bytes with their lengths.

Raw, an element is its length in 4 bytes, little-endian and without a sign, and then its bytes.
In memory such an array has the dtype object, and its elements are ``bytes``.

The protocol leaves open what the bytes are. Here they are texts, so that whatever can be said raw
can be said in JSON too: what is no UTF-8 is refused.

Source: Triton's "Binary Tensor Data" extension.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from dimec.base.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dimec.protocol.messages import NDArray

LENGTH = 4  # bytes that say how many follow


def from_raw(raw: memoryview, shape: Sequence[int], where: str) -> NDArray:
    """The array that raw bytes hold, all of them and nothing else.

    Args:
        raw: lengths and bytes, row by row.
        shape: of the array.
        where: the tensor's name in a message.

    Raises:
        ProtocolError: the lengths do not sum up to the bytes, or an element is no UTF-8.
    """
    values: list[bytes] = []
    offset = 0
    for number in range(prod(shape)):
        left = len(raw) - offset - LENGTH
        if left < 0:
            raise ProtocolError(
                f"{where}: expected {LENGTH} bytes with the length of element {number}, got "
                f"{left + LENGTH}"
            )
        start = offset + LENGTH
        length = int.from_bytes(raw[offset:start], "little")
        if length > left:
            raise ProtocolError(
                f"{where}: element {number} is to have {length} bytes, and {left} are left"
            )
        offset = start + length
        values.append(bytes(raw[start:offset]))
    if offset != len(raw):
        raise ProtocolError(
            f"{where}: expected {offset} bytes by the lengths of its elements, got {len(raw)}"
        )
    for number, value in enumerate(values):
        if not is_text(value):
            raise ProtocolError(f"{where}: element {number} is no UTF-8; send texts")
    return _array(values, shape)


def from_strings(values: list[str], shape: Sequence[int]) -> NDArray:
    """The array of JSON strings, given row by row."""
    return _array([value.encode("utf-8") for value in values], shape)


def to_raw(values: list[bytes]) -> bytes:
    """Lengths and bytes of elements, each below 4 GiB."""
    return b"".join(
        part for value in values for part in (len(value).to_bytes(LENGTH, "little"), value)
    )


def is_text(value: bytes) -> bool:
    """Whether bytes are UTF-8."""
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _array(values: list[bytes], shape: Sequence[int]) -> NDArray:
    # Filled in place: numpy would otherwise look for a shape of its own.
    array = np.empty(len(values), object)
    array[:] = values
    return array.reshape(shape)
