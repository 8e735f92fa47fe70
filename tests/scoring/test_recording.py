"""Traces that worker processes record: torch's but for rounding, the same bytes however made."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from dimec.base.errors import DataError, MismatchError, RunBusyError
from dimec.data import Dataset, load_task
from dimec.runs.run import Run
from dimec.scoring.events import Read
from dimec.scoring.job import INNER, Job
from dimec.scoring.layout import Layout
from dimec.scoring.local import run_local
from dimec.scoring.pieces import Task
from dimec.settings.data import DataSettings
from dimec.traces.trace import Trace
from dimec.training.recording import Workers, record_by_workers
from dimec.training.transfer import record_other, record_rows
from support.scoring import assert_same_trace, here
from support.tiny import environment, reviews, write_reviews
from support.warm import WarmProcess, warm_dimec

SIZE = 13_000  # four parts


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> DataSettings:
    path = tmp_path_factory.mktemp("many") / "many.csv"
    return DataSettings(task=f"csv:{write_reviews(path, reviews(SIZE, seed=9))}")


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory,
    finished_run: Path,
    many: DataSettings,
    one_trace: None,
) -> Path:
    """A folder with ``trace``, of one process that nothing happened to, and its ``parts``."""
    folder = tmp_path_factory.mktemp("recorded")
    workers = Workers(here, folder / "parts")
    record_other(Run(finished_run), many, workers=workers).save(folder / "trace")
    return folder


@pytest.fixture
def begun(made: Path, tmp_path: Path) -> Path:
    """The folder of the same job, with graphs, in which nothing is recorded yet."""
    ignored = shutil.ignore_patterns("parts", "lock", "rows.jsonl")
    inner = shutil.copytree(made / "parts" / INNER, tmp_path / "x.parts" / INNER, ignore=ignored)
    return Path(inner).parent


def test_it_is_torchs_trace_but_for_rounding(
    made: Path, finished_run: Path, many: DataSettings
) -> None:
    found, expected = Trace.load(made / "trace"), record_other(Run(finished_run), many)
    assert found.exits[0] == 0
    assert len(found) == SIZE
    assert_same_trace(found, expected)


def test_a_worker_that_is_killed_changes_nothing(
    begun: Path, made: Path, finished_run: Path, many: DataSettings
) -> None:
    killed: list[int] = []

    def killing(folder: Path, tasks: Sequence[Task], wanted: Callable[[Task], bool]) -> Iterator:  # type: ignore[type-arg]
        for event in run_local(folder, tasks, wanted, workers=2):
            if isinstance(event, Read) and not killed:
                for worker in psutil.Process().children():
                    with suppress(psutil.NoSuchProcess):
                        if "dimec.scoring.worker" in " ".join(worker.cmdline()):
                            killed.append(worker.pid)
                            worker.kill()
            yield event

    workers = Workers(killing, begun)
    trace = record_other(Run(finished_run), many, workers=workers)
    assert killed
    trace.save(begun / "trace")
    assert (begun / "trace").read_bytes() == (made / "trace").read_bytes()
    workers.clear()
    assert not begun.exists()


def test_the_command_killed_and_started_again(
    begun: Path, made: Path, finished_run: Path, many: DataSettings
) -> None:
    out = begun.with_name("x")
    words: list[str | Path] = [
        "trace",
        "record",
        finished_run,
        "--task",
        str(many.task),
        "--out",
        out,
    ]
    words += ["--workers", "1"]
    kill_after_a_part(words, begun)
    assert not out.exists()
    done = warm_dimec(*words)
    assert f"{out}: {SIZE:,} rows of" in done.out, done
    assert "going on behind them" in done.err
    assert out.read_bytes() == (made / "trace").read_bytes()
    assert not begun.exists()


def kill_after_a_part(words: Sequence[str | Path], folder: Path) -> None:
    """Kill the command when a part is recorded, and others are not."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        process = WarmProcess(words, env=environment(), stdout=said.fileno(), stderr=said.fileno())
        while not any((folder / INNER / "parts").rglob("*.json")):
            assert process.poll() is None, (said.seek(0), said.read())
            time.sleep(0.005)  # a file appears, of which nobody tells
        process.kill()
        assert process.wait(60) == -signal.SIGKILL


class TestRefused:
    def record(self, run: Path, rows: Dataset, folder: Path) -> Trace:
        return record_by_workers(Run(run), rows, Workers(here, folder), split="stream")

    @pytest.fixture
    def rows(self, many: DataSettings) -> Dataset:
        return load_task(many.task).take(np.arange(3))

    def test_parts_of_another_model(self, finished_run: Path, rows: Dataset, begun: Path) -> None:
        path = begun / INNER / "job.json"
        path.write_text(path.read_text("utf-8").replace('"run": "', '"run": "0'), "utf-8")
        with pytest.raises(MismatchError, match=r"x\.parts holds the work of another run"):
            self.record(finished_run, rows, begun)

    def test_a_folder_at_work(self, finished_run: Path, rows: Dataset, begun: Path) -> None:
        with (
            Job.held(begun, {}, Layout(records=True)),
            pytest.raises(RunBusyError, match="being written by another dimec trace record"),
        ):
            self.record(finished_run, rows, begun)

    def test_a_row_that_is_no_text(self, finished_run: Path, rows: Dataset, begun: Path) -> None:
        broken = replace(rows, texts=("x", "y \ud800", "z"))
        with pytest.raises(DataError, match=r"rows\.jsonl, line 2: character 2 .* surrogate"):
            self.record(finished_run, broken, begun)
        assert len(self.record(finished_run, rows, begun)) == 3  # the folder is of use as it is


def test_other_rows_are_recorded_anew_and_damaged_graphs_made_again(
    begun: Path, finished_run: Path, many: DataSettings, one_trace: None
) -> None:
    run, rows = Run(finished_run), load_task(many.task)
    some, others = rows.take(np.arange(5)), rows.take(np.arange(7, 12))
    traces = []
    for part in (some, others):
        workers = Workers(here, begun)
        traces.append(record_by_workers(run, part, workers, split="stream"))
        assert_same_trace(traces[-1], record_rows(run, part, split="stream"))
        (begun / INNER / "scorer" / "model-0" / "embed.onnx").write_bytes(b"no graph")
    assert traces[0].guids != traces[1].guids
