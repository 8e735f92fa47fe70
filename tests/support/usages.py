"""Usages of the paper's three tiers, by the names of their parts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from dimec.tiers.usage import Usage

# What occurs: nothing is sent to the device, and only the cloud charges for a visit.
PARTS = {
    "mobile_layers": ("layers", 0),
    "edge_layers": ("layers", 1),
    "cloud_layers": ("layers", 2),
    "edge_offloads": ("sent", 1),
    "cloud_offloads": ("sent", 2),
    "cloud_charges": ("charges", 2),
    "edge_bytes": ("bytes", 1),
    "cloud_bytes": ("bytes", 2),
}


def usage_from(size: int, **parts: npt.ArrayLike) -> Usage:
    """A usage of ``size`` answers with these parts, and 0 elsewhere; numbers hold for all."""
    tables = {name: np.zeros((size, 3)) for name in ("layers", "sent", "charges", "bytes")}
    for name, values in parts.items():
        field, tier = PARTS[name]
        tables[field][:, tier] = values
    return Usage(**tables)


def named(usage: Usage) -> dict[str, npt.NDArray[np.float64]]:
    """(N,) of each part, by its name."""
    return {name: getattr(usage, field)[:, tier] for name, (field, tier) in PARTS.items()}


def usages(values: st.SearchStrategy[float], size: int) -> st.SearchStrategy[Usage]:
    """Usages of ``size`` answers made of such values."""
    column = st.lists(values, min_size=size, max_size=size)
    return st.fixed_dictionaries(dict.fromkeys(PARTS, column)).map(
        lambda parts: usage_from(size, **parts)
    )
