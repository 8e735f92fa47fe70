"""Traces as tables of Arrow, a row a sample, and back.

Columns, in this order; ``EXIT`` is ``exit_6`` for layer 6, or ``SOURCE.exit_6`` of a source:

=====================  ========================  ==================================================
``guid``               string
``split``, ``label``   dictionary of strings     the label by its name
``length``             int64                     tokens
``EXIT``               dictionary of strings     what the exit answered
``EXIT_confidence``    float32                   the probability of that answer
``EXIT_p_CLASS``       float32                   the probability of each class
``extra.NAME``         float64                   a further column
``embedding``          list of D float32         left out where there is none
=====================  ========================  ==================================================

What the exit answered and how sure it was follow from the probabilities, and are not read back. The
rest of a trace (exits, tiers, sources, models, task, metric) is in the schema's metadata.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt

from dimec.base.errors import CorruptArtefactError, DataError, quoted
from dimec.base.tables import (
    distinct_columns,
    pyarrow_for,
    said_in,
    table_from,
    with_metadata,
)
from dimec.traces.file import METADATA, WHERE_TRUE, fits, metadata_of

KEY = "dimec.trace"
VERSION = 1
MADE_BY = "dimec trace export"
_EXTRA = "extra."
_TOLD = tuple(name for name in METADATA if name != "guids")  # in the metadata; guids are a column


def trace_table(trace: Any, *, embeddings: bool = True) -> Any:
    """The table of a :class:`dimec.traces.trace.Trace`.

    Raises:
        DataError: two columns would have one name, as where two classes have.
        MissingExtraError: pyarrow is not installed.
    """
    arrow = pyarrow_for("a trace as a table")
    labels, names = [str(name) for name in trace.label_names], exit_names(trace)
    columns: list[tuple[str, Any]] = [
        ("guid", arrow.array(trace.guids, arrow.string())),
        ("split", _coded(arrow, np.zeros(len(trace), np.int32), [trace.split])),
        ("label", _coded(arrow, trace.labels, labels)),
        ("length", arrow.array(trace.lengths, arrow.int64())),
    ]
    answers, sure = trace.predictions, trace.confidences
    for at, name in enumerate(names):
        columns += [
            (name, _coded(arrow, answers[:, at], labels)),
            (f"{name}_confidence", arrow.array(sure[:, at], arrow.float32())),
        ]
        columns += [
            (f"{name}_p_{label}", arrow.array(trace.probabilities[:, at, code], arrow.float32()))
            for code, label in enumerate(labels)
        ]
    columns += [
        (f"{_EXTRA}{name}", arrow.array(column, arrow.float64()))
        for name, column in trace.extra.items()
    ]
    width = trace.embeddings.shape[1] if embeddings else 0
    if width:
        flat = np.ascontiguousarray(trace.embeddings, np.float32).reshape(-1)
        embedded = arrow.FixedSizeListArray.from_arrays(arrow.array(flat), width)
        columns.append(("embedding", embedded))
    distinct_columns([name for name, _ in columns], "the trace")
    said = {name: value for name, value in metadata_of(trace).items() if name != "guids"}
    said |= {"version": VERSION, "width": width, "extra": list(trace.extra)}
    return with_metadata(arrow.table(dict(columns)), KEY, said)


def trace_fields(source: Any) -> dict[str, Any]:
    """The fields of the trace that a table is of; its rows may have been sorted or left out.

    Args:
        source: what :func:`trace_table` made, or the same in pandas.

    Raises:
        DataError: it is no such table, or lacks a column.
        CorruptArtefactError: it says of itself what no trace is, or is of a later version.
        MissingExtraError: pyarrow is not installed.
    """
    table = table_from(source, "a trace")
    said = said_in(table, KEY, "Trace.to_arrow", "for records of others: dimec trace import")
    width, extra, fields = _checked(said)
    names = exit_names_of(fields["exits"], fields["sources"])
    labels = fields["label_names"]
    columns = [
        [_numbers(table, f"{name}_p_{label}", np.float32) for label in labels] for name in names
    ]
    samples = table.num_rows
    probabilities = np.array(columns, np.float32).reshape(len(names), len(labels), samples)
    return {
        **fields,
        "guids": tuple(_texts(table, "guid")),
        "labels": _codes(table, labels),
        "lengths": _numbers(table, "length", np.int64),
        "probabilities": np.ascontiguousarray(probabilities.transpose(2, 0, 1)),
        "extra": {name: _numbers(table, f"{_EXTRA}{name}", np.float64) for name in extra},
        "embeddings": _embeddings(table, width),
    }


def exit_names(trace: Any) -> list[str]:
    """What the columns of a trace's exits are called."""
    return exit_names_of(trace.exits, trace.sources)


def exit_names_of(exits: tuple[int, ...], sources: tuple[str, ...]) -> list[str]:
    """``exit_6``, or ``cloud.exit_6`` of a source.

    Example:
        >>> exit_names_of((2, 6), ("", "cloud"))
        ['exit_2', 'cloud.exit_6']
    """
    pairs = zip(exits, sources, strict=True)
    return [f"{source}.exit_{layer}" if source else f"exit_{layer}" for layer, source in pairs]


def _checked(said: dict[str, Any]) -> tuple[int, list[str], dict[str, Any]]:
    """Width of the embeddings, names of further columns, and fields of the trace."""
    rest = dict(said)
    version, width, extra = (rest.pop(name, None) for name in ("version", "width", "extra"))
    if version != VERSION:
        raise CorruptArtefactError(
            f"the table is of version {quoted(version)}, and this dimec reads version {VERSION}; "
            "read it with the dimec that wrote it"
        )
    whole = (
        type(width) is int
        and width >= 0
        and fits("label_names", extra)
        and rest.keys() - set(WHERE_TRUE) == set(_TOLD)
        and all(fits(name, value) for name, value in rest.items())
        and len(rest["sources"]) == len(rest["exits"])
    )
    if not whole:
        raise CorruptArtefactError(
            f"the table's metadata {KEY!r} is not that of a trace; make it again with: {MADE_BY}"
        )
    lists = {name: tuple(value) for name, value in rest.items() if isinstance(value, list)}
    return width, extra, {**rest, **lists}


def _coded(arrow: Any, codes: npt.NDArray[np.integer], names: list[str]) -> Any:
    distinct_columns(names, "the trace")
    return arrow.DictionaryArray.from_arrays(
        arrow.array(codes, arrow.int32()), arrow.array(names, arrow.string())
    )


def _column(table: Any, name: str) -> Any:
    if table.column_names.count(name) != 1:
        raise DataError(
            f"expected a trace's table with one column {quoted(name)}, got one with "
            f"{table.column_names.count(name)}; keep all columns that are told by Trace.to_arrow"
        )
    column = table.column(name)
    if column.null_count:
        raise DataError(f"the column {quoted(name)} of a trace's table has empty cells; drop them")
    return column


def _numbers(table: Any, name: str, kind: type[np.generic]) -> npt.NDArray[Any]:
    column = _column(table, name)
    found = column.to_numpy()
    if found.dtype.kind not in "iuf":
        raise DataError(f"expected numbers in the column {quoted(name)}, got {column.type}")
    return np.ascontiguousarray(found, kind)


def _texts(table: Any, name: str) -> list[str]:
    found: list[str] = _column(table, name).to_pylist()
    if not all(isinstance(text, str) for text in found):
        raise DataError(f"expected texts in the column {quoted(name)} of a trace's table")
    return found


def _codes(table: Any, names: tuple[str, ...]) -> npt.NDArray[np.int64]:
    code_of = {name: code for code, name in enumerate(names)}
    found = _texts(table, "label")
    if unknown := set(found) - set(names):
        raise DataError(f"the label {quoted(min(unknown))} is none of the trace's classes")
    return np.array([code_of[name] for name in found], np.int64)


def _embeddings(table: Any, width: int) -> npt.NDArray[np.float32]:
    if not (width and table.num_rows):
        return np.zeros((table.num_rows, width), np.float32)
    column = _column(table, "embedding")
    compute = importlib.import_module("pyarrow.compute")
    try:
        lengths = compute.unique(compute.list_value_length(column)).to_pylist()
        flat = compute.list_flatten(column).to_numpy().astype(np.float32)
    except (NotImplementedError, ValueError):
        raise DataError(f"expected lists of numbers as embeddings, got {column.type}") from None
    if lengths != [width]:
        raise DataError(f"expected embeddings of {width} numbers, got {sorted(lengths)[:3]}")
    return np.ascontiguousarray(flat.reshape(table.num_rows, width))
