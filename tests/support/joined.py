"""Traces of several models over the same samples, in orders of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from dimec.traces.trace import Trace
from support.builders import make_trace

NAMES = tuple(f"class {code}" for code in range(4))  # as make_trace names them

_EXITS = ((0,), (6,), (0, 2), (2, 4, 6), (1, 3, 5, 12))


def shuffled(trace: Trace, order: npt.NDArray[np.int64]) -> Trace:
    """The same samples in another order."""
    arrays = ("embeddings", "probabilities", "labels", "lengths")
    fields: dict[str, Any] = {name: getattr(trace, name)[order] for name in arrays}
    extra = {name: column[order] for name, column in trace.extra.items()}
    return replace(trace, **fields, extra=extra, guids=tuple(trace.guids[i] for i in order))


def recoded(trace: Trace, order: list[int]) -> Trace:
    """The same samples with the classes in another order."""
    return replace(
        trace,
        probabilities=trace.probabilities[:, :, order],
        labels=np.argsort(order)[trace.labels],
        label_names=tuple(trace.label_names[code] for code in order),
    )


@st.composite
def same_samples(draw: st.DrawFn) -> dict[str, Trace]:
    """One to three traces of the same samples: rows, classes, exits and models differ."""
    size, classes = draw(st.integers(1, 8)), draw(st.integers(2, 4))
    labels = make_trace(size, classes=classes, seed=draw(st.integers(0, 99))).labels
    traces = {}
    names = ("", "small", "gpu-2", "größer")
    for source in draw(st.lists(st.sampled_from(names), min_size=2, max_size=3, unique=True)):
        exits = draw(st.sampled_from(_EXITS))
        trace = make_trace(
            size,
            dim=draw(st.integers(1, 3)),
            classes=classes,
            exits=exits,
            tiers=exits[-1:],
            seed=draw(st.integers(0, 2**16)),
            labels=labels,
            model=source.encode().hex().ljust(64, "0"),
        )
        trace = shuffled(trace, np.array(draw(st.permutations(range(size))), np.int64))
        traces[source] = recoded(trace, draw(st.permutations(range(classes))))
    return traces
