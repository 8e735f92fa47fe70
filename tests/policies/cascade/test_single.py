"""The choice for one text is that which it gets among others, to the last bit."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dimec.policies.cascade import exactly
from dimec.policies.cascade.choosing import Chooser
from dimec.policies.cascade.points import Point
from dimec.policies.cascade.single import Sofar, choose_one, features_one
from dimec.policies.step import Go

LAYERS = (1, 2, 3, 6)


def chooser(choices: int, width: int, seen: bool, seed: int) -> Chooser:
    """Of random models, some of them twins: ties are to go to the first."""
    rng = np.random.default_rng(seed)
    weights, biases = rng.standard_normal((choices, width)), rng.standard_normal(choices)
    if choices > 2:
        weights[2], biases[2] = weights[1], biases[1]
    logistic = rng.random(choices) < 0.5
    logistic[1:3] = logistic[1:2]
    costs = np.zeros(choices)
    goes = tuple(Go(0, layer) for layer in LAYERS[: choices - seen])
    point = Point(((0, 0),) if seen else (), goes, (1.0,) * len(goes))
    return Chooser(point, weights, biases, logistic, costs)


@given(st.integers(1, 4), st.integers(1, 40), st.booleans(), st.integers(0, 50))
def test_it_takes_the_step_that_the_text_takes_among_others(
    choices: int, width: int, seen: bool, seed: int
) -> None:
    one = chooser(choices, width, seen, seed)
    x = 3 * np.random.default_rng(seed + 1).standard_normal((30, width))
    chosen = [choose_one(one, row) for row in x.tolist()]
    assert chosen == one.choose(x).tolist()
    utilities = one.utilities(x)
    for row, step in zip(utilities, chosen, strict=True):
        assert row[step - (not seen)] == row.max()


@given(st.integers(2, 6), st.integers(1, 4), st.integers(0, 50))
def test_what_was_added_up_before_the_layers_ran_changes_nothing(
    classes: int, looks: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal(3).tolist()
    seen = rng.dirichlet(np.ones(classes), looks).astype(np.float32)
    sofar = Sofar(signal)
    for number in range(1, looks + 1):
        x = features_one(signal, list(seen[:number]))
        point = chooser(4, len(x), True, seed + number)
        sofar.ahead(point)
        sofar.see(seen[number - 1].tolist())
        assert sofar.features() == x
        step = int(point.choose(np.array([x]))[0])
        assert sofar.choose(point) == step
        assert sofar.choose(replace(point)) == step  # one that it has not begun


@given(st.lists(st.floats(-800, 800), min_size=1, max_size=9))
def test_the_logistic_function_is_that_of_each_alone(values: list[float]) -> None:
    told = exactly.sigmoid(np.array(values))
    assert told.tolist() == [exactly.sigmoid_of(value) for value in values]
    assert ((told >= 0) & (told <= 1)).all()
    np.testing.assert_allclose(told, 0.5 * (1 + np.tanh(0.5 * np.array(values))), atol=1e-15)


def test_logarithms_keep_the_shape() -> None:
    x = np.array([[1.0, math.e], [10.0, 1e-5]])
    np.testing.assert_allclose(exactly.log(x), np.log(x), rtol=1e-15)
    assert exactly.log(np.zeros((0, 3))).shape == (0, 3)
