"""Trainings told to the real MLflow, in SQLite, and the real trackio, each read by its own API."""

from __future__ import annotations

import json
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dimec.base.storage import read_json
from dimec.evaluation.ledger import Ledger
from dimec.runs.run import Run
from dimec.training.telling import values_of_ledger
from setup_env import venv_python
from support.tiny import environment, make_backbone, reviews, write_reviews
from trackers_setup import set_up

HERE = Path(__file__).resolve().parent
KINDS = ("mlflow", "trackio")


@dataclass(frozen=True)
class Tracked:
    """A training, and the tracker that is told of it.

    Attributes:
        kind: of the tracker.
        folder: with the tracker's own files, the data, and the run.
    """

    kind: str
    folder: Path

    @property
    def run(self) -> Path:
        return self.folder / "mine"

    def python(self, *words: object) -> subprocess.CompletedProcess[str]:
        """A process of the Python that has the trackers."""
        return subprocess.run(
            [str(venv_python(set_up())), *map(str, words)],
            cwd=self.folder,  # where MLflow keeps files
            capture_output=True,
            text=True,
            check=False,
            env=environment(
                PYTHONPATH=str(HERE.parent / "src"),
                HF_HUB_OFFLINE="1",
                MLFLOW_TRACKING_URI=f"sqlite:///{self.folder}/mlflow.db",
                TRACKIO_DIR=str(self.folder / "trackio"),
            ),
        )

    def train(self, *kill: str) -> subprocess.CompletedProcess[str]:
        words = (self.folder / "reviews.csv", self.folder / "backbone", self.run, *kill)
        return self.python(HERE / "tracked_run.py", self.kind, *words)

    def dimec(self, *words: object) -> subprocess.CompletedProcess[str]:
        done = self.python("-m", "dimec", *words)
        assert done.returncode == 0, done.stderr
        return done

    def read(self) -> list[dict[str, Any]]:
        """The runs that the tracker has."""
        done = self.python(HERE / "tracker_reader.py", self.kind)
        assert done.returncode == 0, done.stderr
        (line,) = [one for one in done.stdout.splitlines() if one.startswith("found:")]
        runs: list[dict[str, Any]] = json.loads(line.removeprefix("found:"))
        return runs

    def only(self) -> dict[str, Any]:
        """The one run that it has."""
        (run,) = self.read()
        return run


@pytest.fixture(scope="module", params=KINDS)
def tracked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    """A training that was killed when its third epoch began, and then went on to its end."""
    made = Tracked(request.param, tmp_path_factory.mktemp(request.param))
    write_reviews(made.folder / "reviews.csv", reviews(160))
    make_backbone(made.folder / "backbone")
    killed = made.train("kill")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert read_json(made.run / "tracking" / f"{made.kind}.json", "dimec train")["epochs"] == 2
    resumed = made.train()
    assert resumed.returncode == 0, resumed.stderr
    return made


@pytest.fixture(scope="module")
def trained(tracked: Tracked) -> tuple[Tracked, dict[str, Any]]:
    """What the tracker had when the training was over."""
    return tracked, tracked.only()


@pytest.fixture(scope="module")
def evaluated(trained: tuple[Tracked, dict[str, Any]]) -> tuple[Tracked, dict[str, Any]]:
    """What it has after the fit and two evaluations, of which the second says nothing new."""
    tracked, _ = trained
    said = tracked.dimec("fit", tracked.run, "--json")
    assert json.loads(said.stdout)["lam"] == 0.02  # a tracker's greetings are not among it
    for _ in range(2):
        said = tracked.dimec("evaluate", tracked.run, "--draws", "20", "--no-curves", "--json")
        assert json.loads(said.stdout)
    return tracked, tracked.only()


def test_each_epoch_is_there_once_as_the_run_has_it(
    trained: tuple[Tracked, dict[str, Any]],
) -> None:
    tracked, found = trained
    history = Run(tracked.run).training()["history"]
    wanted = {name: [epoch[name] for epoch in history] for name in ("loss", "stage")}
    wanted["seconds/training"] = [epoch["seconds"] for epoch in history]
    for place, layer in enumerate((1, 2, 4)):
        for name in ("accuracy", "validation_loss"):
            wanted[f"{name}/exit-{layer}"] = [epoch[name][place] for epoch in history]
    for name, values in wanted.items():
        told = found["metrics"][name]
        assert [step for step, _ in told] == [1, 2, 3, 4], name
        assert [value for _, value in told] == pytest.approx(values)


def test_its_name_its_settings_and_its_end(trained: tuple[Tracked, dict[str, Any]]) -> None:
    tracked, found = trained
    marker = read_json(tracked.run / "tracking" / f"{tracked.kind}.json", "dimec train")
    assert found["name"] == marker["name"]
    assert found["name"].startswith("mine-")
    assert str(found["settings"]["training.epochs"]) == "4"
    assert found["status"] == ("FINISHED" if tracked.kind == "mlflow" else "")


def test_the_data_map_is_there(trained: tuple[Tracked, dict[str, Any]]) -> None:
    tracked, found = trained
    data_map = Run(tracked.run).data_map(2)
    assert data_map is not None
    ((_, confidence),) = found["metrics"]["map/exit-2/confidence"]
    assert confidence == pytest.approx(data_map.confidence.mean())


def test_fit_and_ledger_are_there(evaluated: tuple[Tracked, dict[str, Any]]) -> None:
    tracked, found = evaluated
    run = Run(tracked.run)
    fit, metrics = run.fit_record(), found["metrics"]
    sizes = [metrics[f"pools/{name}/samples"] for name in ("easy", "medium", "hard")]
    assert sizes == [[[1, size]] for size in fit["pools"]]
    for name, value in values_of_ledger(Ledger.load(run.report_path)).items():
        assert metrics[name] == [[1, pytest.approx(value)]], name
    assert len(metrics["loss"]) == 4
    for file in ("ledger.json", "ledger-context.json"):
        assert found["files"][file] == (run.report_path / file).read_text("utf-8")
