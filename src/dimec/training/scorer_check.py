"""Whether a scorer's graphs answer as the trained model does, run as they are run later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dimec.base.arrays import Float32Array, IntArray
from dimec.base.errors import ParityError, option
from dimec.bundle.manifest import Precision
from dimec.cartography import softmax
from dimec.policies.step import Steps
from dimec.scoring.part import Part, States
from dimec.training.batching import Encoded
from dimec.training.export.parity import same_routes
from dimec.training.export.parity_rows import ParityRows
from dimec.training.export.verdict import AGREEMENT, SHOWN, TOLERANCE, lower_bound
from dimec.training.inference import predict
from dimec.training.ready import RunModel

_CHECKED = 64  # rows on which fp32 is held against the model; int8 on all that the run keeps


@dataclass(frozen=True, eq=False)
class _Said:
    """What graphs or a model say of N texts.

    Attributes:
        embeddings: (N, D) pooled; None of a model that runs as a whole.
        stops: stop → (N, C) probabilities.
    """

    embeddings: Float32Array | None
    stops: dict[int, Float32Array]


def check_part(
    part: Part,
    rows: ParityRows,
    encoded: Encoded,
    model: RunModel,
    precision: Precision,
    steps: Steps | None,
    force: bool = False,
) -> None:
    """Hold a model's graphs against the model on rows of the run.

    Args:
        part: the graphs.
        rows: that the run keeps to this end.
        encoded: the same as token ids.
        model: in fp32.
        precision: of the graphs.
        steps: of the policy that decides by the embeddings of this model, where one does.
        force: take int8 however many rows differ.

    Raises:
        ParityError: in fp32 a probability or an embedding is further off than an export's may be;
            in int8, unless forced, another label or first step on more rows than an export's may
            be.
    """
    size = len(rows) if precision == "int8" else min(len(rows), _CHECKED)
    logits, embeddings = predict(model, encoded.take(np.arange(size)))
    said = dict(zip(model.exits, softmax(logits).transpose(1, 0, 2), strict=True))
    found = _said(part, rows, size)
    expected = _Said(embeddings, {stop: said[stop] for stop in part.stops})
    if precision == "int8":
        _require_finite(found)
        if not force:
            _require_agreement(found, expected, encoded.lengths[:size], steps)
    else:
        _require_equal(found, expected)


def _said(part: Part, rows: ParityRows, size: int) -> _Said:
    texts: list[Any] = list(rows.texts[:size])
    if rows.pairs is not None:
        texts = list(zip(texts, rows.pairs[:size], strict=True))
    tokens, everything, states = part.tokenise(texts), np.arange(size), States(size)
    embeddings = part.embed(tokens, everything, states)
    return _Said(
        embeddings, {stop: part.run(stop, tokens, everything, states) for stop in part.stops}
    )


def _require_equal(found: _Said, expected: _Said) -> None:
    differences = {
        f"the graph up to layer {stop}": float(np.abs(found.stops[stop] - values).max())
        for stop, values in expected.stops.items()
    }
    if found.embeddings is not None and expected.embeddings is not None:
        moved = float(np.abs(found.embeddings - expected.embeddings).max())
        differences = {"the graph of the embeddings": moved, **differences}
    for what, difference in differences.items():
        if not difference <= TOLERANCE:
            raise ParityError(
                f"{what} answers {difference:.1e} off what the model says, "
                f"expected at most {TOLERANCE:.0e}; report it with the versions of torch and "
                "onnxruntime"
            )


def _require_finite(found: _Said) -> None:
    for stop, values in found.stops.items():
        if not np.isfinite(values).all():
            raise ParityError(
                f"the graph up to layer {stop} in int8 gives values that are not finite; take "
                f"{option('precision')} fp32"
            )


def _require_agreement(
    found: _Said, expected: _Said, lengths: IntArray, steps: Steps | None
) -> None:
    shares = {
        f"labels at layer {stop}": _same_labels(found.stops[stop], values)
        for stop, values in expected.stops.items()
    }
    if steps is not None and found.embeddings is not None and expected.embeddings is not None:
        routes = same_routes(steps, found.embeddings, expected.embeddings, lengths)
        shares["first steps of the policy"] = routes
    told, share = min(shares.items(), key=lambda item: item[1])
    low = lower_bound(share, len(lengths))
    if share < AGREEMENT or low < SHOWN:
        raise ParityError(
            f"the graphs in int8 agree with the trained model on {100 * share:.1f} % of "
            f"{len(lengths):,} rows ({told}), which shows {100 * low:.1f} %; expected "
            f"{100 * AGREEMENT:.0f} %, and {100 * SHOWN:.0f} % shown; take "
            f"{option('precision')} fp32, or int8 with {option('force')}"
        )


def _same_labels(found: Float32Array, expected: Float32Array) -> float:
    """Share of rows (N, C) with the same label."""
    return float((found.argmax(axis=1) == expected.argmax(axis=1)).mean())
