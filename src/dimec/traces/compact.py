"""A trace in few bytes, so that many can be kept: less than a third of the file that a run has.

Embeddings are whole numbers from -127 to 127 times a scale for each of their dimensions, so that
half a 127th of the largest value of a dimension is the most by which one is off. Probabilities
are 16-bit floats. What such rounding does to a policy's accuracy and cost is measured by the tests
of the traces that are kept so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dimec.base.errors import CorruptArtefactError
from dimec.base.storage import load_arrays, save_arrays
from dimec.traces.file import metadata_of
from dimec.traces.trace import Trace

_KIND = "compact trace"
_VERSION = 1
_EXTRA = "extra."
_MOST = 127


def save_compact(trace: Trace, path: Path) -> None:
    """Write a trace in its compact form: one checksummed safetensors file.

    Args:
        trace: of N samples.
        path: the file.
    """
    whole, scale = _whole_numbers(trace.embeddings)
    arrays: dict[str, npt.NDArray[Any]] = {
        "embeddings": whole,
        "scale": scale,
        "probabilities": trace.probabilities.astype(np.float16),
        "labels": trace.labels.astype(np.uint8 if len(trace.label_names) < 256 else np.int32),
        "lengths": trace.lengths.astype(np.int32),
        **{f"{_EXTRA}{name}": column.astype(np.float32) for name, column in trace.extra.items()},
    }
    save_arrays(path, _KIND, arrays, {"version": _VERSION, **metadata_of(trace)})


def load_compact(path: Path) -> Trace:
    """The trace of a compact file; its numbers are those of the file, as a run's trace has them.

    Raises:
        ArtefactError: missing, truncated, altered, or no compact trace.
    """
    arrays, metadata = load_arrays(path, _KIND, "dimec reproduce traces")
    try:
        if metadata.pop("version") != _VERSION:
            raise ValueError("it is of another version")
        embeddings = arrays["embeddings"].astype(np.float32) * arrays["scale"]
        probabilities = arrays["probabilities"].astype(np.float32)
        named: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in metadata.items()
        }
        return Trace(
            embeddings=embeddings.astype(np.float32),
            probabilities=probabilities,
            labels=arrays["labels"].astype(np.int64),
            lengths=arrays["lengths"].astype(np.int64),
            extra={
                name.removeprefix(_EXTRA): column.astype(np.float64)
                for name, column in arrays.items()
                if name.startswith(_EXTRA)
            },
            **named,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptArtefactError(
            f"{path} is no compact trace ({error}); bring back the file"
        ) from None


def _whole_numbers(
    embeddings: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """(N, D) whole numbers and (D,) the scale of each dimension."""
    largest = np.abs(embeddings).max(axis=0, initial=0.0)
    scale = np.where(largest > 0, largest / _MOST, 1.0).astype(np.float32)
    return np.rint(embeddings / scale).astype(np.int8), scale
