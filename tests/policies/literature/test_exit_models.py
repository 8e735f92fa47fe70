"""The small models of what exits say: their features, and how they are stored."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dimec.policies.literature.exit_models import (
    Models,
    exit_features,
    fit_models,
    models_as_arrays,
    models_of,
)

RNG = np.random.default_rng(0)
LOOKS = [RNG.dirichlet(np.ones(3), 40).astype(np.float32) for _ in range(2)]


def test_probabilities_are_those_of_the_formula() -> None:
    x = exit_features(LOOKS)
    models = Models(RNG.standard_normal((2, x.shape[1])), np.array([0.3, -2.0]))
    got = models.probabilities(LOOKS)
    for i, row in enumerate(x.tolist()):
        for s in range(2):
            terms = [w * value for w, value in zip(models.weights[s].tolist(), row, strict=True)]
            z = math.fsum([*terms, float(models.biases[s])])
            assert got[i, s] == pytest.approx(1 / (1 + math.exp(-z)), rel=1e-9)


def test_a_row_alone_is_told_what_it_is_told_among_others() -> None:
    models = fit_models(LOOKS, RNG.integers(0, 2, (40, 2)).astype(float))
    every = models.probabilities(LOOKS)
    for i in range(40):
        alone = models.probabilities([look[i : i + 1] for look in LOOKS])
        np.testing.assert_array_equal(alone[0], every[i])


def test_each_target_has_a_model_and_is_learnt() -> None:
    sure = (LOOKS[1].max(axis=1) > 0.6).astype(float)
    told = fit_models(LOOKS, np.stack([sure, 1 - sure], axis=1)).probabilities(LOOKS)
    assert ((told[:, 0] > 0.5) == (sure == 1)).mean() > 0.85
    assert ((told[:, 1] > 0.5) == (sure == 0)).mean() > 0.85


def test_a_single_row_of_a_single_outcome_is_no_trouble() -> None:
    told = fit_models([look[:1] for look in LOOKS], np.ones((1, 1))).probabilities(LOOKS)
    assert ((told > 0.5) & (told < 1)).all()


def test_what_is_stored_is_read_again_and_nothing_else_is() -> None:
    models = [Models(np.ones((2, 3)), np.zeros(2)), Models(np.zeros((2, 5)), np.ones(2))]
    arrays = models_as_arrays(models)
    again = models_of(arrays, 2, 2)
    for one, two in zip(models, again, strict=True):
        np.testing.assert_array_equal(one.weights, two.weights)
        np.testing.assert_array_equal(one.biases, two.biases)
    with pytest.raises(ValueError, match="the models of 3 exits"):
        models_of(arrays, 3, 2)
    with pytest.raises(ValueError, match="1 models at each exit"):
        models_of(arrays, 2, 1)
    with pytest.raises(ValueError, match="finite"):
        models_of({**arrays, "0.biases": np.full(2, np.nan)}, 2, 2)
    with pytest.raises(ValueError, match=r"weights \(S, F\)"):
        models_of({**arrays, "0.biases": np.zeros(3)}, 2, 2)
