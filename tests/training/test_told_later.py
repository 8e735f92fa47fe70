"""What a tracker is told of a run after its training: TensorBoard's own reader reads it back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import dimec
from dimec.base.errors import ConfigError, MissingArtefactError
from dimec.cartography import build_pools
from dimec.evaluation.ledger import Ledger
from dimec.runs.run import Run
from dimec.training.telling import ledger_text
from support.tensorboard import scalars, texts
from support.tiny import Said


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, finished_run: Path) -> Path:
    """The finished run, which was trained without a tracker, told to one; not to be changed."""
    copy = Path(shutil.copytree(finished_run, tmp_path_factory.mktemp("told") / "mine"))
    found = dimec.track(Run(copy), "tensorboard")["tensorboard"]
    assert found.name.startswith("mine-")
    assert found.epochs == 3
    assert found.parts == ("map", "fit", "ledger")
    assert found.new == ("epochs", *found.parts)
    return copy


def last(run: Path) -> dict[str, float]:
    return {name: values[-1][1] for name, values in scalars(run).items()}


def test_epochs_are_those_of_the_run(told: Path) -> None:
    history, shown = Run(told).training()["history"], scalars(told)
    assert [step for step, _ in shown["loss"]] == [1, 2, 3]
    assert [value for _, value in shown["loss"]] == pytest.approx([one["loss"] for one in history])
    accuracy = [one["accuracy"][-1] for one in history]
    assert [value for _, value in shown["accuracy/exit-4"]] == pytest.approx(accuracy)


def test_pools_are_those_of_the_fit(told: Path) -> None:
    run, shown = Run(told), last(told)
    fit, data_map = run.fit_record(), run.data_map(1)
    assert data_map is not None
    assert shown["fit/alpha"] == pytest.approx(fit["alpha"])
    pools = build_pools(data_map, fit["alpha"], fit["beta"])
    for code, (name, size) in enumerate(zip(("easy", "medium", "hard"), fit["pools"], strict=True)):
        rows = np.flatnonzero(pools == code)
        assert shown[f"pools/{name}/samples"] == size == len(rows)
        assert shown[f"pools/{name}/share"] == pytest.approx(size / len(pools))
        if size:
            mean = data_map.confidence[rows].mean()
            assert shown[f"pools/{name}/confidence"] == pytest.approx(mean)
            mean = np.sqrt(data_map.variance[rows]).mean()
            assert shown[f"pools/{name}/variability"] == pytest.approx(mean)
    assert max(fit["pools"])


def test_the_ledger_is_there_in_numbers_and_as_a_table(told: Path) -> None:
    ledger, shown = Ledger.load(told / "report"), last(told)
    for policy in ("all-cloud", "dimec-fixed"):
        row = ledger.row(policy)
        assert shown[f"ledger/{policy}/cost"] == pytest.approx(row.cost)
        assert shown[f"ledger/{policy}/accuracy"] == pytest.approx(row.accuracy)
    assert texts(told)["ledger"] == [ledger_text(ledger)]


def test_what_it_knows_it_is_not_told_again(told: Path, tmp_path: Path) -> None:
    run = Run(shutil.copytree(told, tmp_path / "mine"))
    before = scalars(run.path)
    assert dimec.track(run)["tensorboard"].new == ()
    assert scalars(run.path) == before
    run.fit(lam=0.05)
    assert dimec.track(run)["tensorboard"].new == ("fit",)
    steps = scalars(run.path)["fit/lam"]
    assert [step for step, _ in steps] == [1, 2]
    assert [value for _, value in steps] == pytest.approx([0.02, 0.05])


def test_fit_and_evaluate_tell_by_themselves(
    told: Path, tmp_path: Path, cli: Callable[..., Said]
) -> None:
    run = Run(shutil.copytree(told, tmp_path / "mine"))
    assert cli("fit", run.path, "--lambda", "0.08").code == 0
    assert cli("evaluate", run.path, "--draws", "20", "--no-curves").code == 0
    shown = scalars(run.path)
    assert [step for step, _ in shown["fit/lam"]] == [1, 2]
    drop = Ledger.load(run.path / "report").row("dimec-fixed").drop
    step, value = shown["ledger/dimec-fixed/drop"][-1]
    assert step == 2
    assert value == pytest.approx(drop)
    assert "knows all already" in cli("track", run.path).out


def test_a_tracker_that_is_gone_fails_nothing(
    told: Path, tmp_path: Path, cli: Callable[..., Said]
) -> None:
    run = Run(shutil.copytree(told, tmp_path / "mine"))
    marker = run.path / "tracking" / "tensorboard.json"
    marker.rename(marker.with_name("uninstalled.json"))
    said = cli("fit", run.path, "--lambda", "0.08")
    assert said.code == 0
    assert "uninstalled could not be told: ConfigError: expected the tracker" in said.err
    assert f"later: dimec track {run.path} --to uninstalled" in said.err


def test_a_run_that_no_tracker_knows_wants_a_name(
    finished_run: Path, tmp_path: Path, cli: Callable[..., Said]
) -> None:
    assert "name one with --to, such as --to tensorboard" in cli("track", finished_run).complaint()
    with pytest.raises(ConfigError, match="expected the tracker"):
        dimec.track(Run(finished_run), "paper")
    with pytest.raises(MissingArtefactError):
        dimec.track(Run(tmp_path), "tensorboard")


def test_recorded_traces_have_no_training_to_tell_of(
    tmp_path: Path, cli: Callable[..., Said]
) -> None:
    run = Run.of_trace("mrpc/minilm-joint/0", tmp_path / "run")
    assert "recorded traces" in cli("track", run.path, "--to", "tensorboard").complaint()
