"""The page and the figures in docs/ are those that the stored results give."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from pydantic import BaseModel

from dimec.traces.collection import CHECKOUT, Collection
from dimec_studies.contracts import ContractPlan
from dimec_studies.docs import all_tables, fill_pages, with_tables
from dimec_studies.fleets import FleetPlan
from dimec_studies.plan import (
    COLLECTION_ITEMS,
    ITEMS,
    LOOK_ITEMS,
    OWN_ITEMS,
    PROFILES,
    SIMULATIONS,
    Plan,
)
from dimec_studies.rendering import render

ROOT = Path(__file__).resolve().parents[2]
STORE = ROOT / "results"
RESULTS = STORE / "studies"
STORED = sorted(RESULTS.glob("*/*.json"))


def test_the_committed_page_is_the_one_that_the_committed_results_give(tmp_path: Path) -> None:
    """The text to the byte, the figures by name: what is drawn depends on matplotlib's version."""
    made = render(RESULTS, tmp_path)
    page = (ROOT / "docs" / "reproduction.md").read_text("utf-8")
    assert page == (tmp_path / "reproduction.md").read_text("utf-8"), "run: dimec reproduce docs"
    figures = {path.name for path in made if path.suffix == ".svg"}
    assert {path.name for path in (ROOT / "docs" / "reproduction").iterdir()} == figures
    for name in re.findall(r"\]\((reproduction/[^)]+)\)", page):
        assert (ROOT / "docs" / name).is_file()


def test_the_figures_of_policies_that_look_again_are_those_of_the_stored_tasks() -> None:
    page = (ROOT / "docs" / "look.md").read_text("utf-8")
    stored = json.loads((RESULTS / "look" / "savings.json").read_text("utf-8"))["tasks"]
    drawn = {f"look/{name}.svg" for name in stored}
    assert {f"look/{path.name}" for path in (ROOT / "docs" / "look").iterdir()} == drawn
    assert set(re.findall(r"\]\((look/[^)]+)\)", page)) == drawn


def test_results_of_kept_traces_are_of_those_that_are_kept_now() -> None:
    collection = Collection.open(CHECKOUT)
    for path in STORED:
        for name, digests in json.loads(path.read_text("utf-8")).get("traces", {}).items():
            assert collection.entry(name).card.sha256 == digests, (path, name)


WITH_TABLES = (
    *("README.md", "docs/beyond.md", "docs/contract.md", "docs/fleet.md", "docs/look.md"),
    *("docs/performance.md", "docs/results.md", "docs/scenarios.md", "docs/score.md"),
    "docs/tiers.md",
)


@pytest.mark.parametrize("name", WITH_TABLES)
def test_the_tables_in_the_pages_are_those_that_are_made(name: str) -> None:
    text, tables = (ROOT / name).read_text("utf-8"), all_tables(STORE)
    places = set(re.findall("<!-- table: ([^ ]+) -->", text))
    assert places
    assert places <= tables.keys()
    assert with_tables(text, tables) == text, "run: dimec reproduce docs"


def test_every_page_with_a_place_for_a_table_is_written(tmp_path: Path) -> None:
    shutil.copy(ROOT / "README.md", tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("*.svg"))
    filled = fill_pages(tmp_path / "docs", all_tables(STORE))
    assert [str(path.relative_to(tmp_path)) for path in filled] == list(WITH_TABLES)


@pytest.mark.parametrize("path", STORED, ids=[f"{p.parent.name}-{p.stem}" for p in STORED])
def test_a_stored_result_says_what_it_rests_on(path: Path) -> None:
    record = json.loads(path.read_text("utf-8"))
    assert record["item"] == path.stem
    assert record["item"] in {*ITEMS, *SIMULATIONS}
    assert record["profile"] == path.parent.name
    assert record["plan"]["seeds"]
    assert record["date"]
    assert {"dimec", "numpy"} <= record["versions"].keys()
    # What is made of kept traces says what they were trained with.
    trained = (
        record["trained_with"]
        if record["item"] in (*LOOK_ITEMS, *OWN_ITEMS, *COLLECTION_ITEMS)
        else record["versions"]
    )
    assert "torch" in trained or record["item"] in SIMULATIONS
    # No machine's paths: what is stored can be made anywhere.
    assert not re.search(r'"(/(?:work|home|root|tmp|Users)/)', path.read_text("utf-8"))


@pytest.mark.parametrize(("item", "plan"), [("contract", ContractPlan()), ("fleet", FleetPlan())])
def test_the_stored_simulations_are_those_that_would_be_made_now(
    item: str, plan: BaseModel
) -> None:
    stored = json.loads((RESULTS / "simulations" / f"{item}.json").read_text("utf-8"))
    assert stored["plan"] == plan.model_dump(mode="json")


@pytest.mark.parametrize("name", PROFILES)
def test_results_of_a_packaged_profile_are_of_the_profile_as_it_is_now(name: str) -> None:
    plan = Plan.load(name)
    for path in RESULTS.glob(f"{name}/*.json"):
        now = plan.of_collection() if path.stem in COLLECTION_ITEMS else plan
        stored = json.loads(path.read_text("utf-8"))["plan"]
        assert stored == now.model_dump(mode="json", exclude_none=True), path
