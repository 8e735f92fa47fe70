"""The trace collection is made run by run, and what every method saves on it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dimec.base.errors import ConfigError, DimecError
from dimec.base.storage import read_json, write_json
from dimec.traces.collection import Collection, read_index
from dimec_studies.beyond import beyond
from dimec_studies.collected import specs_of, traces
from dimec_studies.items import reproduce
from dimec_studies.plan import Plan
from dimec_studies.plan_parts import Recipe
from dimec_studies.promises import promises, tables_of
from dimec_studies.resplits import ResplitPlan
from dimec_studies.runs import RunSpec, Workshop
from dimec_studies.study import store
from dimec_studies.ways import VERSION
from support.plans import workshop_of
from support.written import written_run
from support.written_own import TIERS, written_own_run

NAMES = ["some/tiny-joint/4", "some/tiny-own/4"]


def whole_plan(**collection: object) -> Plan:
    own = [{"name": n, "model": t.model, "layer": t.layer} for n, t in TIERS.items()]
    return Plan.of(
        {
            "name": "mine",
            "model": {"backbone": "tiny", "exits": "all", "tiers": (1, 2, 6)},
            "own": own,
            "draws": 20,
            "tasks": {"other": {"task": "csv:y"}},
            "collection": {
                "model_name": "tiny",
                "recipes": ["own", "joint"],
                "seeds": [4],
                "rows": [50, 20],
                "systems": ["max-softmax-tiers", "exit-cascade"],
                "tasks": {"some": {"task": "vader/movies"}},
                **collection,
            },
        }
    )


def trained(workshop: Workshop) -> Workshop:
    """With the runs of its plan, as if they had been trained."""
    recipes: tuple[Recipe, ...] = ("own", "joint")
    for recipe in recipes:
        spec = RunSpec("some", recipe, 4)
        folder = workshop.folder / spec.folder
        run = written_own_run(folder) if recipe == "own" else written_run(folder)
        workshop.settings(spec).save(run.config_path)
        record = read_json(run.training_path, "")
        write_json(run.training_path, {**record, "own": {"phone": {"layers": 2}}})
    return workshop


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    (tmp_path / "traces").mkdir()
    made = workshop_of(whole_plan().of_collection(), tmp_path / "runs")
    return trained(replace(made, traces=tmp_path / "traces"))


def test_the_first_seed_of_every_task_comes_first() -> None:
    plan = whole_plan(
        seeds=[0, 1], tasks={"a": {"task": "csv:a"}, "b": {"task": "csv:b", "recipes": ["own"]}}
    )
    told = [(one.seed, one.task, one.recipe) for one in specs_of(plan.of_collection())]
    first = [(0, "a", "own"), (0, "a", "joint"), (0, "b", "own")]
    assert told == [*first, *((1, task, recipe) for _, task, recipe in first)]


def test_a_plan_of_the_collection_differs_from_the_profile_where_it_says_so() -> None:
    whole = whole_plan(training={"epochs": 9})
    plan = whole.of_collection()
    assert (plan.name, plan.runs_name, plan.model_name) == ("mine", "mine-traces", "tiny")
    assert (list(plan.tasks), plan.seeds, plan.training.epochs) == (["some"], (4,), 9)
    assert plan.model == whole.model
    again = plan.changed(seeds=[7])
    assert again.seeds == (7,)
    assert again.collection == whole.collection
    with pytest.raises(ConfigError, match="no part in the trace collection"):
        plan.model_copy(update={"collection": None}).of_collection()


def test_runs_are_kept_with_an_index_and_stay_as_they_are(workshop: Workshop) -> None:
    root = workshop.traces
    assert root is not None
    record = traces(workshop)
    assert [one["name"] for one in record["entries"]] == [NAMES[1], NAMES[0]]
    assert list(read_index(root / "index.json")) == NAMES
    collection = Collection.open(root)
    assert list(collection.names()) == NAMES
    for name in NAMES:
        entry = collection.entry(name)
        assert entry.card.rows == {"train": 480, "validation": 50, "test": 50}
        assert entry.card.drawn_from == {"validation": 60, "test": 60}
    both = [collection.entry(name).trace("test") for name in NAMES]
    assert both[0].guids == both[1].guids
    assert collection.entry(NAMES[1]).card.tiers[2].sent == "text"
    assert "lengths.cloud" in both[1].extra
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert traces(workshop) == record
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_what_is_not_trained_is_trained(workshop: Workshop) -> None:
    """Its encoder is not there; what was kept before stays."""
    more = whole_plan(recipes=["joint"], seeds=[4, 5]).of_collection()
    with pytest.raises(DimecError, match="tiny"):
        traces(replace(workshop, plan=more))
    assert workshop.traces is not None
    assert list(Collection.open(workshop.traces).names()) == NAMES[:1]


def test_there_has_to_be_a_folder(workshop: Workshop, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name a folder with --collection"):
        traces(replace(workshop, traces=tmp_path / "none"))
    with pytest.raises(ConfigError, match="none of the trace collection"):
        traces(replace(workshop, plan=whole_plan().model_copy(update={"collection": None})))


def test_parts_that_rest_on_the_same_traces_are_not_made_again(
    workshop: Workshop, tmp_path: Path
) -> None:
    traces(workshop)
    path = reproduce("beyond", workshop, tmp_path / "results")
    made = json.loads(path.read_text("utf-8"))
    plain = NAMES[0].replace("joint", "joint+plain")
    assert list(made["parts"]) == [NAMES[1], NAMES[0], plain]
    assert made["missing"] == []
    assert {part["reference"]["test"]["is"] for part in made["parts"].values()}
    made["parts"][NAMES[0]]["seconds"] = -1.0
    made["parts"][NAMES[1]]["version"] = 0
    path = store(tmp_path / "results", workshop.plan, made)
    again = beyond(replace(workshop, results=tmp_path / "results"))["parts"]
    assert again[NAMES[0]] == made["parts"][NAMES[0]]
    assert again[NAMES[1]]["version"] == VERSION
    assert json.loads(path.read_text("utf-8"))["parts"] == again  # stored before it ended


def test_a_contract_on_the_collection_tells_what_is_broken_and_saved(
    workshop: Workshop, tmp_path: Path
) -> None:
    traces(workshop)
    how = ResplitPlan(
        fits=2, resplits=20, rows=(50, 1_000), max_drops=(0.1,), systems=("exit-cascade",)
    )
    here = replace(workshop, results=tmp_path / "results")
    record = promises(here, how)
    (part,) = record["parts"].values()
    assert part["rows"] == 25 + 50  # half of the validation rows fit, the others are drawn from
    assert {(line["rows"], line["test"]) for line in part["lines"]} == {
        (rows, test) for rows in (50, 1_000) for test in ("exact", "nothing", "known")
    }
    for line in part["lines"]:
        assert line["resplits"] == 40
        if line["test"] == "known":
            assert line["broken"] == 0
    table = tables_of(record)["beyond-contract"]
    assert "| some | 10.0 |" in table
    assert "too few rows" in table  # nothing of 4,000 rows was drawn
    part["lines"] = []
    store(tmp_path / "results", workshop.plan, record)
    assert promises(here, how)["parts"]["some"]["lines"] == []
    assert promises(here, how.model_copy(update={"seed": 1}))["parts"]["some"]["lines"]
