"""A file of answers: gone on with after any interruption, and never mixed with another's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from dimec.base.errors import ConfigError, CorruptArtefactError, StorageError
from dimec.mobile import Mobile
from dimec.mobile.batch.jobs import Job
from dimec.mobile.batch.lines import Line
from support.tiers import assert_pools_fit, full_disk, texts


@pytest.fixture
def mobile(open_mobile: Callable[..., Mobile]) -> Mobile:
    return open_mobile(adaptive=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out" / "answers.jsonl"


def lines_of(some: Sequence[str], ids: Sequence[str | None] | None = None) -> list[Line]:
    names = ids if ids is not None else [None] * len(some)
    return [Line(n + 1, text, id_) for n, (text, id_) in enumerate(zip(some, names, strict=True))]


def run(mobile: Mobile, path: Path, lines: Sequence[Line], stop_after: int | None = None) -> int:
    """Answer the lines into the file; returns how many were left to do."""
    done = 0
    with Job(path, mobile.engine.state) as job:
        for prediction in mobile.predict_arrivals(job.arrivals(iter(lines)), workers=2):
            job.write(prediction)
            done += 1
            if done == stop_after:
                break
    return done


def written(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_one_line_for_each_text_in_order(mobile: Mobile, path: Path) -> None:
    some = [*texts(40), "", "Größe ☃"]
    assert run(mobile, path, lines_of(some)) == 42
    answers = written(path)
    assert [a["label"] for a in answers] == [mobile.predict(text).label for text in some]
    ids = [str(a["id"]) for a in answers]
    assert len(set(ids)) == 42
    assert [int(id_.rpartition("-")[2]) for id_ in ids] == list(range(42))


def test_done_work_is_not_done_again(mobile: Mobile, path: Path) -> None:
    lines = lines_of(texts(50))
    assert run(mobile, path, lines, stop_after=20) == 20
    assert len(written(path)) == 20
    assert run(mobile, path, lines) == 30
    before = path.read_bytes()
    assert run(mobile, path, lines) == 0
    assert path.read_bytes() == before
    assert mobile.ledger().answers == 50
    assert_pools_fit(mobile)


@pytest.mark.parametrize("cut", [1, 5, 400, 10_000])
def test_lines_that_were_lost_are_written_again_from_the_record(
    mobile: Mobile, path: Path, cut: int
) -> None:
    lines = lines_of(texts(40))
    run(mobile, path, lines)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    assert run(mobile, path, lines) == 40 - whole[:-cut].count(b"\n")
    assert path.read_bytes() == whole
    assert mobile.ledger().answers == 40


def test_the_input_may_grow(mobile: Mobile, path: Path) -> None:
    lines = lines_of(texts(30))
    run(mobile, path, lines[:20])
    assert run(mobile, path, lines) == 10
    assert len(written(path)) == 30


def test_a_file_that_was_removed_is_made_anew(mobile: Mobile, path: Path) -> None:
    lines = lines_of(texts(10))
    run(mobile, path, lines)
    before = {str(a["id"]) for a in written(path)}
    path.unlink()
    assert run(mobile, path, lines) == 10
    assert before.isdisjoint(str(a["id"]) for a in written(path))
    assert mobile.ledger().answers == 20


def test_ids_of_the_input_are_kept(mobile: Mobile, path: Path, tmp_path: Path) -> None:
    lines = lines_of(texts(4), ["a", None, "c", None])
    run(mobile, path, lines)
    assert [a["id"] for a in written(path)][::2] == ["a", "c"]
    # In another file the same inputs have the same answers.
    run(mobile, tmp_path / "other.jsonl", lines)
    assert written(tmp_path / "other.jsonl")[::2] == written(path)[::2]
    assert mobile.ledger().answers == 6


class TestAnotherInput:
    def test_a_changed_line(self, mobile: Mobile, path: Path) -> None:
        some = texts(10)
        run(mobile, path, lines_of(some))
        some[6] = "something else"
        before = path.read_bytes()
        with pytest.raises(ConfigError, match=r"answers another input .line 7 of the input"):
            run(mobile, path, lines_of(some))
        assert path.read_bytes() == before

    def test_a_shorter_one(self, mobile: Mobile, path: Path) -> None:
        run(mobile, path, lines_of(texts(10)))
        with pytest.raises(ConfigError, match="the input has 9 texts, and the output 10 lines"):
            run(mobile, path, lines_of(texts(10)[:9]))

    def test_other_ids(self, mobile: Mobile, path: Path) -> None:
        run(mobile, path, lines_of(texts(2), ["a", "b"]))
        with pytest.raises(ConfigError, match="line 2 of the input is another one now"):
            run(mobile, path, lines_of(texts(2), ["a", "c"]))


class TestSomebodyElsesFile:
    def test_is_not_touched(self, mobile: Mobile, path: Path) -> None:
        path.parent.mkdir()
        path.write_text("my letters")
        with pytest.raises(ConfigError, match="content that does not come from this state"):
            run(mobile, path, lines_of(texts(2)))
        assert path.read_text() == "my letters"

    def test_of_another_state(
        self, mobile: Mobile, path: Path, open_mobile: Callable[..., Mobile]
    ) -> None:
        run(mobile, path, lines_of(texts(2)))
        other = open_mobile(state=":memory:")
        with pytest.raises(ConfigError, match=r"does not come from this state .:memory:."):
            run(other, path, lines_of(texts(2)))

    def test_unless_it_is_empty(self, mobile: Mobile, path: Path) -> None:
        path.parent.mkdir()
        path.touch()
        assert run(mobile, path, lines_of(texts(2))) == 2

    def test_a_line_that_is_no_answer(self, mobile: Mobile, path: Path) -> None:
        lines = lines_of(texts(3))
        run(mobile, path, lines)
        first, _, third = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(first + b"{}\n" + third)
        with pytest.raises(CorruptArtefactError, match=r"answers\.jsonl, line 2: it is no answer"):
            run(mobile, path, lines)

    def test_a_folder(self, mobile: Mobile, path: Path) -> None:
        path.mkdir(parents=True)
        with pytest.raises((StorageError, ConfigError)):
            run(mobile, path, lines_of(texts(2)))


def test_a_full_disk_stops_it_and_loses_nothing(
    open_mobile: Callable[..., Mobile], path: Path
) -> None:
    mobile, lines = open_mobile(adaptive=True, state=":memory:"), lines_of(texts(200))
    with full_disk(20_000), pytest.raises(StorageError, match="no room to write"):
        run(mobile, path, lines)
    some = path.read_bytes().count(b"\n")
    assert 0 < some < 200
    assert run(mobile, path, lines) == 200 - some
    assert len({str(a["id"]) for a in written(path)}) == 200
    assert mobile.ledger().answers == 200
    assert_pools_fit(mobile)


def test_a_lull_passes_through(mobile: Mobile, path: Path) -> None:
    def source() -> Iterator[Line | None]:
        yield from lines_of(texts(3))
        yield None

    with Job(path, mobile.engine.state) as job:
        assert [arrival is None for arrival in job.arrivals(source())] == [False] * 3 + [True]
