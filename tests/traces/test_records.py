"""Records of others: probabilities that give back what was recorded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import DataError
from dimec.traces.records import Records, check_answers, kept, spread, together


def records(probabilities: np.ndarray, **fields: object) -> Records:
    n, exits, classes = probabilities.shape
    made = Records(
        guids=tuple(f"s{i}" for i in range(n)),
        labels=np.zeros(n, np.int64),
        label_names=tuple("abc"[:classes]),
        exits=tuple(range(1, exits + 1)),
        sources=("",) * exits,
        probabilities=probabilities.astype(np.float32),
        lengths=np.zeros(n, np.int64),
        costs=np.full((n, exits), np.nan),
    )
    return replace(made, **fields)  # type: ignore[arg-type]


@given(st.integers(2, 6), st.data())
def test_of_an_answer_and_its_confidence_both_come_back(classes: int, data: st.DataObject) -> None:
    confidence = data.draw(st.floats(1 / classes, 1))
    answer = data.draw(st.integers(0, classes - 1))
    answers = np.array([answer])
    found = kept(spread(answers, np.array([confidence]), classes), answers)[0]
    stored = found.astype(np.float16)  # as compact files have it
    assert found.argmax() == stored.argmax() == answer
    assert abs(float(found.max()) - confidence) < 1e-3
    others = np.delete(found, answer)
    np.testing.assert_allclose(others, (1 - confidence) / (classes - 1), atol=1e-6)
    assert abs(float(found.sum()) - 1) < 1e-3


def test_what_is_ahead_anyway_is_not_touched() -> None:
    told = np.array([[0.2, 0.8], [0.70001, 0.29999]])
    np.testing.assert_array_equal(kept(told, told.argmax(-1)), told.astype(np.float32))


def test_a_trace_of_some_rows_has_what_the_records_say() -> None:
    told = np.random.default_rng(0).dirichlet(np.ones(3), (5, 2))
    some = records(told, embeddings=np.arange(10, dtype=np.float32).reshape(5, 2))
    trace = some.trace(
        np.array([3, 1]), "test", [("", 2)], {"": "f" * 64}, task="t", metric="accuracy"
    )
    assert trace.guids == ("s3", "s1")
    np.testing.assert_array_equal(trace.probabilities, told[[3, 1]].astype(np.float32))
    np.testing.assert_array_equal(trace.embeddings, [[6, 7], [2, 3]])
    assert (trace.tiers, trace.model, trace.split) == ((2,), "f" * 64, "test")


def test_parts_are_put_one_behind_the_other_where_they_are_alike() -> None:
    one, two = (
        records(np.random.default_rng(seed).dirichlet(np.ones(2), (3, 2))) for seed in (0, 1)
    )
    both = together({"test": one, "validation": two})
    assert both.splits == ("test",) * 3 + ("validation",) * 3
    np.testing.assert_array_equal(both.probabilities[3:], two.probabilities)
    with pytest.raises(DataError, match=r"differ in their exits: \[1, 2\] and \[1, 3\]"):
        together({"test": one, "validation": replace(two, exits=(1, 3))})
    with pytest.raises(DataError, match="only one has confidences"):
        together({"test": one, "validation": replace(two, answers_only=True)})


def test_answers_that_are_never_right_are_refused() -> None:
    wrong = np.broadcast_to([0.0, 1.0], (4, 2, 2))
    with pytest.raises(DataError, match="no answer is right in any row: the classes are"):
        check_answers(records(wrong))
    right = wrong.copy()
    right[3, 1] = [1, 0]
    check_answers(records(right))
