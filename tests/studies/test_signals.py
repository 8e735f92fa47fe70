"""The signals and the ablations of the cascade, on rows of the movie reviews that are kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.base.progress import NoProgress
from dimec.policies.cascade.features import GROUPS
from dimec.policies.cascade.system import cascade_of, fit_cascade
from dimec.policies.registry import FitInputs
from dimec_studies.ablations import UTILITY_LAMBDA, WHOLE, cases, induction_without, without_exits
from dimec_studies.plan import Plan
from dimec_studies.signals import CASCADE, compute, roc_auc, tables
from dimec_studies.stored import TRACES, Stored, load_stored

LAMBDAS = (0.001, 0.01, 0.03)


@pytest.fixture(scope="module")
def whole() -> Stored:
    return load_stored(TRACES / "movies" / "minilm-joint" / "0")


@pytest.fixture(scope="module")
def stored(whole: Stored) -> Stored:
    """Some rows, and one exit less: there is less to fit."""
    rows = np.arange(400)
    return replace(
        whole,
        validation=without_exits(whole.validation, whole.deployment, (1,)).take(rows),
        test=without_exits(whole.test, whole.deployment, (1,)).take(rows),
        data_map=whole.needed_map().take(rows),
    )


@pytest.fixture(scope="module")
def plan() -> Plan:
    look = Path(compute.__code__.co_filename).parent / "profiles" / "look.toml"
    return Plan.load(look).model_copy(update={"draws": 200})


@pytest.fixture(scope="module")
def result(stored: Stored, plan: Plan) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(compute([stored], plan, NoProgress(), LAMBDAS)))
    return made


def test_auc_is_the_share_of_pairs_in_order() -> None:
    rng = np.random.default_rng(0)
    score, positive = rng.integers(0, 6, 60).astype(float), (rng.random(60) < 0.4).astype(float)
    gap = score[positive == 1][:, None] - score[positive == 0][None, :]
    assert roc_auc(score, positive) == pytest.approx(((gap > 0) + 0.5 * (gap == 0)).mean())
    assert roc_auc(score, np.ones(60)) is None


def test_every_point_tells_what_its_exits_say(result: dict[str, Any], stored: Stored) -> None:
    (task,) = result["tasks"]
    told = {(one["point"], one["signal"]): one["auc"] for one in task["auc"]}
    points = ("before any layer", "after layer 2", "after the edge")
    assert tuple(dict.fromkeys(point for point, _ in told)) == points
    for auc in told.values():
        assert auc.keys() == {"here", "mobile", "edge", "gain"}
        assert all(0 <= area <= 1 for area in auc.values())
    # By hand, of the exit that was seen last, and of the gain of going on from it.
    test = stored.test
    confidence, right = test.confidences, test.correct.astype(float)
    for column, point, prefix in ((0, points[0], "exit 0: "), (1, points[1], "")):
        got = told[point, f"{prefix}confidence"]
        assert got["here"] == pytest.approx(roc_auc(confidence[:, column], right[:, column]))
        gain = right[:, -1] * (1 - right[:, column])
        assert got["gain"] == pytest.approx(1 - (roc_auc(confidence[:, column], gain) or 0))
    assert told[points[2], "confidence"]["edge"] == told[points[2], "confidence"]["here"]
    for point in points:  # more is known than any chance, and it is more after more was seen
        assert told[point, CASCADE]["here"] > 0.6
    assert told[points[1], CASCADE]["mobile"] > told[points[0], CASCADE]["mobile"]


def test_the_sign_of_a_signal_is_the_validation_splits(
    result: dict[str, Any], stored: Stored
) -> None:
    """Long reviews are harder, and a signal that misleads on the test split is told to mislead."""
    (task,) = result["tasks"]
    (length,) = [one["auc"] for one in task["auc"] if one["signal"] == "length"]
    for column, target in ((1, "mobile"), (2, "edge")):
        areas = [
            roc_auc(trace.lengths.astype(float), trace.correct[:, column].astype(float))
            for trace in (stored.validation, stored.test)
        ]
        seen, expected = areas
        assert seen is not None
        assert expected is not None
        assert length[target] == pytest.approx(expected if seen >= 0.5 else 1 - expected)


def test_an_ablation_is_the_cascade_on_less(result: dict[str, Any], stored: Stored) -> None:
    (task,) = result["tasks"]
    found = {one["case"]: one for one in task["ablation"]}
    assert list(found) == [one.name for one in cases(stored.validation, stored.deployment)]
    assert {f"without features: {group}" for group in GROUPS[1:]} <= found.keys()
    whole = found[WHOLE]
    assert whole["difference"] == whole["low"] == whole["high"] == 0
    for name, exits in ((WHOLE, ()), ("without exit 0", (0,))):
        validation, test = (
            without_exits(trace, stored.deployment, exits)
            for trace in (stored.validation, stored.test)
        )
        inputs = FitInputs(validation, stored.deployment, UTILITY_LAMBDA)
        outcome = fit_cascade(inputs).replay(test, stored.deployment)
        right = (outcome.answers * test.correct).sum(axis=1)
        utility = float((right - UTILITY_LAMBDA * outcome.cost).mean())
        assert found[name]["utility"] == pytest.approx(utility)
        assert found[name]["difference"] == pytest.approx(utility - whole["utility"])
        assert found[name]["low"] <= found[name]["difference"] <= found[name]["high"]
    assert found["without exit 0"]["high"] < 0  # on these reviews it is what saves most


def test_the_chosen_lambda_saves_most_within_the_drop(result: dict[str, Any]) -> None:
    (task,) = result["tasks"]
    chosen = [one["chosen"] for one in task["ablation"]]
    assert any(one["0.5"] for one in chosen)
    for one in chosen:
        assert one.keys() == {"0.5", "1"}
        for allowed, best in one.items():
            if best is not None:
                assert best["lambda"] in LAMBDAS
                assert best["validation_drop"] <= float(allowed) / 100
                assert best["saving_low"] <= best["saving"] <= best["saving_high"]
                assert best["drop_low"] <= best["drop"] <= best["drop_high"]
        if one["0.5"] and one["1"]:
            assert one["0.5"]["validation_saving"] <= one["1"]["validation_saving"]


def test_what_can_be_left_out_depends_on_the_exits(whole: Stored) -> None:
    found = {one.name: one for one in cases(whole.validation, whole.deployment)}
    assert found["without exit 0"].exits == (0,)
    assert found["without the exit after layer 1"].exits == (1,)
    assert found["one look, after the mobile"].exits == (0, 1)
    assert found["one look, before the first layer"].exits == (1,)
    kept = without_exits(whole.test, whole.deployment, (0, 1))
    assert kept.exits == (2, 3, 4, 5, 6)
    np.testing.assert_array_equal(kept.probabilities, whole.test.probabilities[:, 2:])
    names = [one.name for one in cases(kept, whole.deployment)]
    assert not any("exit 0" in name or "exit after layer" in name for name in names)


@pytest.mark.parametrize(
    ("name", "costs"),
    [
        ("one look, before the first layer", {0.0, 3.0, 5.5, 9.0}),
        ("without exit 0 and a choice before the first layer", {3.0, 8.5, 12.0, 17.5}),
        ("without a look beyond the first tier", {0.0, 3.0, 5.5, 8.5, 9.0, 12.0}),
    ],
)
def test_steps_that_are_left_out_are_not_taken(
    stored: Stored, name: str, costs: set[float]
) -> None:
    """By the prices: 3 for the mobile's layers, 5.5 for the edge, 9 for the cloud."""
    (case,) = [one for one in cases(stored.validation, stored.deployment) if one.name == name]
    for lam in (0.001, 0.01):
        policy = cascade_of(induction_without(stored, case).fit(lam))
        test = without_exits(stored.test, stored.deployment, case.exits)
        outcome = policy.replay(test, stored.deployment)
        assert set(np.unique(outcome.cost).tolist()) <= costs


def test_the_tables_have_a_row_for_each(result: dict[str, Any]) -> None:
    made = tables(result)
    assert made.keys() == {"look-auc", "look-ablation"}
    (task,) = result["tasks"]
    assert len(made["look-auc"]) == 2 + len(task["auc"])
    assert len(made["look-ablation"]) == 2 + len(task["ablation"])
    first = task["auc"][0]["auc"]
    told = " / ".join(f"{first[target]:.2f}" for target in ("mobile", "edge", "gain"))
    assert made["look-auc"][2] == f"| before any layer | exit 0: confidence | {told} |"
    assert made["look-ablation"][2].startswith(f"| movies | {WHOLE} | ")
    task["ablation"][1]["chosen"]["0.5"] = None
    assert "| none |" in tables({"tasks": [task]})["look-ablation"][3]
