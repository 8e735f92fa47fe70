"""The small models behind a cascade, against scikit-learn and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from dimec.policies.cascade.choosing import sigmoid
from dimec.policies.cascade.linear import PENALTIES, WIDTH, _fit, cross_fit, folds_of, shares_of

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
    assert fitted.shares[:2].sum() > 0.5  # so chance is told by about the mean
    assert np.abs(np.corrcoef(fitted.out_of_fold, target)[0, 1]) < 0.3
    assert (fitted.out_of_fold - target.mean()).std() < 0.3


def test_capacity_is_what_the_rows_bear() -> None:
    """What decides counts in full, the more rows there are; what is noise counts less."""
    groups = ["confidence", "confidence", "class", "squares"]
    without = []
    for rows, near in ((100, 0.4), (10_000, 0.05)):
        x, value, _ = made(rows, 0)
        x = x[:, [2, 3, 0, 1]]  # noise first, then what decides
        x[:, 3] = np.random.default_rng(0).standard_normal(rows)
        fitted = cross_fit(x, value, groups, folds_of(rows, 5, 0), logistic=False)
        assert fitted.shares.sum() == pytest.approx(1)
        without.append(fitted.shares[: 1 + len(PENALTIES)].sum())  # candidates of the first group
        assert fitted.weights[2] == pytest.approx(2, abs=near)
        assert np.abs(fitted.weights[3]) < near
    assert without[1] < 1e-9 < without[0] < 0.1


def test_the_model_is_the_mean_of_its_candidates() -> None:
    """Slowly, with the losses of every candidate on its own."""
    x, value, above = made(300)
    fold, groups = folds_of(300, 5, 0), ["confidence", "class", "shape", "class"]
    order = [1, 3, 2, 3]  # of the groups, 1 to 3
    for target, logistic in ((value, False), (above, True)):
        found = cross_fit(x, target, groups, fold, logistic=logistic)
        values, models = [], []
        for size, penalty in [(0, 1000.0), *((s, p) for s in (1, 2, 3) for p in PENALTIES)]:
            own = [column for column, place in enumerate(order) if place <= size]
            told = np.zeros(300)
            for held in range(5):
                seen = fold != held
                weights, bias = _fit(x[seen][:, own], target[seen], penalty, logistic)
                told[~seen] = x[~seen][:, own] @ weights + bias
            values.append(told)
            weights, bias = _fit(x[:, own], target, penalty, logistic)
            models.append(x[:, own] @ weights + bias)
        if logistic:
            losses = [np.log1p(np.exp(np.where(target == 1, -one, one))) for one in values]
        else:
            losses = [(one - target) ** 2 for one in values]
        shares = shares_of(np.array(losses))
        np.testing.assert_allclose(found.shares, shares, atol=1e-6)
        mean = shares @ np.array(values)
        np.testing.assert_allclose(
            found.out_of_fold, sigmoid(mean) if logistic else mean, atol=1e-5
        )
        np.testing.assert_allclose(
            x @ found.weights + found.bias, shares @ np.array(models), atol=1e-5
        )


def test_groups_that_are_left_out_have_no_weight() -> None:
    """The rest is as if the others were not there; with none left only the constant is."""
    groups = ["confidence", "class", "shape", "squares"]
    x, value, _ = made(1000)
    fold = folds_of(1000, 5, 0)
    kept = [0, 2, 3]
    fitted = cross_fit(x, value, groups, fold, logistic=False, without={"class"})
    rest = cross_fit(x[:, kept], value, [groups[i] for i in kept], fold, logistic=False)
    assert fitted.weights[1] == 0
    np.testing.assert_allclose(fitted.weights[kept], rest.weights, rtol=1e-12)
    np.testing.assert_allclose(fitted.out_of_fold, rest.out_of_fold, rtol=1e-12)
    nothing = cross_fit(x, value, groups, fold, logistic=False, without=set(groups))
    assert not nothing.weights.any()
    assert nothing.bias == value.mean()


def test_a_candidate_counts_by_how_clearly_it_is_worse() -> None:
    """By the normal density of how many standard errors it is worse."""
    noise = np.random.default_rng(0).standard_normal(100)
    noise = (noise - noise.mean()) / noise.std()
    best = np.full(100, 2.0)
    # The standard error of the mean is 0.1.
    worse = [best + noise + WIDTH * 0.1 * z for z in (1, 2, 8)]
    shares = shares_of(np.stack([worse[0], best, *worse[1:], best + 1e-3, best]))
    expected = [np.exp(-0.5), 1, np.exp(-2), np.exp(-32), 0, 1]
    np.testing.assert_allclose(shares / shares[1], expected, rtol=1e-9, atol=1e-300)
    assert shares.sum() == pytest.approx(1)
    assert shares_of(np.ones((3, 4))).tolist() == [1 / 3] * 3


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
