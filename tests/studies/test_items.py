"""Every item from a plan to its stored result, on tiny encoders and real trainings."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.base.errors import ConfigError
from dimec.policies import systems
from dimec.runs.run import Run
from dimec.tiers.costs import CostModel
from dimec_studies.items import reproduce
from dimec_studies.plan import ITEMS
from dimec_studies.plan_parts import Recipe
from dimec_studies.runs import RunSpec, Workshop
from dimec_studies.stored import folder_of, load_stored, name_of
from support.plans import tiny_plan, workshop_of
from support.tiny import reviews, write_reviews

Record = dict[str, Any]


@pytest.fixture(scope="module")
def workshop(
    tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path, tiny_reviews: Path
) -> Workshop:
    """One task, two seeds: what is trained for one item serves the others."""
    folder = tmp_path_factory.mktemp("reproduction")
    other = write_reviews(folder / "other.csv", reviews(200, seed=1))
    plan = tiny_plan(tiny_backbone, tiny_reviews, other).changed(tasks=["some"])
    return workshop_of(plan, folder)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


def made(item: str, workshop: Workshop, results: Path) -> Record:
    path = reproduce(item, workshop, results)
    assert path == results / "tiny-some" / f"{item}.json"
    record: Record = json.loads(path.read_text("utf-8"))
    assert record["item"] == item
    assert record["plan"] == workshop.plan.model_dump(mode="json", exclude_none=True)
    assert record["deployment"]["exits"] == [1, 2, 4]
    assert record["versions"]["dimec"]
    return record


def test_the_ledgers_are_those_of_every_seed_and_fit(workshop: Workshop, results: Path) -> None:
    record = made("ledger", workshop, results)
    assert [(run["task"], run["seed"]) for run in record["runs"]] == [("some", 0), ("some", 1)]
    for run in record["runs"]:
        (fit,) = run["fits"]
        assert fit["fit"]["lam"] == fit["context"]["lam"] == workshop.plan.lam
        assert fit["context"]["draws"] == workshop.plan.draws
        again = Run(workshop.folder / f"some-joint-seed{run['seed']}")
        again.fit(lam=workshop.plan.lam)
        expected = again.evaluate(draws=workshop.plan.draws).to_dicts()
        assert fit["ledger"] == json.loads(json.dumps(expected))


def test_a_table_has_every_system_on_every_seed(workshop: Workshop, results: Path) -> None:
    record = made("table1", workshop, results)
    task = record["tasks"]["some"]
    names = [line["policy"] for line in task["summary"]]
    # Those need trainings that this plan does not name: see dimec compress, dimec bottleneck.
    elsewhere = {"cde", "hnd", "pruned-magnitude", "pruned-heads", "int8-mobile"}
    elsewhere |= {"distilled-student"}
    assert set(systems()) - elsewhere <= set(names)
    assert not elsewhere & set(names)
    assert {"bert-plain", "deebert@two-stage", "pabee@depth", "oracle", "all-mobile"} <= set(names)
    assert [seed["seed"] for seed in task["seeds"]] == [0, 1]
    for seed in task["seeds"]:
        assert [line["policy"] for line in seed["policies"]] == names
        assert set(seed["runs"]) == {"joint", "two-stage", "depth"}
    for line in task["summary"]:
        assert line["accuracy"]["low"] <= line["accuracy"]["mean"] <= line["accuracy"]["high"]
        assert sum(line["shares"]) == pytest.approx(1)
        # Only where exit 0 may answer before any layer has run nothing may be waited for.
        free = "exit 0" in getattr(systems().get(line["policy"]), "tags", ())
        assert line["scenarios"]["phone-4g"]["milliseconds"] > (-1 if free else 0)


def test_a_tables_figures_are_those_of_the_traces(workshop: Workshop, results: Path) -> None:
    """Recomputed from the trained runs by hand: accuracies, and what the drop is against."""
    record = made("table1", workshop, results)
    rows = {line["policy"]: line for line in record["tasks"]["some"]["summary"]}
    means = {}
    recipes: dict[str, Recipe] = {"bert-plain": "two-stage", "bert-cloud": "joint"}
    for name, recipe in recipes.items():
        right = [
            workshop.run(RunSpec("some", recipe, seed)).trace("test").correct[:, -1].mean()
            for seed in (0, 1)
        ]
        means[name] = float(np.mean(right))
        assert rows[name]["accuracy"]["mean"] == pytest.approx(means[name], abs=1e-12)
    reference = record["tasks"]["some"]["reference"]
    assert means[reference] == max(means.values())
    drop = max(means.values()) - rows["deebert"]["accuracy"]["mean"]
    assert rows["deebert"]["drop"]["mean"] == pytest.approx(drop, abs=1e-12)
    prices = CostModel().for_exits(1, 2, 4)
    assert rows["random"]["cost"]["mean"] == pytest.approx(np.mean(prices), abs=1e-12)
    assert rows["all-mobile"]["reduction"]["mean"] == pytest.approx(1 - 1.5 / 6, abs=1e-12)


def test_a_second_table_takes_its_own_tasks(workshop: Workshop, results: Path) -> None:
    record = made("table2", workshop, results)
    assert list(record["tasks"]) == ["some"]


def test_an_item_that_is_made_again_is_the_same(workshop: Workshop, results: Path) -> None:
    one = made("fig5", workshop, results)
    assert made("fig5", workshop, results) == one


def test_maps_and_shares(workshop: Workshop, results: Path) -> None:
    (paper, quantile) = made("fig1", workshop, results)["maps"]
    assert (paper["grid"], quantile["grid"]) == ("paper", "quantile")
    run = workshop.run(RunSpec("some", "joint", 0))
    data_map = run.dynamics().data_map(1)
    assert paper["confidence"] == pytest.approx(data_map.confidence.tolist(), abs=1e-5)
    assert paper["samples"] == len(data_map)
    for one in (paper, quantile):
        expected = [
            2 if c < one["alpha"] else int(v > one["beta"])
            for c, v in zip(data_map.confidence, data_map.variance, strict=True)
        ]
        assert one["pools"] == expected
    fig3 = made("fig3", workshop, results)
    assert {(s["task"], s["seed"], s["grid"]) for s in fig3["shares"]} == {
        ("some", seed, grid) for seed in (0, 1) for grid in ("paper", "quantile")
    }
    shares = np.bincount(quantile["pools"], minlength=3) / len(quantile["pools"])
    (own,) = [s for s in fig3["shares"] if (s["seed"], s["grid"]) == (0, "quantile")]
    assert own["pools"] == pytest.approx(shares.tolist())


def test_single_tiers_and_projections(workshop: Workshop, results: Path) -> None:
    record = made("fig4", workshop, results)
    for one in record["exits"]:
        trace = workshop.run(RunSpec("some", "joint", one["seed"])).trace("test")
        assert list(one["exit_accuracy"].values()) == pytest.approx(
            trace.correct.mean(axis=0).tolist()
        )
    assert record["tsne"] == []  # the paper's two tasks are not in this plan


def test_costs_are_varied_one_at_a_time(workshop: Workshop, results: Path) -> None:
    record = made("fig5", workshop, results)
    assert len(record["curves"]) == 2 * 5
    for curve in record["curves"]:
        values = [point["value"] for point in curve["points"]]
        assert values == record["plan"]["sweep"][curve["cost"]]
        for point in curve["points"]:
            assert 0 <= point["accuracy"] <= 1


def test_domains_and_their_streams(workshop: Workshop, results: Path) -> None:
    record = made("robustness", workshop, results)
    cells = {(cell["train"], cell["stream"]): cell for cell in record["cells"]}
    assert set(cells) == {(a, b) for a in ("here", "there") for b in ("here", "there")}
    own = cells["here", "here"]
    test = workshop.run(RunSpec("here", "joint", 0)).trace("test")
    assert own["samples"][0] == len(test)
    # The other domain is streamed whole.
    assert cells["here", "there"]["samples"] == [200, 200]
    fixed, adaptive = (own["policies"][f"dimec-{kind}-quantile"] for kind in ("fixed", "adaptive"))
    gap = adaptive["accuracy"]["mean"] - fixed["accuracy"]["mean"]
    assert own["adaptive_minus_fixed"]["accuracy"]["mean"] == pytest.approx(gap, abs=1e-12)
    assert record["raters"] == []  # reviews in a CSV file carry no raters
    stream = workshop.run(RunSpec("here", "joint", 0)).path / "streams" / "there.safetensors"
    before = stream.stat().st_mtime_ns
    assert made("robustness", workshop, results)["cells"] == record["cells"]
    assert stream.stat().st_mtime_ns == before


def test_training_on_a_share_of_the_rows(workshop: Workshop, results: Path) -> None:
    record = made("cartography", workshop, results)
    rows = {(row["kind"], row["seed"]): row for row in record["rows"]}
    assert set(rows) == {(k, s) for k in ("all", "ambiguous", "random") for s in (0, 1)}
    whole = rows["all", 0]["train_rows"]
    for kind in ("ambiguous", "random"):
        assert rows[kind, 0]["train_rows"] == whole // 2
        assert rows[kind, 0]["others"]["there"]["samples"] == 200
    run = Run(workshop.folder / "here-joint-ambiguous-seed0")
    assert rows["ambiguous", 0]["accuracy"] == run.trace("test").correct[:, -1].mean()


def test_policies_that_look_again_are_judged_on_kept_traces(
    workshop: Workshop, results: Path
) -> None:
    with pytest.raises(ConfigError, match="one training a task, got 2 seeds"):
        reproduce("savings", workshop, results)
    one = workshop_of(workshop.plan.changed(seeds=[0]), workshop.folder)
    for item in ("savings", "contained"):
        record = json.loads(reproduce(item, one, results).read_text("utf-8"))
        assert list(record["tasks"]) == ["some"]
        assert record["trained_with"]["torch"]
        assert record["deployment"]["exits"] == [1, 2, 4]
    folder = folder_of(one.plan, "some", "joint", workshop.folder / "kept")
    run = workshop.run(RunSpec("some", "joint", 0))
    kept = load_stored(folder).test
    np.testing.assert_allclose(kept.probabilities, run.trace("test").probabilities, atol=5e-4)
    digest = hashlib.sha256((folder / "test.safetensors").read_bytes()).hexdigest()
    assert record["traces"][name_of(folder)]["test.safetensors"] == digest


def test_there_are_no_other_items(workshop: Workshop, results: Path) -> None:
    with pytest.raises(ConfigError, match="no item is named 'table3'; there are table1"):
        reproduce("table3", workshop, results)
    assert len(ITEMS) == 17
