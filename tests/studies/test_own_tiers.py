"""Tiers with a model each against tiers cut out of one, on traces made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dimec.base.errors import ConfigError
from dimec.base.progress import NoProgress
from dimec.runs.run import Run
from dimec_studies.own_tiers import ALLOWED, compute, tables_of, tiers, variants_of
from dimec_studies.plan import Plan
from dimec_studies.stored import Stored, deployment_of, keep, load_stored
from support.kept import kept_own, kept_with_shapes, look_plan
from support.plans import workshop_of


def own_plan() -> Plan:
    plan = look_plan().model_dump(mode="json", exclude_none=True)
    return Plan.of({**plan, "name": "own", "recipes": ("joint", "own"), "items": ("tiers",)})


@pytest.fixture(scope="module")
def by_recipe() -> dict[str, Stored]:
    return {"joint": kept_with_shapes(), "own": kept_own()}


def test_a_joint_model_stands_there_with_either_cloud(by_recipe: dict[str, Stored]) -> None:
    joint, other, own = variants_of(by_recipe)  # type: ignore[arg-type]
    assert [one.name for one in (joint, other, own)] == ["joint", "joint+plain", "own"]
    assert other.deployment.exits == joint.deployment.exits
    assert other.deployment.sources == ("joint", "joint", "plain")
    assert other.deployment.prices == joint.deployment.prices
    layers = joint.deployment.exits
    for k, source in ((0, "joint"), (1, "joint")):
        got = other.test.probabilities[:, other.test.column(layers[k], source)]
        assert np.array_equal(got, joint.test.probabilities[:, joint.test.column(layers[k])])
    last = other.test.probabilities[:, other.test.column(layers[2], "plain")]
    assert np.array_equal(last, own.test.probabilities[:, own.test.column(layers[2], "cloud")])


def test_every_figure_is_that_of_the_traces(by_recipe: dict[str, Stored]) -> None:
    """Accuracies and the drop against the plain fine-tuning, recomputed here."""
    named = {recipe: [one] for recipe, one in by_recipe.items()}
    result = json.loads(json.dumps(compute(named, own_plan(), NoProgress())))  # type: ignore[arg-type]
    task, own = result["tasks"]["some"], by_recipe["own"]
    plain = own.test.correct[:, own.test.column(own.deployment.exits[-1], "cloud")]
    assert task["plain"]["test"] == pytest.approx(plain.mean())
    for name, one in task["variants"].items():
        source = by_recipe["own" if name == "own" else "joint"]
        first = source.deployment.tiers[0]
        column = source.test.column(first.layer, first.source)
        assert one["tiers"][0]["test"] == pytest.approx(source.test.correct[:, column].mean())
        best = one["cascade"]
        assert best["lam"] in {point["lam"] for point in one["curve"]}
        (point,) = (point for point in one["curve"] if point["lam"] == best["lam"])
        chosen = (best["drop"], best["reduction"])
        assert (point["drop"], point["reduction"]) == pytest.approx(chosen)
        assert best["drop"] == pytest.approx(plain.mean() - best["accuracy"])
        assert best["validation_drop"] <= ALLOWED
        assert sum(best["shares"].values()) == pytest.approx(1)
    made = tables_of({**result, "profile": "own"})
    assert set(made) == {"tiers-own-accuracy", "tiers-own-saved"}
    assert all(title in made["tiers-own-saved"] for title in ("a model each", "one model, joint"))


def test_a_plan_without_such_tiers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="compares with the recipe 'own'"):
        tiers(workshop_of(look_plan(), tmp_path / "runs"))


def test_traces_of_a_run_are_kept_with_its_shapes_and_tiers(own_run: Path, tmp_path: Path) -> None:
    run = Run(own_run)
    folder = keep(run, own_plan(), "some", 4, tmp_path, "own")
    assert folder.parts[-3:] == ("some", f"{own_plan().model_name}-own", "4")
    stored = load_stored(folder)
    assert stored.card.recipe == "own"
    assert set(stored.card.own) == {"phone", "edge", "cloud"}
    assert stored.test.sources == run.trace("test").sources
    # Layers of 32 numbers before one of 48: priced by operations.
    shapes = run.shapes()
    ratio = shapes["phone"].layer_flops(128) / shapes["cloud"].layer_flops(128)
    assert stored.deployment.tiers[0].layer_price == pytest.approx(1.5 * float(ratio))
    assert deployment_of(stored.card, stored.deployment.costs) == stored.deployment
