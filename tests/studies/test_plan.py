"""Profiles: what comes with the package, and what a user may write."""

from __future__ import annotations

from pathlib import Path

import pytest

from dimec.base.errors import ConfigError, MissingArtefactError
from dimec.cli.demo import BESIDE, DEMO
from dimec.settings.run import RunSettings
from dimec.tiers.costs import CostModel
from dimec_studies.plan import COLLECTION_ITEMS, ITEMS, PAGE_ITEMS, PROFILES, Plan

MINIMAL = """
name = "mine"
[model]
backbone = "minilm-l6"
exits = "all"
tiers = [2, 3, 6]
[training]
epochs = 2
[tasks]
sst2 = { task = "glue/sst2", max_train_rows = 10 }
cola = { task = "glue/cola" }
"""


def plan_of(tmp_path: Path, text: str = MINIMAL) -> Plan:
    path = tmp_path / "plan.toml"
    path.write_text(text, "utf-8")
    return Plan.load(path)


@pytest.mark.parametrize("name", ["small", "deep", "base"])
def test_the_papers_profiles_hold_its_tasks_and_more_than_one_seed(name: str) -> None:
    plan = Plan.load(name)
    assert plan.name == name
    assert set(plan.tasks) >= set(plan.table2)
    assert len(plan.seeds) >= 2
    if "table1" in plan.items:
        assert len(plan.seeds) >= 3
        assert list(plan.tasks) == ["sst2", "cola", "mnli", "mrpc", "qnli", "qqp"]
    assert list(plan.table2) == ["cola", "mrpc", "qnli"]
    assert plan.cost_model() == CostModel()
    assert plan.model.exits == "all"
    if "robustness" in plan.items:
        assert len(plan.domains) == 4


def test_the_packaged_profiles_are_for_every_item() -> None:
    plans = [Plan.load(name) for name in PROFILES]
    of_collection = {item for plan in plans if plan.collection for item in COLLECTION_ITEMS}
    assert {item for plan in plans for item in plan.items} | of_collection == set(ITEMS)
    assert set(Plan.load("small").items) | set(Plan.load("deep").items) == set(PAGE_ITEMS)


@pytest.mark.parametrize("name", PROFILES)
def test_a_packaged_profile_has_the_name_of_its_file(name: str) -> None:
    assert Plan.load(name).name == name


def test_the_runs_of_the_ledgers_are_those_that_a_user_trains() -> None:
    """No map of the training rows, and all the rest as ``dimec train`` has it by default."""
    settings = Plan.load("demo").settings("reviews", "joint", 0)
    model = {"backbone": "minilm-l6", "exits": [2, 3, 6], "max_tokens": 96}
    data = {"task": "vader/movies", "max_train_rows": 3000}
    wanted = {"data": data, "model": model, "seed": 0}
    assert settings == RunSettings.of(wanted)


def test_the_demo_of_the_command_line_is_the_one_whose_ledger_is_stored() -> None:
    plan = Plan.load("demo")
    assert plan.tasks["reviews"].model_dump(exclude_none=True) == {
        name: DEMO[name] for name in ("task", "max_train_rows")
    }
    assert (plan.model.exits, plan.model.max_tokens) == (DEMO["exits"], DEMO["max_tokens"])
    assert plan.seeds == (0,)
    assert [fit.systems for fit in plan.fits_or_default()] == [BESIDE]


def test_without_fits_of_its_own_a_plan_has_one_at_its_lambda(tmp_path: Path) -> None:
    (fit,) = plan_of(tmp_path).fits_or_default()
    assert (fit.grid, fit.lam) == ("quantile", plan_of(tmp_path).lam)
    assert [one.lam for one in Plan.load("movies").fits_or_default()] == [0.02, 0.01, 0.02]


def test_exits_of_the_profiles_are_those_of_the_issue() -> None:
    assert Plan.load("small").model.tiers == (2, 3, 6)
    assert Plan.load("deep").model.tiers == (4, 6, 12)
    assert Plan.load("base").model.tiers == (4, 6, 12)


@pytest.mark.parametrize(
    ("recipe", "recipe_setting", "loss"),
    [
        ("joint", "joint", "joint"),
        ("two-stage", "two-stage", "joint"),
        ("depth", "joint", "depth"),
    ],
)
def test_a_recipe_changes_nothing_but_itself(recipe: str, recipe_setting: str, loss: str) -> None:
    plan = Plan.load("small")
    joint = plan.settings("sst2", "joint", 1, "glue")
    settings = plan.settings("sst2", recipe, 1, "glue")  # type: ignore[arg-type]
    assert (settings.training.recipe, settings.training.loss) == (recipe_setting, loss)
    assert (settings.data, settings.model, settings.seed) == (joint.data, joint.model, 1)
    assert settings.data.max_train_rows == 4000
    assert settings.data.data_dir == "glue"


def test_only_the_runs_of_the_task_that_is_selected_from_record_training_rows() -> None:
    plan = Plan.load("small")
    recording = [
        name
        for name in (*plan.tasks, *plan.domains)
        if plan.settings(name, "joint", 0).training.record_train
    ]
    assert recording == [plan.selection.train]


def test_a_folder_of_glue_files_goes_to_glue_tasks_only() -> None:
    assert Plan.load("small").settings("movies", "joint", 0, "glue").data.data_dir is None


def test_changes_are_laid_over_the_plan(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    changed = plan.changed(tasks=["cola"], seeds=[4], max_train_rows=7, epochs=3, tiers=(1, 2, 6))
    assert list(changed.tasks) == ["cola"]
    assert changed.tasks["cola"].max_train_rows == 7
    assert (changed.seeds, changed.training.epochs) == ((4,), 3)
    assert changed.model.tiers == (1, 2, 6)
    assert list(changed.table2) == ["cola"]
    assert changed.name == "mine-tiers1.2.6-epochs3-rows7-seeds4-cola"
    assert changed.runs_name == "mine-tiers1.2.6-epochs3-rows7"


def test_what_is_not_changed_keeps_its_name(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    same = plan.changed(tasks=["sst2", "cola"], seeds=[0, 1, 2], epochs=2, tiers=(2, 3, 6))
    for one in (same, plan.changed()):
        assert one == plan


def test_what_a_profile_is_for_stays_when_it_is_changed_and_is_no_part_of_its_results() -> None:
    deep = Plan.load("deep")
    assert deep.changed(seeds=[7]).items == deep.items == ("table2",)
    assert "items" not in deep.model_dump(mode="json")


def test_some_of_the_tasks_share_the_runs_of_all(tmp_path: Path) -> None:
    """But not the results: those of some tasks must not take the place of those of all."""
    some = plan_of(tmp_path).changed(tasks=["cola"], seeds=[1])
    assert (some.name, some.runs_name) == ("mine-seeds1-cola", "mine")


def test_another_encoder_gets_folders_of_its_own_and_the_default_tiers(tmp_path: Path) -> None:
    changed = plan_of(tmp_path).changed(backbone="google-bert/bert-base-uncased")
    assert changed.name == "mine-bert-base-uncased"
    assert changed.model.backbone == "google-bert/bert-base-uncased"
    assert changed.model.tiers is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "mine"', "", "name: Field required"),
        ("epochs = 2", "epochs = 1", r"training.epochs: .*\(got 1\)"),
        ("[tasks]", "[costs]\nphone = 3\n[tasks]", "no price is named 'phone'; there are mobile"),
        ("[tasks]", "[costs]\nedge_layer = -1\n[tasks]", "edge_layer must be a finite number"),
        ("[tasks]", "speed = 3\n[tasks]", "training.speed: Extra inputs"),
        ("[model]", "[model", "plan.toml"),
    ],
)
def test_a_wrong_plan_is_refused_by_name(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        plan_of(tmp_path, MINIMAL.replace(old, new))


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        MissingArtefactError, match=r"no study profile 'huge'; give one of small, deep, base"
    ):
        Plan.load("huge")
    with pytest.raises(MissingArtefactError, match="no study profile '/dev/zero'"):
        Plan.load("/dev/zero")
    with pytest.raises(ConfigError, match="no task 'rte'; it has sst2, cola"):
        plan_of(tmp_path).changed(tasks=["rte"])
    with pytest.raises(ConfigError, match="no task 'rte'"):
        plan_of(tmp_path).task("rte")
