"""The small models behind a cascade, against scikit-learn and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from dimec.policies.cascade.choosing import sigmoid
from dimec.policies.cascade.linear import PENALTIES, _fit, _simplest, cross_fit, folds_of

Floats = np.ndarray[Any, np.dtype[np.float64]]


def made(rows: int = 400, seed: int = 0) -> tuple[Floats, Floats, Floats]:
    """Features of different scales, a number that two of them make, and whether it is above 0."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, 4)) * [1.0, 100.0, 0.01, 1.0] + [0, 5, 0, 1]
    value = 2 * x[:, 0] - 0.01 * x[:, 1] + 0.5 * rng.standard_normal(rows)
    return x, value, (value > 0).astype(float)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_both_kinds_are_scikit_learns(penalty: float) -> None:
    x, value, above = made()
    z = StandardScaler().fit_transform(x)
    weights, bias = _fit(x, value, penalty, logistic=False)
    expected = Ridge(penalty).fit(z, value).predict(z)
    np.testing.assert_allclose(x @ weights + bias, expected, atol=1e-8)
    weights, bias = _fit(x, above, penalty, logistic=True)
    model = LogisticRegression(C=1 / penalty, tol=1e-9, max_iter=1000).fit(z, above)
    # Its constant is not held back at all, ours by one row.
    got, expected = sigmoid(x @ weights + bias), model.predict_proba(z)[:, 1]
    np.testing.assert_allclose(got, expected, atol=2e-3)


def test_a_constant_feature_and_a_single_outcome_are_no_trouble() -> None:
    x = np.column_stack([np.ones(20), np.arange(20.0)])
    weights, bias = _fit(x, np.ones(20), 10.0, logistic=True)
    told = sigmoid(x @ weights + bias)
    assert weights[0] == 0
    assert ((told > 0.9) & (told < 1)).all()
    assert _fit(x, np.full(20, 3.0), 1.0, logistic=False)[1] == 3.0


def test_no_row_is_told_by_a_model_that_has_seen_it() -> None:
    """Targets that are pure chance: in sample they can be told, out of fold they cannot."""
    rng = np.random.default_rng(1)
    x, target = rng.standard_normal((60, 40)), rng.standard_normal(60)
    groups, fold = ["confidence"] * 40, folds_of(60, 5, 0)
    fitted = cross_fit(x, target, groups, fold, logistic=False)
    in_sample = x @ _fit(x, target, 1.0, logistic=False)[0]
    assert np.corrcoef(in_sample, target)[0, 1] > 0.7
    assert fitted.groups == 0  # so chance is told by the mean
    assert np.abs(fitted.out_of_fold - target.mean()).max() < 0.3


def test_capacity_is_what_the_rows_bear() -> None:
    """A second group that decides is taken with many rows, and one that is noise is not."""
    groups = ["confidence", "confidence", "class", "squares"]
    for rows, seed in ((300, 0), (3000, 1)):
        x, value, _ = made(rows, seed)
        x = x[:, [2, 3, 0, 1]]  # noise first, then what decides
        x[:, 3] = np.random.default_rng(seed).standard_normal(rows)
        fitted = cross_fit(x, value, groups, folds_of(rows, 5, 0), logistic=False)
        assert fitted.groups == 3
        assert fitted.weights[3] == 0


def test_groups_that_are_left_out_have_no_weight() -> None:
    """The rest is as if the others were not there; with none left only the constant is."""
    groups = ["confidence", "class", "shape", "squares"]
    x, value, _ = made(1000)
    fold = folds_of(1000, 5, 0)
    kept = [0, 2, 3]
    fitted = cross_fit(x, value, groups, fold, logistic=False, without={"class"})
    rest = cross_fit(x[:, kept], value, [groups[i] for i in kept], fold, logistic=False)
    assert fitted.weights[1] == 0
    np.testing.assert_array_equal(fitted.weights[kept], rest.weights)
    np.testing.assert_array_equal(fitted.out_of_fold, rest.out_of_fold)
    nothing = cross_fit(x, value, groups, fold, logistic=False, without=set(groups))
    assert not nothing.weights.any()
    assert nothing.bias == value.mean()


def test_the_simplest_within_a_standard_error_of_the_best() -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(100)
    noise -= noise.mean()
    far, near, best = 1 + 0 * noise, 0.01 + 0.5 * noise, 0 * noise  # near by a fifth of its error
    assert _simplest([far, near, best]) == 1
    assert _simplest([far, best, near]) == 1
    assert _simplest([best, near]) == 0


def test_folds_are_of_about_equal_size_and_drawn_from_the_seed() -> None:
    fold = folds_of(103, 5, 3)
    assert set(np.bincount(fold).tolist()) == {20, 21}
    assert (fold == folds_of(103, 5, 3)).all()
    assert (fold != folds_of(103, 5, 4)).any()
    assert folds_of(1, 5, 0).tolist() == [0]


def test_the_logistic_function_at_its_ends() -> None:
    z = np.array([-1000.0, -1.0, 0.0, 1.0, 1000.0])
    expected = [0.0, 1 / (1 + np.e), 0.5, np.e / (1 + np.e), 1.0]
    np.testing.assert_allclose(sigmoid(z), expected)
