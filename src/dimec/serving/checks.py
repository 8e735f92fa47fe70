"""What a tier's graph may be given: everything else is refused before it runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import IntArray
from dimec.base.errors import ProtocolError
from dimec.bundle.manifest import TierManifest
from dimec.protocol import LARGEST_TEXT, PAIR, TEXT, InferRequest, datatype_of

OUTPUT = "probabilities"
_ONE = np.ones(1, np.int64).tobytes()

Text = str | tuple[str, str]


@dataclass(frozen=True, eq=False)
class Rows:
    """Model inputs that are sound.

    Attributes:
        inputs: name → (B, T) int64, T the longest row's real tokens.
        lengths: (B,) real tokens of each row, 1 … T.
    """

    inputs: dict[str, IntArray]
    lengths: IntArray


def check_request(request: InferRequest, manifest: TierManifest, max_rows: int) -> Rows:
    """The rows of a request, without the columns in which every row is padded.

    Args:
        request: what was decoded.
        manifest: says which tensors the graph takes, and what may be in them.
        max_rows: the largest B.

    Raises:
        ProtocolError: one line that says what was expected and what came.
    """
    _check_outputs(request)
    shape = _check_shapes(request.inputs, manifest, max_rows)
    mask = request.inputs["attention_mask"]
    _check_range(request.inputs["input_ids"], "input_ids", manifest.vocabulary)
    # Bytes are compared in one go; arrays as small as most of these are not.
    unpadded = mask.tobytes() == _ONE * mask.size
    if not unpadded:
        _check_range(mask, "attention_mask", 2)
    if "token_type_ids" in manifest.inputs:
        _check_range(request.inputs["token_type_ids"], "token_type_ids", 2)
    if unpadded:
        return Rows(request.inputs, np.full(shape[0], shape[1], np.int64))
    lengths = mask.sum(axis=1)
    # A mask with gaps, or with padding on the left, is one that the model was never trained on.
    if not lengths.all() or (mask[:, 1:] > mask[:, :-1]).any():
        raise ProtocolError(
            "attention_mask: expected one or more 1 at the start of each row and only 0 behind them"
        )
    longest = int(lengths.max())
    if longest < shape[1]:
        return Rows({k: v[:, :longest] for k, v in request.inputs.items()}, lengths)
    return Rows(request.inputs, lengths)


def text_inputs(manifest: TierManifest) -> tuple[str, ...]:
    """Names of the inputs of a tier that takes texts, each BYTES (B, 1)."""
    return (TEXT, PAIR) if manifest.pairs else (TEXT,)


def check_texts(request: InferRequest, manifest: TierManifest, max_rows: int) -> list[Text]:
    """The B texts, or pairs, of a request to a tier that takes texts.

    Args:
        request: what was decoded; its texts are UTF-8.
        manifest: says whether they are pairs.
        max_rows: the largest B.

    Raises:
        ProtocolError: one line that says what was expected and what came.
    """
    _check_outputs(request)
    names = text_inputs(manifest)
    _check_names(request.inputs, names)
    rows = [_check_column(request.inputs[name], name) for name in names]
    if len({len(each) for each in rows}) > 1:
        raise ProtocolError(
            f"{PAIR}: expected as many rows as {TEXT}, {len(rows[0])}, got {len(rows[1])}"
        )
    if not 1 <= len(rows[0]) <= max_rows:
        raise ProtocolError(f"the batch: expected 1 to {max_rows} rows, got {len(rows[0])}")
    first, *second = ([value.decode("utf-8") for value in each] for each in rows)
    return list(zip(first, second[0], strict=True)) if second else list(first)


def _check_column(values: npt.NDArray[Any], name: str) -> list[bytes]:
    """The texts of one input."""
    if values.dtype.kind != "O":
        raise ProtocolError(
            f"{name}: expected datatype BYTES, got {datatype_of(values)}; this tier takes texts"
        )
    if values.ndim != 2 or values.shape[1] != 1:
        raise ProtocolError(f"{name}: expected a shape (rows, 1), got {values.shape}")
    column: list[bytes] = values[:, 0].tolist()
    longest = max(map(len, column), default=0)
    if longest > LARGEST_TEXT:
        raise ProtocolError(
            f"{name}: expected texts of at most {LARGEST_TEXT} bytes, got one of {longest}"
        )
    return column


def _check_outputs(request: InferRequest) -> None:
    for name in request.outputs:
        if name != OUTPUT:
            raise ProtocolError(f"there is no output {name!r}; ask for {OUTPUT!r}")


def _check_names(inputs: Iterable[str], expected: tuple[str, ...]) -> None:
    if set(inputs) != set(expected):
        raise ProtocolError(
            f"inputs: expected {', '.join(expected)}, got {', '.join(map(repr, inputs))}"
        )


def _check_shapes(
    inputs: dict[str, npt.NDArray[Any]], manifest: TierManifest, max_rows: int
) -> tuple[int, int]:
    """(B, T), the same for every tensor; the tensors are those that the graph takes, in int64."""
    _check_names(inputs, manifest.inputs)
    shape = inputs[manifest.inputs[0]].shape
    for name, values in inputs.items():
        if values.dtype != np.int64:
            raise ProtocolError(f"{name}: expected datatype INT64, got {datatype_of(values)}")
        if values.ndim != 2:
            raise ProtocolError(f"{name}: expected a shape (rows, tokens), got {values.shape}")
        if values.shape != shape:
            raise ProtocolError(
                f"{name}: expected the shape of {manifest.inputs[0]}, {shape}, got {values.shape}"
            )
    rows, tokens = shape
    if not 1 <= rows <= max_rows:
        raise ProtocolError(f"the batch: expected 1 to {max_rows} rows, got {rows}")
    if not 1 <= tokens <= manifest.max_tokens:
        raise ProtocolError(
            f"the length: expected 1 to {manifest.max_tokens} tokens, got {tokens}; truncate texts "
            "with the bundle's tokenizer"
        )
    return rows, tokens


def _check_range(values: IntArray, name: str, end: int) -> None:
    # As unsigned numbers negative ones are huge: one pass finds both kinds.
    if int(values.view(np.uint64).max()) >= end:
        raise ProtocolError(f"{name}: expected values from 0 to {end - 1}, got others")
