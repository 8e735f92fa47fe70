"""What a tier's graph may be given: everything else is refused before it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import IntArray
from dimec.base.errors import ProtocolError
from dimec.bundle.manifest import TierManifest
from dimec.protocol import InferRequest, datatype_of

OUTPUT = "probabilities"


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
    for name in request.outputs:
        if name != OUTPUT:
            raise ProtocolError(f"there is no output {name!r}; ask for {OUTPUT!r}")
    shape = _check_shapes(request.inputs, manifest, max_rows)
    mask = request.inputs["attention_mask"]
    _check_range(request.inputs["input_ids"], "input_ids", manifest.vocabulary)
    _check_range(mask, "attention_mask", 2)
    if "token_type_ids" in manifest.inputs:
        _check_range(request.inputs["token_type_ids"], "token_type_ids", 2)
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


def _check_shapes(
    inputs: dict[str, npt.NDArray[Any]], manifest: TierManifest, max_rows: int
) -> tuple[int, int]:
    """(B, T), the same for every tensor; the tensors are those that the graph takes, in int64."""
    if inputs.keys() != set(manifest.inputs):
        raise ProtocolError(
            f"inputs: expected {', '.join(manifest.inputs)}, got {', '.join(map(repr, inputs))}"
        )
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
