"""Traces of different samples at the same exits, put one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dimec.base.arrays import FloatArray
from dimec.base.errors import ConfigError, MismatchError, quoted, shown
from dimec.traces.trace import Trace

# What has to agree; it says what the probabilities are of, and whose they are.
_SAME = ("exits", "sources", "tiers", "tier_sources", "label_names", "model", "models")


def stack(traces: Sequence[Trace]) -> Trace:
    """One trace of the samples of several, in their order.

    Task, split and metric are the first one's. An extra column that a trace lacks is NaN on its
    rows.

    Args:
        traces: at the same exits of the same models.

    Raises:
        ConfigError: no traces.
        MismatchError: they differ in exits, tiers, models, names of labels or width of the
            embeddings, or hold a guid twice.

    Example:
        >>> def trace(guid, **extra):
        ...     return Trace(
        ...         embeddings=np.zeros((1, 4), np.float32),
        ...         probabilities=np.array([[[0.9, 0.1]]], np.float32),
        ...         labels=np.array([0]), exits=(6,), tiers=(6,), guids=(guid,),
        ...         label_names=("bad", "good"), task="reviews", split="test", metric="accuracy",
        ...         model="0" * 64, lengths=np.array([5]), extra=extra,
        ...     )
        >>> both = stack([trace("a"), trace("b", fold=np.array([1.0]))])
        >>> both.guids, both.extra
        (('a', 'b'), {'fold': array([nan,  1.])})
    """
    if not traces:
        raise ConfigError("expected one or more traces to stack, got none")
    first, *others = traces
    for other in others:
        _check_same(first, other)
    guids = tuple(guid for trace in traces for guid in trace.guids)
    _check_distinct(guids)
    return replace(
        first,
        embeddings=np.concatenate([trace.embeddings for trace in traces]),
        probabilities=np.concatenate([trace.probabilities for trace in traces]),
        labels=np.concatenate([trace.labels for trace in traces]),
        guids=guids,
        lengths=np.concatenate([trace.lengths for trace in traces]),
        extra=_extra(traces),
    )


def _check_same(first: Trace, other: Trace) -> None:
    for name in _SAME:
        mine, theirs = getattr(first, name), getattr(other, name)
        if mine != theirs:
            told = [shown(str(value), 80) for value in (mine, theirs)]
            raise MismatchError(
                f"traces that are stacked have the same {name.replace('_', ' ')}; got {told[0]} "
                f"and {told[1]}; record both with the same models"
            )
    widths = first.embeddings.shape[1], other.embeddings.shape[1]
    if widths[0] != widths[1]:
        raise MismatchError(
            f"traces that are stacked have embeddings of the same width; got {widths[0]} and "
            f"{widths[1]}; record both with the same models"
        )


def _check_distinct(guids: Sequence[str]) -> None:
    seen: set[str] = set()
    for guid in guids:
        if guid in seen:
            raise MismatchError(
                f"the guid {quoted(guid)} comes twice in the traces that are stacked; stack traces "
                "of different samples"
            )
        seen.add(guid)


def _extra(traces: Sequence[Trace]) -> dict[str, FloatArray]:
    names = dict.fromkeys(name for trace in traces for name in trace.extra)
    return {
        name: np.concatenate(
            [trace.extra.get(name, np.full(len(trace), np.nan)) for trace in traces]
        )
        for name in names
    }
