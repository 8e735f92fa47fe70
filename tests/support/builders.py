"""Builders of small inputs and hypothesis strategies, shared between test modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dimec.cartography import DataMap, TrainingDynamics
from dimec.evaluation.evaluate import evaluate, standard_policies
from dimec.evaluation.ledger import Ledger
from dimec.routing import CentroidRouter
from dimec.tiers.usage import Deployment
from dimec.traces.trace import Trace

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
TraceFactory = Callable[..., Trace]

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
float32 = st.floats(-50, 50, width=32, allow_subnormal=False)

EXIT_TRIPLES = ((2, 4, 6), (1, 1, 6), (2, 6, 6), (6, 6, 6))


def make_trace(
    n: int = 12,
    *,
    dim: int = 4,
    classes: int = 2,
    exits: tuple[int, ...] = (2, 4, 6),
    tiers: tuple[int, ...] = (2, 4, 6),
    seed: int = 0,
    **fields: Any,
) -> Trace:
    """A trace of ``n`` random samples; any field of :class:`Trace` can be given instead."""
    rng = np.random.default_rng(seed)
    values: dict[str, Any] = {
        "embeddings": rng.standard_normal((n, dim)).astype(np.float32),
        "probabilities": rng.dirichlet(np.ones(classes), (n, len(exits))).astype(np.float32),
        "labels": rng.integers(0, classes, n),
        "exits": exits,
        "tiers": tiers,
        "guids": tuple(f"test-{i}" for i in range(n)),
        "label_names": tuple(f"class {c}" for c in range(classes)),
        "task": "glue/sst2",
        "split": "test",
        "metric": "accuracy",
        "model": "0123456789abcdef" * 4,
        "lengths": rng.integers(3, 40, n),
    }
    return Trace(**{**values, **fields})


def trace_of_answers(
    right: list[list[bool]], tiers: tuple[int, int, int] = (2, 4, 6), **fields: Any
) -> Trace:
    """A trace of two classes where the exit of tier k is right on sample i if ``right[i][k]``.

    The right label is always 1; a right answer has the probability 0.75 for it, a wrong one 0.25.
    """
    exits = tuple(sorted(set(tiers)))
    at = [tiers.index(layer) for layer in exits]
    gold = np.array([[0.75 if row[k] else 0.25 for k in at] for row in right], np.float32)
    n = len(right)
    return make_trace(
        n,
        exits=exits,
        tiers=tiers,
        probabilities=np.stack([1 - gold, gold], axis=-1),
        labels=np.ones(n, np.int64),
        **fields,
    )


def points(confidence: list[float], variance: list[float]) -> DataMap:
    """A data map with these coordinates, whatever epochs may have made them."""
    v = np.array(variance, np.float64)
    return DataMap(np.array(confidence, np.float64), v, np.sqrt(v), np.zeros(len(v)))


def eighths(top: int = 8) -> st.SearchStrategy[float]:
    """Multiples of 1/8 from 0 to ``top``/8: sums and products of a few of them are exact."""
    return st.integers(0, top).map(lambda k: k / 8)


def matrices(
    rows: tuple[int, int], columns: tuple[int, int], values: st.SearchStrategy[float]
) -> st.SearchStrategy[Floats]:
    """float64 matrices whose numbers of rows and columns lie in these ranges."""
    return st.tuples(st.integers(*rows), st.integers(*columns)).flatmap(
        lambda shape: hnp.arrays(np.float64, shape, elements=values)
    )


@st.composite
def traces(draw: st.DrawFn, max_samples: int = 12) -> Trace:
    """Traces of 1 to ``max_samples`` samples, 2 to 4 classes, also with tiers that share exits."""
    tiers = draw(st.sampled_from(EXIT_TRIPLES))
    return make_trace(
        draw(st.integers(1, max_samples)),
        classes=draw(st.integers(2, 4)),
        exits=tuple(sorted(set(tiers))),
        tiers=tiers,
        seed=draw(st.integers(0, 2**16)),
        metric=draw(st.sampled_from(("accuracy", "matthews", "f1"))),
    )


def dynamics(
    logits: npt.ArrayLike, labels: list[int], exits: tuple[int, ...] = (2,)
) -> TrainingDynamics:
    """Training dynamics of samples named s0, s1, …"""
    return TrainingDynamics(
        np.array(logits, np.float32),
        np.array(labels, np.int64),
        exits,
        tuple(f"s{i}" for i in range(len(labels))),
    )


def deployment_of(trace: Trace) -> Deployment:
    """The trace's tiers at the paper's prices."""
    return Deployment(trace.tiers)


def prices_of(trace: Trace) -> list[float]:
    """Prices of its tiers."""
    return [tier.price for tier in deployment_of(trace).tiers]


def right_of(trace: Trace) -> list[list[bool]]:
    """Whether each tier's answer is right, in loops."""
    at = [trace.exits.index(layer) for layer in trace.tiers]
    rows = []
    for i, sample in enumerate(trace.probabilities.tolist()):
        rows.append([sample[x].index(max(sample[x])) == int(trace.labels[i]) for x in at])
    return rows


def routers_of(trace: Trace) -> dict[str, CentroidRouter]:
    """The paper's two routers, fitted on the trace itself."""
    fixed = CentroidRouter().fit(trace.embeddings, np.arange(len(trace)) % 3)
    return {"dimec-fixed": fixed, "dimec-adaptive": fixed.copy(adaptive=True)}


def ledger_of(trace: Trace, draws: int = 20, seed: int = 0) -> Ledger:
    """All standard policies."""
    policies = standard_policies(routers_of(trace))
    return evaluate(trace, policies, deployment_of(trace), draws=draws, seed=seed)
