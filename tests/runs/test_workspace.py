from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from dimec.base.errors import (
    CorruptArtefactError,
    MismatchError,
    MissingArtefactError,
    RunBusyError,
    StorageError,
)
from dimec.base.storage import write_json
from dimec.cartography import TrainingDynamics
from dimec.routing import CentroidRouter
from dimec.runs.rows import same_rows
from dimec.runs.workspace import RunDirectory
from support.builders import make_trace
from support.stored import store_router

MODEL = "a" * 64
RECORD = {
    "model": MODEL,
    "task": "csv:x",
    "source": "",
    "backbone": "tiny",
    "exits": [2, 4, 6],
    "rows": {"train": 80, "validation": 10, "test": 10},
    "best_epoch": 1,
    "history": [],
    "seed": 0,
    "versions": {},
}


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory(tmp_path / "run")
    write_json(run.training_path, RECORD)
    return run


def dynamics(n: int = 7) -> TrainingDynamics:
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((3, 2, n, 2)).astype(np.float32)
    guids = tuple(f"row-{i}" for i in range(n))
    return TrainingDynamics(logits, rng.integers(0, 2, n), (2, 6), guids)


class TestLock:
    @contextmanager
    def _another_process(self, path: Path) -> Iterator[subprocess.Popen[str]]:
        code = (
            "import sys; from dimec.runs.workspace import RunDirectory\n"
            "with RunDirectory(sys.argv[1]).locked(): print('held', flush=True); input()"
        )
        pipe = subprocess.PIPE
        arguments = [sys.executable, "-c", code, str(path)]
        with subprocess.Popen(arguments, stdin=pipe, stdout=pipe, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
            process.kill()

    def test_it_is_one_process_at_a_time(self, tmp_path: Path) -> None:
        run = RunDirectory(tmp_path / "run")
        with (
            self._another_process(run.path),
            pytest.raises(RunBusyError, match="in use by another"),
            run.locked(),
        ):
            pass
        # It was killed: the operating system let go of its lock.
        with run.locked(), pytest.raises(RunBusyError), RunDirectory(run.path).locked():
            pass
        with run.locked():
            pass

    def test_it_is_released_after_an_error(self, run: RunDirectory) -> None:
        with pytest.raises(KeyError), run.locked():
            raise KeyError("x")
        with run.locked():
            pass
        assert run.training_path.exists()

    def test_folders_made_for_work_that_failed_at_once_go_again(self, tmp_path: Path) -> None:
        deep = RunDirectory(tmp_path / "a" / "b" / "run")
        with pytest.raises(KeyError), deep.locked():
            raise KeyError("x")
        assert not (tmp_path / "a").exists()
        assert tmp_path.exists()

    def test_what_was_written_before_the_error_stays(self, tmp_path: Path) -> None:
        run = RunDirectory(tmp_path / "run")

        def work() -> None:
            with run.locked():
                write_json(run.training_path, RECORD)
                raise KeyError("x")

        with pytest.raises(KeyError):
            work()
        assert run.training() == RECORD

    def test_an_empty_folder_of_the_user_stays(self, tmp_path: Path) -> None:
        (tmp_path / "mine").mkdir()
        with pytest.raises(KeyError), RunDirectory(tmp_path / "mine").locked():
            raise KeyError("x")
        assert (tmp_path / "mine").is_dir()

    def test_a_path_that_cannot_be_a_folder_is_a_storage_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with (
            pytest.raises(StorageError, match="cannot write"),
            RunDirectory(tmp_path / "file" / "run").locked(),
        ):
            pass

    def test_a_lock_that_is_a_link_is_not_followed(self, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.write_text("mine")
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / ".lock").symlink_to(victim)
        with (
            pytest.raises(StorageError, match=r"\.lock is no plain file .* remove it"),
            RunDirectory(tmp_path / "run").locked(),
        ):
            pass
        assert victim.read_text() == "mine"


class TestArtefacts:
    def test_dynamics_come_back_as_they_were(self, run: RunDirectory) -> None:
        saved = dynamics()
        run.save_dynamics(saved, {"model": MODEL})
        again = run.dynamics()
        assert np.array_equal(again.logits, saved.logits)
        assert np.array_equal(again.labels, saved.labels)
        assert (again.exits, again.guids) == (saved.exits, saved.guids)

    def test_dynamics_of_another_model_are_refused(self, run: RunDirectory) -> None:
        run.save_dynamics(dynamics(), {"model": "b" * 64})
        with pytest.raises(MismatchError, match="another model"):
            run.dynamics()

    @pytest.mark.parametrize("split", ["validation", "test"])
    def test_a_trace_of_another_model_is_refused(self, run: RunDirectory, split: str) -> None:
        make_trace(5, split=split, model=MODEL).save(run.trace_path(split))
        assert len(run.trace(split)) == 5
        make_trace(5, split=split, model="b" * 64).save(run.trace_path(split))
        with pytest.raises(MismatchError, match=f"the {split} trace was made by the model bbbb"):
            run.trace(split)

    def test_a_router_of_another_model_is_refused(self, run: RunDirectory) -> None:
        router = CentroidRouter().fit(np.eye(3), np.arange(3))
        for model in ("b" * 64, None):
            store_router(router, run.path, {} if model is None else {"model": model})
            with pytest.raises(MismatchError, match="dimec fit"):
                run.router()
        store_router(router, run.path, {"model": MODEL})
        assert np.array_equal(run.router().centroids, router.centroids)

    def test_what_is_missing_names_the_command_that_makes_it(self, tmp_path: Path) -> None:
        empty = RunDirectory(tmp_path)
        for read in (empty.training, empty.dynamics, empty.router, empty.settings):
            with pytest.raises(MissingArtefactError, match="dimec train"):
                read()
        with pytest.raises(MissingArtefactError, match="dimec fit"):
            empty.fit_record()

    @pytest.mark.parametrize("record", [{}, [], {"model": MODEL}, "text", None])
    def test_a_training_record_without_its_entries_is_refused(
        self, run: RunDirectory, record: object
    ) -> None:
        write_json(run.training_path, record)
        with pytest.raises(CorruptArtefactError, match=r"training\.json"):
            run.training()


def test_half_written_files_of_a_killed_process_are_cleared_away(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    half = run.report_path / ".ledger.json.4242-0a1b2c3d.tmp"
    half.parent.mkdir(parents=True)
    half.write_text("[{")
    kept = run.path / "notes.tmp"
    kept.write_text("the user's own")
    with run.locked():
        assert not half.exists()
    assert kept.read_text() == "the user's own"


class TestSplits:
    def test_they_are_those_of_training(self, finished_run: Path) -> None:
        run = RunDirectory(finished_run)
        splits = run.splits()
        for name in ("validation", "test"):
            trace, part = run.trace(name), getattr(splits, name)
            assert part.guids == trace.guids
            assert np.array_equal(part.labels, trace.labels)
        assert len(splits.train) == run.training()["rows"]["train"]

    def test_rows_that_changed_since_are_refused(
        self, run_copy: Callable[..., Path], tiny_reviews: Path, tmp_path: Path
    ) -> None:
        run = RunDirectory(run_copy())
        changed = tmp_path / "changed.csv"
        changed.write_text(tiny_reviews.read_text() + "one more,positive\n")
        config = run.config_path.read_text()
        assert str(tiny_reviews) in config
        run.config_path.write_text(config.replace(str(tiny_reviews), str(changed)))
        with pytest.raises(MismatchError, match="have changed since"):
            run.splits()


def test_a_fingerprint_of_old_does_not_tell_the_splits() -> None:
    now = "abc\nsplits:def"
    assert same_rows("abc\n", now)
    assert same_rows("abc\nsplits:def\n", now)
    for other in ("abc\nsplits:xyz", "xyz", "abc\ndef"):
        assert not same_rows(other, now)
