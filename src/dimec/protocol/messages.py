"""What travels: requests, responses, and the types of their arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dimec.base.errors import ProtocolError

NDArray = npt.NDArray[Any]

BINARY_HEADER = "Inference-Header-Content-Length"
# The inputs of a tier that tokenises by itself, each (B, 1): texts, and where it takes pairs their
# second halves.
TEXT, PAIR = "text", "pair"
LARGEST_TEXT = 1 << 20  # bytes of one of them

# Of numbers. Little-endian, whatever this machine is: the form that raw tensors have on the wire.
DATATYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    **{f"INT{8 * size}": np.dtype(f"<i{size}") for size in (1, 2, 4, 8)},
    **{f"UINT{8 * size}": np.dtype(f"<u{size}") for size in (1, 2, 4, 8)},
    **{f"FP{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)},
}
BYTES = "BYTES"  # of texts: see :mod:`dimec.protocol.texts`
_NAMES = {dtype: name for name, dtype in DATATYPES.items()}


@dataclass(frozen=True, eq=False)
class InferRequest:
    """A request for inference.

    Attributes:
        inputs: name → array of one dimension or more; of texts it has dtype object and holds
            ``bytes``.
        id: names the request; the response repeats it.
        outputs: names of the outputs asked for; empty means all.
        binary: the outputs that are wanted as raw bytes; True means all, False none.
        timeout: seconds after which the answer is of no use; None leaves it to the server.
    """

    inputs: dict[str, NDArray]
    id: str = ""
    outputs: tuple[str, ...] = ()
    binary: frozenset[str] | bool = False
    timeout: float | None = None


@dataclass(frozen=True, eq=False)
class InferResponse:
    """An answer: the model and version that gave it, the request's id, and arrays by name."""

    model: str
    version: str
    id: str
    outputs: dict[str, NDArray]


@dataclass(frozen=True)
class Limits:
    """How much a decoder takes.

    Attributes:
        max_inputs: tensors in one message, and outputs that one request may name.
        max_elements: numbers or texts in one tensor, and the largest single dimension.
        max_dimensions: dimensions of one tensor.
        max_text: characters of an id or a name.
    """

    max_inputs: int = 8
    max_elements: int = 1 << 20
    max_dimensions: int = 8
    max_text: int = 256


@dataclass(frozen=True)
class Message:
    """A body and the HTTP headers that belong to it."""

    headers: dict[str, str]
    body: bytes


def datatype_of(array: NDArray) -> str:
    """The protocol's name of an array's type, such as ``FP32``; of objects ``BYTES``.

    Raises:
        ProtocolError: a type that the protocol cannot carry.
    """
    if array.dtype.kind == "O":
        return BYTES
    try:
        return _NAMES[array.dtype.newbyteorder("<")]
    except KeyError:
        raise cannot_send(f"an array of {array.dtype}") from None


def cannot_send(what: str) -> ProtocolError:
    """The error for something of this side's own that has no place in the protocol."""
    return ProtocolError(
        f"the protocol cannot carry {what}; send numbers, booleans or UTF-8 bytes", status=500
    )
