"""Worker processes: killed, ended, and started again, every row has one answer, the same one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from dimec.base.errors import CorruptArtefactError, ScoringFailedError
from dimec.base.progress import NoProgress
from dimec.scoring import survey as survey_module
from dimec.scoring.events import Event, Read
from dimec.scoring.job import INNER, SCORER_FOLDER, Job
from dimec.scoring.layout import Layout
from dimec.scoring.local import run_local
from dimec.scoring.pieces import Task
from dimec.scoring.run import Scored, score
from dimec.scoring.scorer import Scorer
from dimec.scoring.shards import find_shards
from support.scoring import OUTPUTS, answers_in, here, read_answers, write_texts
from support.tiny import Said, command, environment

SIZE = 4_300  # a chunk and a bit, so that workers speak in the middle of a part
WORDS = ("--policy", "exit-cascade")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("much") / "in", SIZE)


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, texts: Path, finished_run: Path, one_trace: None
) -> Path:
    """The answers of one process that nothing happened to."""
    from dimec.cli import app

    out = tmp_path_factory.mktemp("scored") / "out"
    words = ["score", texts, "--run", finished_run, "--out", out, "--workers", 1, *WORDS]
    app([str(word) for word in words], standalone_mode=False)
    return out


@pytest.fixture
def begun(undisturbed: Path, tmp_path: Path) -> Path:
    """A folder of the same job in which nothing is done yet."""
    out = tmp_path / "out"
    shutil.copytree(undisturbed / INNER, out / INNER, ignore=shutil.ignore_patterns("done", "lock"))
    Scorer.open(out / INNER / SCORER_FOLDER)  # whole: what a test finds amiss later, it did itself
    return out


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    found = []
    for child in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has just ended
            if "dimec.scoring.worker" in " ".join(child.cmdline()):
                found.append(child)
    return found


def is_writing(worker: psutil.Process, folder: Path) -> bool:
    """Whether a worker has answers to a part that is not done."""
    return any((folder / INNER / "parts").rglob(f".*.{worker.pid}-*.tmp"))


def scored_here(texts: Path, out: Path, execute: Callable[..., Iterator[Event]]) -> Scored:
    """Score in this process, whatever the folder says of whose job it is."""
    with Job.held(out, {}, Layout()) as job:
        return score(job, find_shards([str(texts)], job.layout, out), execute, NoProgress())


def test_every_row_has_its_answer(undisturbed: Path) -> None:
    for name in OUTPUTS[:3]:
        rows = read_answers(undisturbed / name)
        assert [row["row"] for row in rows] == list(range(1, SIZE + 1))
        assert {row["label"] for row in rows} == {"negative", "positive"}


def test_a_worker_that_is_killed_is_replaced_and_its_part_done_again(
    texts: Path, begun: Path, undisturbed: Path
) -> None:
    killed: list[int] = []

    def killing(folder: Path, tasks: Sequence[Task], wanted: Callable[[Task], bool]) -> Iterator:  # type: ignore[type-arg]
        for event in run_local(folder, tasks, wanted, workers=2):
            if isinstance(event, Read) and len(killed) < 2:  # in the middle of a part
                for worker in workers_of(psutil.Process()):
                    killed.append(worker.pid)
                    worker.kill()
            yield event

    scored = scored_here(texts, begun, killing)
    assert len(killed) >= 2
    assert scored.failed == {}
    assert answers_in(begun, OUTPUTS) == answers_in(undisturbed, OUTPUTS)


def test_a_part_at_which_all_die_leaves_its_file_out(
    texts: Path, begun: Path, undisturbed: Path
) -> None:
    killed: list[int] = []

    def deadly(folder: Path, tasks: Sequence[Task], wanted: Callable[[Task], bool]) -> Iterator:  # type: ignore[type-arg]
        (reading,) = [task for task in tasks if task.shard.output == "c.jsonl"]
        for event in run_local(folder, tasks, wanted, workers=1):
            for worker in workers_of(psutil.Process()) if isinstance(event, Read) else ():
                worker.suspend()  # so that it is at the same part when it is killed
                if any(reading.target.parent.glob(f".*.{worker.pid}-*.tmp")):
                    killed.append(worker.pid)
                    worker.kill()
                else:
                    worker.resume()
            yield event

    own = Path(shutil.copytree(texts, begun.parent / "in"))
    with (own / "c.txt").open("a") as stream:  # long enough that nobody is done before the kill
        stream.write((texts / "c.txt").read_text("utf-8") * 2)
    scored = scored_here(own, begun, deadly)
    assert len(killed) == 3
    assert list(scored.failed) == [str(own / "c.txt")]
    assert "3 processes died" in scored.failed[str(own / "c.txt")]
    others = ("a.parquet", "deep/b.jsonl")
    assert answers_in(begun, others) == answers_in(undisturbed, others)
    assert not (begun / "c.jsonl").exists()
    shutil.copyfile(texts / "c.txt", own / "c.txt")
    again = scored_here(own, begun, here)
    assert (again.files, again.reused, again.failed) == (1, 2, {})
    assert answers_in(begun, OUTPUTS) == answers_in(undisturbed, OUTPUTS)


def test_workers_that_cannot_begin_end_it(texts: Path, begun: Path) -> None:
    path = begun / INNER / "scorer" / "model-0" / "embed.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(CorruptArtefactError, match=r"embed\.onnx cannot be used"):
        scored_here(texts, begun, partial(run_local, workers=2))


def test_workers_that_die_before_they_are_ready_end_it(
    texts: Path, begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", shutil.which("false"))
    with pytest.raises(ScoringFailedError, match="ended before they were ready"):
        scored_here(texts, begun, partial(run_local, workers=2))


class TestCommand:
    @pytest.fixture
    def words(self, texts: Path, finished_run: Path, begun: Path) -> list[str]:
        line = ("score", texts, "--run", finished_run, "--out", begun, "--workers", "2", *WORDS)
        return command(*line)

    def once_it_works(
        self, process: subprocess.Popen[str], out: Path, *, done: bool
    ) -> list[psutil.Process]:
        """Wait until a part is being written, where ``done`` behind one that is; the workers."""
        while process.poll() is None:
            workers = workers_of(psutil.Process(process.pid))
            if done and not any((out / INNER / "done").rglob("*.json")):
                pass
            elif any(is_writing(worker, out) for worker in workers):
                return workers
            time.sleep(0.005)  # a file appears, of which nobody tells
        raise AssertionError(process.communicate())

    def started(self, words: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            words,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            start_new_session=True,
        )

    def test_stopped_killed_and_started_again(
        self, words: list[str], begun: Path, undisturbed: Path
    ) -> None:
        # The last one as Ctrl-C in a terminal sends it, when a file is done and another begun.
        for sign in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
            with self.started(words) as process:
                workers = self.once_it_works(process, begun, done=sign == signal.SIGINT)
                os.killpg(process.pid, sign)
                _, said = process.communicate(timeout=60)
            assert process.returncode == (-sign if sign == signal.SIGKILL else 130), said
            assert ("finished work is kept" in said) == (sign != signal.SIGKILL)
            _, alive = psutil.wait_procs(workers, timeout=60)
            assert alive == []
        kept = [name for name in OUTPUTS if (begun / name).exists()]
        assert 0 < len(kept) < 3
        done = subprocess.run(words, capture_output=True, text=True, env=environment(), check=True)
        assert f"has the answers to {len(kept)} files" in done.stderr
        assert f"{3 * SIZE:,} answers in 3 files" in done.stdout
        assert answers_in(begun, OUTPUTS) == answers_in(undisturbed, OUTPUTS)
        assert not [*begun.rglob("*.tmp")]


def test_parts_of_any_size_give_the_same_answers(
    texts: Path, begun: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey_module.survey, "__defaults__", (4096,))
    scored = scored_here(texts, begun, here)
    assert scored.rows == 3 * SIZE
    names = ("c.jsonl", "deep/b.jsonl")
    assert answers_in(begun, names) == answers_in(undisturbed, names)
    assert read_answers(begun / "a.parquet") == read_answers(undisturbed / "a.parquet")


def test_what_is_done_is_left_and_what_has_changed_is_answered_again(
    texts: Path, begun: Path, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(texts, tmp_path / "in"))
    (own / "a.parquet").unlink()
    assert scored_here(own, begun, here).files == 2
    before = (begun / "c.jsonl").stat().st_mtime_ns
    with (own / "deep" / "b.jsonl").open("a") as stream:
        stream.write('\n{"text": "one more"}\n{"text": 1}\n')
    changed = scored_here(own, begun, here)
    assert (changed.files, changed.reused) == (0, 1)
    (problem,) = changed.failed.values()
    assert f"line {SIZE + 2}: expected a text, got 1" in problem
    assert (begun / "c.jsonl").stat().st_mtime_ns == before
    text = (own / "deep" / "b.jsonl").read_text("utf-8")
    (own / "deep" / "b.jsonl").write_text(text.replace('{"text": 1}\n', ""), "utf-8")
    assert scored_here(own, begun, here).rows == SIZE + 1
    assert len(read_answers(begun / "deep" / "b.jsonl")) == SIZE + 1


class TestRefused:
    def test_another_policy_run_or_layout(
        self, cli: Callable[..., Said], texts: Path, begun: Path, finished_run: Path
    ) -> None:
        words = ("score", texts, "--run", finished_run, "--out", begun)
        assert "another policy (" in cli(*words).complaint()
        line = cli(*words, *WORDS, "--probabilities").complaint()
        assert "another layout" in line
        assert "name another folder" in line
        line = cli(*words, *WORDS, "--precision", "int8").complaint()
        assert "another precision (fp32, now int8)" in line

    def test_a_folder_of_something_else(
        self, cli: Callable[..., Said], texts: Path, tmp_path: Path, finished_run: Path
    ) -> None:
        said = cli("score", texts, "--run", finished_run, "--out", finished_run)
        assert "holds something else" in said.complaint()

    def test_a_second_process_in_the_folder(
        self, cli: Callable[..., Said], texts: Path, begun: Path, finished_run: Path
    ) -> None:
        with Job.held(begun, {}, Layout()):
            said = cli("score", texts, "--run", finished_run, "--out", begun, *WORDS)
        assert "is being written by another dimec score" in said.complaint()

    def test_an_unknown_engine_and_a_second_text(
        self, cli: Callable[..., Said], texts: Path, begun: Path, finished_run: Path, tmp_path: Path
    ) -> None:
        words = ("score", texts / "a.parquet", "--run", finished_run, *WORDS, "--out")
        assert "expected local or ray" in cli(*words, begun, "--engine", "spark").complaint()
        assert "expected fp32 or int8" in cli(*words, begun, "--precision", "int4").complaint()
        for out in (begun, tmp_path / "new"):  # where the graphs are, and where they are not
            said = cli(*words, out, "--pair-column", "number").complaint()
            assert "--pair-column does nothing: this model takes one text" in said
        assert not (tmp_path / "new").exists()
