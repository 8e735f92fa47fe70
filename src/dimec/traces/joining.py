"""Traces of several models over the same samples, joined to one that any policy can replay.

Tiers need not share a model: a small one may answer on the phone and a large one in the cloud. Each
model is run over the split by itself, and its trace recorded; what follows is arithmetic on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from dimec.base.arrays import Float32Array, FloatArray, IntArray
from dimec.base.errors import ConfigError, MismatchError, is_typed, option, quoted
from dimec.traces.sources import check_source, joint_model, listed
from dimec.traces.trace import Trace


def join(
    traces: Mapping[str, Trace],
    *,
    tiers: Sequence[tuple[str, int]] = (),
    common: bool = False,
) -> Trace:
    """One trace of what several models said of the same samples.

    Samples are matched by guid and stand in the order of the first trace. Its exits come first,
    then those of the second, and so on. Embeddings and lengths are the first one's, for its tier
    decides before any layer has run; so are the codes of the labels: where another trace has the
    same names in another order, its probabilities are put into the first one's.

    An extra column keeps its name if only one trace has it, or all that have it agree. Where they
    do not, each is kept as ``SOURCE.COLUMN``, but that of the source ``""`` keeps its name.

    Args:
        traces: source → trace; each of one model, whatever name it had until now. The source
            ``""`` is the one that is meant where none is named.
        tiers: (source, layer) of each tier; the deepest tier of each source, in order, by default.
        common: keep the samples that are in all traces, and leave out the others.

    Raises:
        ConfigError: no traces, names that are no sources', a trace of several sources, or tiers
            without an exit.
        MismatchError: the traces differ in task, split, metric, names of labels, samples or their
            labels, or hold a guid twice.

    Example:
        >>> def trace(layers, names, label):
        ...     return Trace(
        ...         embeddings=np.zeros((1, 4), np.float32),
        ...         probabilities=np.array([[[0.9, 0.1]] * len(layers)], np.float32),
        ...         labels=np.array([label]), exits=layers, tiers=layers[-1:], guids=("a",),
        ...         label_names=names, task="reviews", split="test", metric="accuracy",
        ...         model="0" * 64, lengths=np.array([5]),
        ...     )
        >>> phone = trace((1, 2), ("bad", "good"), 0)
        >>> joined = join({"phone": phone, "cloud": trace((6,), ("good", "bad"), 1)})
        >>> joined.exits, joined.sources
        ((1, 2, 6), ('phone', 'phone', 'cloud'))
        >>> joined.confidences[:, joined.column(6, "cloud")], joined.correct.tolist()
        (array([0.89999998]), [[True, True, False]])
    """
    _check_alike(traces)
    first = next(iter(traces.values()))
    rows = _matched_rows(traces, common)
    _check_labels(traces, rows)
    exits = [(source, layer) for source, trace in traces.items() for layer in trace.exits]
    tiers = list(tiers) or [(source, trace.tiers[-1]) for source, trace in traces.items()]
    models = {source: trace.model for source, trace in traces.items()}
    own = next(iter(rows.values()))
    return Trace(
        embeddings=first.embeddings[own],
        probabilities=_joined_probabilities(traces, rows),
        labels=first.labels[own],
        exits=tuple(layer for _, layer in exits),
        tiers=tuple(layer for _, layer in tiers),
        guids=tuple(first.guids[row] for row in own.tolist()),
        label_names=first.label_names,
        task=first.task,
        split=first.split,
        metric=first.metric,
        model=first.model if len(traces) == 1 else joint_model(models),
        lengths=first.lengths[own],
        extra=_joined_extra(traces, rows),
        sources=tuple(source for source, _ in exits),
        tier_sources=tuple(source for source, _ in tiers),
        models=models,
        answers_only=any(trace.answers_only for trace in traces.values()),
        outcomes_only=any(trace.outcomes_only for trace in traces.values()),
    )


def _check_alike(traces: Mapping[str, Trace]) -> None:
    """Refuse what cannot be joined, whatever the samples are."""
    if not traces:
        raise ConfigError("expected one or more traces to join, got none")
    for source, trace in traces.items():
        check_source(source)
        if len(trace.sources_in_order) > 1:
            raise ConfigError(
                f"the trace of {quoted(source)} joins the sources {listed(trace.sources_in_order)} "
                "already; join the traces that it was made of, all at once"
            )
    parts: dict[str, Callable[[Trace], object]] = {
        "task": lambda trace: trace.task,
        "split": lambda trace: trace.split,
        "metric": lambda trace: trace.metric,
        "names of labels": lambda trace: sorted(trace.label_names),
    }
    (name, first), *others = traces.items()
    for part, value_of in parts.items():
        for other, trace in others:
            if value_of(trace) != value_of(first):
                raise MismatchError(
                    f"the traces of {quoted(name)} and {quoted(other)} differ in the {part}: "
                    f"{quoted(value_of(first), 80)} and {quoted(value_of(trace), 80)}; join "
                    "traces of the same split of one task"
                )


def _matched_rows(traces: Mapping[str, Trace], common: bool) -> dict[str, IntArray]:
    """For each source the rows of its trace, so that they name the same samples in one order.

    Dictionaries, for numpy would have to sort texts, pad them to the longest, and take those that
    differ in zeros at the end for equal.
    """
    (name, first), *others = traces.items()
    own = _places(name, first)
    rows = {name: np.arange(len(first), dtype=np.int64)}
    kept = np.ones(len(first), bool)
    for other, trace in others:
        places = _places(other, trace)
        found = np.fromiter((places.get(guid, -1) for guid in first.guids), np.int64, len(first))
        if not common:
            _check_none_lacks(other, name, [g for g in first.guids if g not in places])
            _check_none_lacks(name, other, [g for g in trace.guids if g not in own])
        rows[other] = found
        kept &= found >= 0
    if common and any(len(trace) for trace in traces.values()) and not kept.any():
        raise MismatchError(f"the traces of {listed(traces)} have no sample in common")
    return {source: found[kept] for source, found in rows.items()}


def _places(source: str, trace: Trace) -> dict[str, int]:
    """The row of each guid."""
    places = {guid: row for row, guid in enumerate(trace.guids)}
    if len(places) != len(trace):
        twice = next(guid for row, guid in enumerate(trace.guids) if places[guid] != row)
        raise MismatchError(
            f"the trace of {quoted(source)} holds the guid {quoted(twice)} more than once, and "
            "samples are matched by guid; give each row of the data a guid of its own"
        )
    return places


def _check_none_lacks(source: str, other: str, lacking: Sequence[str]) -> None:
    if lacking:
        keep = option("common") if is_typed("common") else "common=True"
        raise MismatchError(
            f"the trace of {quoted(source)} lacks {len(lacking):,} of the samples of "
            f"{quoted(other)}, the first is {quoted(lacking[0])}; join traces of the same samples, "
            f"or keep those in all of them with {keep}"
        )


def _check_labels(traces: Mapping[str, Trace], rows: Mapping[str, IntArray]) -> None:
    (name, first), *others = traces.items()
    labels = first.labels[rows[name]]
    for other, trace in others:
        codes = np.array(_order(trace.label_names, first.label_names), np.int64)
        wrong = np.flatnonzero(codes[trace.labels[rows[other]]] != labels)
        if len(wrong):
            guid = first.guids[rows[name][wrong[0]]]
            raise MismatchError(
                f"the traces of {quoted(name)} and {quoted(other)} have other labels for "
                f"{len(wrong):,} samples, the first is {quoted(guid)}; join traces of the same data"
            )


def _order(names: Sequence[str], among: Sequence[str]) -> list[int]:
    """Where each of the names stands among the others."""
    if names == among:
        return list(range(len(names)))
    return [among.index(name) for name in names]


def _joined_probabilities(
    traces: Mapping[str, Trace], rows: Mapping[str, IntArray]
) -> Float32Array:
    """(N, all exits, C), with the classes in the order of the first trace."""
    names = next(iter(traces.values())).label_names
    parts = []
    for source, trace in traces.items():
        part = trace.probabilities[rows[source]]
        parts.append(part[:, :, _order(names, trace.label_names)])
    return np.concatenate(parts, axis=1)


def _joined_extra(
    traces: Mapping[str, Trace], rows: Mapping[str, IntArray]
) -> dict[str, FloatArray]:
    """Each extra column, under its own name or, where traces differ in it, behind its source's."""
    columns: dict[str, dict[str, FloatArray]] = {}
    for source, trace in traces.items():
        for name, column in trace.extra.items():
            columns.setdefault(name, {})[source] = column[rows[source]]
    result: dict[str, FloatArray] = {}
    for name, held in columns.items():
        one, *others = held.values()
        if all(np.array_equal(one, other, equal_nan=True) for other in others):
            named = {name: one}
        else:
            named = {f"{source}.{name}" if source else name: part for source, part in held.items()}
        if twice := named.keys() & (result.keys() | (columns.keys() - {name})):
            raise MismatchError(
                f"the traces of {listed(held)} differ in the column {quoted(name)}, and "
                f"{quoted(min(twice))} is the name of another one; rename one of them"
            )
        result |= named
    return result
