"""Runs of recorded traces: fitted, evaluated and reported on as the run that they came from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dimec.base.errors import ConfigError, CorruptArtefactError
from dimec.base.storage import read_json
from dimec.evaluation.ledger import Ledger
from dimec.runs.recorded import run_of
from dimec.runs.run import Run
from dimec.settings.run import RunSettings
from dimec.tiers.latency import ModelShape
from dimec.traces.card import CardTier
from dimec.traces.collection import find
from dimec_studies.stored import keep
from support.collected import small_entry
from support.kept import look_plan
from support.written import MODEL, N, written_run
from support.written_own import written_own_run


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run as training leaves it."""
    return written_run(tmp_path_factory.mktemp("written") / "run")


@pytest.fixture(scope="module")
def kept(original: Run) -> Path:
    """Its traces, as the collection has them."""
    return keep(original, look_plan(), "some", 4, original.path.parent / "traces")


def ledger_of(run: Run, *systems: str) -> Ledger:
    return run.evaluate(draws=5, systems=systems, curves=False)


def test_it_is_fitted_and_evaluated_as_the_run_that_it_came_from(
    original: Run, kept: Path, tmp_path: Path
) -> None:
    """But for rounding, which moves no sample of this one."""
    run = Run.of_trace(str(kept), tmp_path / "run")
    fits = [one.fit(lam=0.02) for one in (original, run)]
    assert fits[0].alpha == fits[1].alpha
    assert run.deployment() == original.deployment()
    assert fits[0].beta == pytest.approx(fits[1].beta)
    before, after = (ledger_of(one, "cascade", "deebert") for one in (original, run))
    assert [row.policy for row in after.rows] == [row.policy for row in before.rows]
    for one, other in zip(after.rows, before.rows, strict=True):
        assert (one.accuracy, one.cost) == pytest.approx((other.accuracy, other.cost)), one.policy
    for key in ("task", "backbone", "model", "epochs", "best_epoch", "train_rows", "seed"):
        assert after.context[key] == before.context[key], key
    tables = [read_json(one.report_path / "scenarios.json", "") for one in (original, run)]
    assert tables[0] == tables[1]


def test_tiers_with_a_model_each_keep_what_their_runs_would_tell(tmp_path: Path) -> None:
    """Widths, tokenizers and lengths are the card's now: the same prices, the same milliseconds."""
    original = written_own_run(tmp_path / "own")
    run = Run.of_trace(str(keep(original, look_plan(), "some", 4, tmp_path)), tmp_path / "run")
    assert run.shapes() == original.shapes()
    for one in (original, run):
        one.fit(policy="exit-cascade", lam=0.02)
    before, after = (ledger_of(one) for one in (original, run))
    assert after.context["models"] == before.context["models"]
    assert after.context["layer_profiles"] == before.context["layer_profiles"]
    for row, same in zip(after.rows, before.rows, strict=True):
        assert (row.accuracy, row.cost) == pytest.approx((same.accuracy, same.cost)), row.policy
    tables = [read_json(one.report_path / "scenarios.json", "") for one in (original, run)]
    for told, expected in zip(*tables, strict=True):
        assert told == pytest.approx(expected), told["policy"]


def test_what_was_made_of_the_same_traces_is_taken_as_it_is(kept: Path, tmp_path: Path) -> None:
    run = Run.of_trace(str(kept), tmp_path / "run")
    run.fit()
    again = Run.of_trace(str(kept), tmp_path / "run")
    assert again.deployment() == run.deployment()
    assert len(again.trace("test")) == N


def test_the_folder_of_another_run_is_refused(kept: Path, original: Run, tmp_path: Path) -> None:
    small_entry(tmp_path / "other")
    Run.of_trace(str(kept), tmp_path / "run")
    with pytest.raises(
        ConfigError, match=r"holds another run than the traces .*other; name another"
    ):
        run_of(find(str(tmp_path / "other")), tmp_path / "run")
    with pytest.raises(ConfigError, match="holds another run"):
        run_of(find(str(kept)), original.path)
    begun = tmp_path / "begun"  # a training that was interrupted
    RunSettings.of({"data": {"task": "csv:x"}}).save(begun / "config.toml")
    with pytest.raises(ConfigError, match="begun holds another run"):
        run_of(find(str(kept)), begun)
    assert [path.name for path in begun.iterdir()] == ["config.toml"]


def test_damaged_traces_leave_no_run_behind(tmp_path: Path) -> None:
    small_entry(tmp_path / "some")
    (tmp_path / "some" / "test.safetensors").write_bytes(b"x")
    with pytest.raises(CorruptArtefactError, match="is not what its card says"):
        Run.of_trace(str(tmp_path / "some"), tmp_path / "run")
    assert not (tmp_path / "run" / "training.json").exists()


def test_it_lies_under_its_name_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small_entry(tmp_path / "mine" / "deep")
    assert Run.of_trace("./mine/deep").path == Path("runs/traces/mine-deep")


def test_what_needs_a_model_is_refused(kept: Path, tmp_path: Path) -> None:
    run = Run.of_trace(str(kept), tmp_path / "run")
    assert run.shapes() == {"": ModelShape(width=2, intermediate=8)}
    for needing in (run.settings, run.shape, run.splits, run.dynamics, run.require_model):
        with pytest.raises(ConfigError, match=r"holds the recorded traces .*, and no model"):
            needing()
    with pytest.raises(ConfigError, match="and no model"):
        run.export(tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_without_a_data_map_the_cascade_stands_in_for_the_papers_router(tmp_path: Path) -> None:
    small_entry(tmp_path / "some", mapped=False)
    run = Run.of_trace(str(tmp_path / "some"), tmp_path / "run")
    assert run.data_map(2) is None
    assert run.fit_default() == "cascade"
    assert ledger_of(run).row("cascade").cost >= 0
    with pytest.raises(ConfigError, match="data map"):
        run.fit()


def test_traces_of_which_no_width_is_known_are_evaluated_without_milliseconds(
    tmp_path: Path,
) -> None:
    small_entry(tmp_path / "some", shapes={})
    run = Run.of_trace(str(tmp_path / "some"), tmp_path / "run")
    run.fit(lam=0.01)
    assert ledger_of(run).row("all-cloud").cost > 0
    assert read_json(run.report_path / "scenarios.json", "") == []


def test_prices_of_the_card_are_those_of_the_fit(tmp_path: Path) -> None:
    tiers = [
        CardTier(name=name, layer=layer, price=price)
        for name, layer, price in (("a", 2, (1, 0, 0)), ("b", 4, (2, 3, 0)), ("c", 6, (2, 4, 1)))
    ]
    small_entry(tmp_path / "some", tiers=tiers)
    run = Run.of_trace(str(tmp_path / "some"), tmp_path / "run")
    run.fit(lam=0.01)
    assert run.deployment().prices == (2, 11, 17)
    run.fit(lam=0.01, tier_prices={"c": (1, 4, 0)})
    assert run.deployment().prices == (2, 11, 10)


def test_the_record_says_what_the_card_knows(kept: Path, tmp_path: Path) -> None:
    run = Run.of_trace(str(kept), tmp_path / "run")
    record, card = run.training(), json.loads((kept / "card.json").read_text("utf-8"))
    assert (record["model"], record["rows"]) == (MODEL, {"train": 480, "validation": N, "test": N})
    assert record["recorded"]["sha256"] == card["sha256"]
    assert run.tier_names(3) == ("mobile", "edge", "cloud")
    np.testing.assert_array_equal(run.trace("test").labels, find(str(kept)).trace("test").labels)
