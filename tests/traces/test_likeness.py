"""Whether models of cross-fitting speak as the final one does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError, MismatchError
from dimec.traces.likeness import Likeness, likeness
from dimec.traces.trace import Trace
from support.builders import make_trace


def said(*first: float) -> Trace:
    """A trace of two classes at one exit: the probability of the first class on each sample."""
    p = np.array(first, np.float32)[:, None]
    probabilities = np.stack([p, 1 - p], axis=-1)
    labels = np.zeros(len(first), np.int64)
    return make_trace(
        len(first), exits=(6,), tiers=(6,), probabilities=probabilities, labels=labels
    )


def test_by_hand() -> None:
    found = likeness(said(0.9, 0.6), [said(0.8, 0.7), said(0.9, 0.3)])
    assert found.agreement == (0.75,)  # the second model's second answer is the other class
    # (0.8 - 0.9 + 0.7 - 0.6) / 2 = 0 and (0 + 0.7 - 0.6) / 2 = 0.05
    assert found.confidence == pytest.approx((0.025,))
    # |-0.1|, |0.1| and 0, |-0.3|
    assert found.variation == pytest.approx((0.125,))
    assert found.between == pytest.approx((0.25,))  # 0.1 and 0.4
    assert found.alike
    assert "are alike: confidence differs by 2.5 points" in found.told()


@given(st.integers(0, 2**16), st.integers(2, 4))
def test_against_loops(seed: int, folds: int) -> None:
    final = make_trace(5, classes=3, seed=seed)
    others = [make_trace(5, classes=3, seed=seed + 1 + fold) for fold in range(folds)]
    found = likeness(final, others)

    def distance(one: Trace, other: Trace, at: int) -> float:
        rows = zip(
            one.probabilities[:, at].tolist(), other.probabilities[:, at].tolist(), strict=True
        )
        each = [sum(abs(p - q) for p, q in zip(*row, strict=True)) / 2 for row in rows]
        return float(sum(each) / len(each))

    for at in range(3):
        same, shift, far = [], [], []
        for one in others:
            far.append(distance(one, final, at))
            for mine, theirs in zip(
                one.probabilities[:, at].tolist(), final.probabilities[:, at].tolist(), strict=True
            ):
                same.append(mine.index(max(mine)) == theirs.index(max(theirs)))
                shift.append(max(mine) - max(theirs))
        pairs = [
            distance(others[a], others[b], at) for a in range(folds) for b in range(a + 1, folds)
        ]
        assert found.agreement[at] == pytest.approx(sum(same) / len(same))
        assert found.confidence[at] == pytest.approx(sum(shift) / len(shift), abs=1e-6)
        assert found.variation[at] == pytest.approx(sum(far) / folds)
        assert found.between[at] == pytest.approx(sum(pairs) / len(pairs))


@pytest.mark.parametrize(
    ("confidence", "variation", "between", "alike"),
    [
        ((0.03, -0.03), (0.1, 0.1), (0.1, 0.1), True),
        ((0.0, -0.031), (0.1, 0.1), (0.1, 0.1), False),
        ((0.031, 0.0), (0.1, 0.1), (0.1, 0.1), False),
        ((0.0, 0.0), (0.15, 0.159), (0.1, 0.1), True),
        ((0.0, 0.0), (0.1, 0.161), (0.1, 0.1), False),  # at one exit is enough
        ((0.0, 0.0), (0.01, 0.0), (0.0, 0.0), True),  # who hardly differ at all
    ],
)
def test_the_verdict(
    confidence: tuple[float, ...],
    variation: tuple[float, ...],
    between: tuple[float, ...],
    alike: bool,
) -> None:
    found = Likeness((2, 6), ("", ""), (1.0, 1.0), confidence, variation, between)
    assert found.alike is alike
    assert found.to_json()["alike"] is alike
    assert ("not alike" in found.told()) is not alike


def test_a_surer_final_model_is_unlike_and_a_training_like_theirs_is_not() -> None:
    """What memorising does: the final model says more than models that err as much would."""
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.5, 0.9, 400)
    models = [said(*np.clip(truth + rng.normal(0, 0.05, 400), 0, 1)) for _ in range(4)]
    assert likeness(models[0], models[1:]).alike
    assert not likeness(said(*np.clip(truth + 0.1, 0, 1)), models).alike
    assert not likeness(said(*(1 - truth)), models).alike  # as sure, and of the other class


def test_other_samples_or_exits_and_a_single_fold_are_refused() -> None:
    final = make_trace(3)
    other = replace(final, guids=("a", "b", "c"))
    with pytest.raises(MismatchError, match="differ from the final model's in samples or exits"):
        likeness(final, [final, other])
    with pytest.raises(ConfigError, match="two folds or more, got 1"):
        likeness(final, [final])
