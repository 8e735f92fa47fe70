"""The file of a trace: one checksummed safetensors file, in two versions.

Version 1 knew one model. Version 2 says which source each exit and tier has, and each source's
model. Both are read; 2 is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dimec.base.errors import CorruptArtefactError, quoted
from dimec.base.storage import load_arrays, save_arrays

VERSION = 2

ARRAYS = ("embeddings", "probabilities", "labels", "lengths")
_TEXTS = ("task", "split", "metric", "model")
_LISTS_OF_TEXTS = ("guids", "label_names")
_LAYERS = ("exits", "tiers")
_SINCE_2 = ("sources", "tier_sources", "models")
METADATA = (*_TEXTS, *_LISTS_OF_TEXTS, *_LAYERS, *_SINCE_2)
WHERE_TRUE = ("answers_only", "outcomes_only")  # written where it is so, not said elsewhere

_KIND = "trace"
_MADE_BY = "dimec train"
_EXTRA = "extra."


def write_trace(
    path: Path,
    arrays: Mapping[str, npt.NDArray[Any]],
    extra: Mapping[str, npt.NDArray[np.float64]],
    metadata: Mapping[str, Any],
) -> None:
    """Write a trace's :data:`ARRAYS`, its extra columns and its :data:`METADATA`, atomically."""
    columns = {f"{_EXTRA}{name}": column for name, column in extra.items()}
    save_arrays(path, _KIND, {**arrays, **columns}, {"version": VERSION, **metadata})


def metadata_of(trace: Any) -> dict[str, Any]:
    """What the file of a :class:`dimec.traces.trace.Trace` says of it beside its arrays."""
    said = {name: getattr(trace, name) for name in METADATA}
    return said | {name: True for name in WHERE_TRUE if getattr(trace, name)}


def read_trace(path: Path) -> dict[str, Any]:
    """The fields of the trace in a file, of the right types; what they say is not checked.

    Raises:
        MissingArtefactError: no such file.
        CorruptArtefactError: truncated, altered, not a trace, or of a later version.
    """
    arrays, metadata = load_arrays(path, _KIND, _MADE_BY)
    version = metadata.pop("version", 1)
    if version not in (1, VERSION):
        raise CorruptArtefactError(
            f"{path} is a trace file of version {quoted(version)}, and this dimec reads versions "
            f"1 to {VERSION}; read it with the dimec that wrote it"
        )
    extra = {
        name.removeprefix(_EXTRA): arrays.pop(name)
        for name in list(arrays)
        if name.startswith(_EXTRA)
    }
    needed = set(METADATA) - (set(_SINCE_2) if version == 1 else set())
    said = metadata.keys() - set(WHERE_TRUE)
    if odd := (arrays.keys() ^ set(ARRAYS)) | (said ^ needed):
        raise _other(path, ", ".join(map(quoted, sorted(odd)[:3])))
    for name, value in metadata.items():
        if not fits(name, value):
            raise _other(path, f"{name} is of another type")
    lists = {name: tuple(value) for name, value in metadata.items() if isinstance(value, list)}
    return {**arrays, **metadata, **lists, "extra": extra}


def fits(name: str, value: object) -> bool:
    """Whether a value is of the type that a trace's metadata has under a name."""
    if name in _TEXTS:
        return isinstance(value, str)
    if name in WHERE_TRUE:
        return value is True
    if name == "models":
        return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())
    kind = int if name in _LAYERS else str
    return isinstance(value, list) and all(type(one) is kind for one in value)


def _other(path: Path, what: str) -> CorruptArtefactError:
    return CorruptArtefactError(
        f"{path} has other parts than a trace ({what}); make it again with: {_MADE_BY}"
    )
