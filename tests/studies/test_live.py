"""A served run against its replay: every kind of difference is counted, and there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dimec.mobile import Prediction
from dimec.mobile.prediction import Stay
from dimec_studies.live import Expected, compared, expected_of, texts_of
from support.own_tiers import fitted_own

LABELS = ("negative", "positive")


def _answer(one: Expected) -> Prediction:
    """The answer that a replay expects, as a mobile gives it."""
    path = tuple(Stay(tier, start, stop, None) for tier, start, stop in one.path)
    return Prediction(
        id="some",
        label=one.label,
        probability=max(one.probabilities),
        probabilities=dict(zip(LABELS, one.probabilities, strict=True)),
        route=path[0].tier,
        distances={},
        margin=None,
        path=path,
        answered_by=path[-1].tier,
        fallback_reason=None,
        tried=(),
        milliseconds=1.0,
        cost=one.cost,
        recorded=True,
        safe=False,
        policy="some",
        contract=None,
    )


@pytest.fixture(scope="module")
def expected(own_run: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Expected]:
    return expected_of(fitted_own(own_run, tmp_path_factory.mktemp("live") / "run"), 20)


def test_what_agrees(expected: list[Expected]) -> None:
    found = compared(expected, [_answer(one) for one in expected])
    assert found["texts"] == 20
    counts = ("other_path", "other_label", "other_cost", "fallbacks", "largest_difference")
    assert [found[name] for name in counts] == [0] * 5
    assert sum(found["answered_by"].values()) == 20
    assert len(found["answered_by"]) > 1


def test_what_differs(expected: list[Expected]) -> None:
    answers = [_answer(one) for one in expected]
    answers[0] = replace(answers[0], path=answers[0].path[:-1])
    answers[1] = replace(answers[1], label="else")
    answers[2] = replace(answers[2], cost=answers[2].cost + 1e-12)
    answers[3] = replace(answers[3], fallback_reason="edge: timeout")
    low, high = answers[4].probabilities.values()
    answers[4] = replace(
        answers[4], probabilities=dict(zip(LABELS, (low + 0.25, high), strict=True))
    )
    found = compared(expected, answers)
    counts = ("other_path", "other_label", "other_cost", "fallbacks")
    assert [found[name] for name in counts] == [1] * 4
    assert found["largest_difference"] == pytest.approx(0.25)


def test_texts_are_those_of_the_trace(own_run: Path, tmp_path: Path) -> None:
    run = fitted_own(own_run, tmp_path / "run")
    assert texts_of(run, 5) == list(run.splits().test.texts[:5])
