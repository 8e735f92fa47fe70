"""The state file: what it holds, who may hold it, and what it survives."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.base.errors import (
    ConfigError,
    MismatchError,
    StateBusyError,
    StorageError,
)
from dimec.mobile.state.rows import Record
from dimec.mobile.state.store import MEMORY, State, default_path
from dimec.tiers.names import TIER_NAMES
from support.states import IDENTITY, WIDTH, embedding, learn, open_state, prediction


class TestWhatItHolds:
    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"margin": None, "fallback_reason": None, "tried": (), "answered_by": "cloud"},
            {"id": "Größe ☃ 'quoted\""},
            {"distances": {"mobile": None, "edge": None, "cloud": 5e-324}, "cost": 1e308},
        ],
    )
    def test_an_answer_comes_back_as_it_was(
        self, state: State, path: Path, changes: dict[str, Any]
    ) -> None:
        given_ = prediction("one", **changes)
        assert state.find(given_.id) is None
        state.write([Record(given_, None)])
        assert state.find(given_.id) == given_
        state.close()
        with contextlib.closing(open_state(path)) as again:
            assert again.find(given_.id) == given_

    def test_what_was_learnt_goes_with_the_answers(self, state: State, path: Path) -> None:
        expected, lessons = np.zeros(WIDTH), 0
        assert state.arrays == {}
        for number in range(30):
            learns = number % 4 > 0
            given_ = prediction(f"{number}")
            state.write([Record(given_, embedding(number) if learns else None)], learn)
            if learns:
                expected += embedding(number)
                lessons += 1
            assert state.arrays.get("sum", np.zeros(WIDTH)).tobytes() == expected.tobytes()
            assert state.arrays.get("count", 0) == lessons
        assert state.totals().learnt == lessons
        state.close()
        with contextlib.closing(open_state(path)) as again:
            assert again.arrays["sum"].tobytes() == expected.tobytes()
            assert again.arrays["count"] == lessons
            assert again.arrays["count"].dtype == np.int64

    def test_an_id_is_recorded_once_and_taught_once(self, state: State) -> None:
        state.write([Record(prediction("one", label="b"), embedding(1))], learn)
        before = state.arrays["sum"].tobytes(), state.arrays["count"].tolist()
        again = [Record(prediction("one"), embedding(2)), Record(prediction("one"), embedding(3))]
        state.write(again, learn)
        found = state.find("one")
        assert found is not None
        assert found.label == "b"
        assert (state.arrays["sum"].tobytes(), state.arrays["count"].tolist()) == before

    def test_totals(self, state: State) -> None:
        empty = state.totals()
        assert (empty.answers, empty.cost, empty.fallbacks) == (0, 0, {})
        assert empty.routes == {"mobile": 0, "edge": 0, "cloud": 0}
        none = {"fallback_reason": None, "tried": ()}
        answers = [
            prediction("1", route="mobile", answered_by="mobile", cost=3.0, **none),
            prediction("2", route="edge", answered_by="edge", cost=5.5, **none),
            prediction(
                "3", route="cloud", answered_by="edge", cost=8.5, fallback_reason="cloud: x"
            ),
            prediction(
                "4", route="cloud", answered_by="edge", cost=8.5, fallback_reason="cloud: x"
            ),
        ]
        state.write([Record(answer, None) for answer in answers])
        totals = state.totals()
        assert totals.answers == 4
        assert totals.routes == {"mobile": 1, "edge": 1, "cloud": 2}
        assert totals.answered == {"mobile": 1, "edge": 3, "cloud": 0}
        assert totals.fallbacks == {"cloud: x": 2}
        assert totals.cost == 25.5
        assert totals.milliseconds == 5.0

    def test_jobs(self, state: State, path: Path) -> None:
        assert state.job("/some/file") is None
        name = state.begin_job("/some/file")
        assert state.job("/some/file") == name
        assert state.begin_job("/another") != name
        state.close()
        with contextlib.closing(open_state(path)) as again:
            assert again.job("/some/file") == name
            assert again.begin_job("/some/file") != name
            assert again.job("/some/file") != name

    def test_in_memory_nothing_stays(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with contextlib.closing(open_state(MEMORY)) as state:
            state.write([Record(prediction("one"), embedding(1))])
            assert state.find("one") is not None
        assert list(tmp_path.iterdir()) == []
        with contextlib.closing(open_state(Path(MEMORY))) as state:
            assert state.find("one") is None


class TestWhoMayHoldIt:
    def test_one_at_a_time(self, state: State, path: Path) -> None:
        with pytest.raises(StateBusyError, match=r"in use by another .* wait .* or name another"):
            open_state(path)
        code = (
            "import sys\nfrom dimec.mobile.state.store import State\n"
            "State(sys.argv[1], 'ab' * 32, ('mobile', 'edge', 'cloud'))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
        )
        assert "StateBusyError" in done.stderr
        state.close()
        open_state(path).close()

    def test_a_bundle_of_its_own(self, state: State, path: Path) -> None:
        state.write([Record(prediction("one"), None)])
        state.close()
        with pytest.raises(MismatchError, match=r"another bundle .* name another state file"):
            open_state(path, "cd" * 32)
        with pytest.raises(MismatchError):
            State(path, "cd" * 32, TIER_NAMES)
        with contextlib.closing(open_state(path)) as again:
            assert again.find("one") is not None

    def test_closing_is_the_end(self, state: State, path: Path) -> None:
        state.close()
        state.close()
        with pytest.raises(StorageError, match="is closed"):
            state.write([Record(prediction("one"), None)])
        path.unlink()
        with pytest.raises(StorageError, match="is closed"):
            state.write([Record(prediction("one"), None)])
        assert not path.exists()


class TestWhereItLies:
    def test_in_the_users_state(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        assert default_path(IDENTITY) == tmp_path / "dimec" / IDENTITY[:16] / "state.sqlite"
        home = tmp_path / "home"
        monkeypatch.setenv("HOME", str(home))
        for value in ("relative/path", ""):
            monkeypatch.setenv("XDG_STATE_HOME", value)
            assert default_path(IDENTITY).is_relative_to(home / ".local" / "state" / "dimec")

    def test_without_a_home(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", "")
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)
        with pytest.raises(ConfigError, match=r"no home folder .* :memory:"):
            default_path(IDENTITY)

    def test_a_place_that_cannot_be(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        with pytest.raises(StorageError, match="cannot write"):
            open_state(tmp_path / "file" / "state.sqlite")
        (tmp_path / "folder").mkdir()
        with pytest.raises(StorageError, match="cannot write"):
            open_state(tmp_path / "folder")
        (tmp_path / "folder").rmdir()
        open_state(tmp_path / "folder").close()
        assert (tmp_path / "file").read_text() == "mine"

    def test_a_folder_that_is_read_only(self, path: Path) -> None:
        open_state(path).close()
        before = path.read_bytes()
        for file in path.parent.iterdir():
            file.chmod(0o444)
        path.parent.chmod(0o555)
        try:
            with unprivileged():
                for place in (path, path.with_name("new.sqlite"), path.parent / "new" / "s"):
                    with pytest.raises(StorageError, match="cannot write"):
                        open_state(place)
        finally:
            path.parent.chmod(0o755)
        assert path.read_bytes() == before


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Without root's leave to write anywhere, where root runs the tests."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)
