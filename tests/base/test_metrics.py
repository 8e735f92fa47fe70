"""The scores against scikit-learn and against the reference."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError
from dimec.base.metrics import METRICS, accuracy, confusion_matrix, f1, matthews, score
from support import reference
from support.builders import Floats, matrices

sklearn: Any = importlib.import_module("sklearn.metrics")


@st.composite
def answers(draw: st.DrawFn) -> tuple[int, list[int], list[int]]:
    """(C, labels, predictions); some classes may be missing from either."""
    classes = draw(st.integers(2, 5))
    n = draw(st.integers(1, 30))
    codes = st.lists(st.integers(0, classes - 1), min_size=n, max_size=n)
    return classes, draw(codes), draw(codes)


def confusion(classes: int, labels: list[int], predictions: list[int]) -> Floats:
    """The confusion matrix of two lists."""
    return confusion_matrix(np.array(labels), np.array(predictions), classes)


# scikit-learn warns of answers that hold a single class; they are among the cases on purpose.
@pytest.mark.filterwarnings("ignore:A single label was found:UserWarning")
@given(answers())
def test_scores_are_those_of_scikit_learn(case: tuple[int, list[int], list[int]]) -> None:
    classes, y, p = case
    counts = confusion(*case)
    codes = list(range(classes))
    assert np.array_equal(counts, sklearn.confusion_matrix(y, p, labels=codes))
    assert accuracy(counts) == pytest.approx(sklearn.accuracy_score(y, p), abs=1e-12)
    assert matthews(counts) == pytest.approx(sklearn.matthews_corrcoef(y, p), abs=1e-12)
    how: dict[str, Any] = {"average": "binary"} if classes == 2 else {"average": "macro"}
    if classes > 2:
        how["labels"] = codes
    expected = sklearn.f1_score(y, p, zero_division=0, **how)
    assert f1(counts) == pytest.approx(expected, abs=1e-12)


@given(answers(), st.data())
def test_weighted_answers_are_counted_in_part(
    case: tuple[int, list[int], list[int]], data: st.DataObject
) -> None:
    """Several answers a sample, each with a probability: an expected confusion matrix."""
    classes, labels, _ = case
    n = len(labels)
    codes = st.lists(st.integers(0, classes - 1), min_size=3, max_size=3)
    predictions = data.draw(st.lists(codes, min_size=n, max_size=n))
    weights = data.draw(matrices((n, n), (3, 3), st.floats(0, 1, allow_subnormal=False)))
    got = confusion_matrix(np.array(labels), np.array(predictions), classes, weights)
    expected = np.zeros((classes, classes))
    for column in range(3):
        expected += reference.confusion(
            labels, [row[column] for row in predictions], classes, weights[:, column].tolist()
        )
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


@given(st.integers(2, 4).flatmap(lambda c: matrices((c, c), (c, c), st.floats(0.01, 9))))
def test_scores_of_an_expected_confusion_matrix(counts: Floats) -> None:
    nested = counts.tolist()
    assert matthews(counts) == pytest.approx(reference.matthews(nested), abs=1e-9)
    assert f1(counts) == pytest.approx(reference.f1(nested), abs=1e-12)
    expected = np.trace(counts) / counts.sum()
    assert accuracy(counts) == pytest.approx(expected, abs=1e-12)


def test_scores_by_hand() -> None:
    """Class 1: 6 hits, 2 missed, 1 false alarm; class 0: 3 right."""
    counts = confusion(2, [1] * 8 + [0] * 4, [1] * 6 + [0] * 2 + [1] + [0] * 3)
    assert counts.tolist() == [[3.0, 1.0], [2.0, 6.0]]
    assert accuracy(counts) == 9 / 12
    assert f1(counts) == pytest.approx(12 / 15)  # 2·6 / (2·6 + 2 + 1)
    # (6·3 - 1·2) / √(7·8·4·5)
    assert matthews(counts) == pytest.approx(16 / np.sqrt(1120))


@given(st.integers(2, 5), st.integers(1, 200), st.data())
def test_a_constant_answer_has_no_correlation(classes: int, n: int, data: st.DataObject) -> None:
    """Undefined, hence 0: all answers alike, or all labels alike."""
    labels = data.draw(st.lists(st.integers(0, classes - 1), min_size=n, max_size=n))
    same = [data.draw(st.integers(0, classes - 1))] * n
    assert matthews(confusion(classes, labels, same)) == 0.0
    assert matthews(confusion(classes, same, labels)) == 0.0


def test_nothing_to_score_scores_0() -> None:
    assert [score(name, np.zeros((3, 3))) for name in METRICS] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("shape", [(0,), (0, 3)])
def test_no_answers_make_an_empty_matrix(shape: tuple[int, ...]) -> None:
    empty = confusion_matrix(np.zeros(0, np.int64), np.zeros(shape, np.int64), 2)
    assert empty.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_a_class_that_never_occurs_scores_0_in_the_mean() -> None:
    assert f1(confusion(3, [0, 1], [0, 1])) == pytest.approx(2 / 3)


@given(answers())
def test_scores_are_found_by_name(case: tuple[int, list[int], list[int]]) -> None:
    counts = confusion(*case)
    assert score("accuracy", counts) == accuracy(counts)
    assert score("matthews", counts) == matthews(counts)
    assert score("f1", counts) == f1(counts)


def test_an_unknown_score_is_refused() -> None:
    with pytest.raises(ConfigError, match="one of accuracy, matthews, f1, got 'rouge'"):
        score("rouge", np.eye(2))
