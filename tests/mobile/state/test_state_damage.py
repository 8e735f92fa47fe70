"""A state file that is damaged, altered or of another program."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimec.base.errors import (
    CorruptArtefactError,
    DimecError,
)
from dimec.mobile.state.memory import Memory
from dimec.mobile.state.rows import Record
from dimec.mobile.state.store import State
from dimec.policies.kinds import Arrays
from support.states import WIDTH, embedding, learn, open_state, prediction


class TestDamage:
    @pytest.fixture
    def sound(self, state: State, path: Path) -> Path:
        for number in range(200):
            state.write([Record(prediction(f"{number}"), embedding(number))], learn)
        state.close()
        return path

    @pytest.mark.parametrize("content", [b"not a database at all" * 100, b"\0" * 5000])
    def test_no_database(self, path: Path, content: bytes) -> None:
        path.parent.mkdir()
        path.write_bytes(content)
        with pytest.raises(
            CorruptArtefactError, match=r"left as it is: move it away to start anew"
        ):
            open_state(path)
        assert path.read_bytes() == content

    def test_cut_short(self, sound: Path) -> None:
        content = sound.read_bytes()
        sound.write_bytes(content[:3000])
        with pytest.raises(CorruptArtefactError):
            open_state(sound)
        assert sound.read_bytes() == content[:3000]

    def test_of_another_program(self, path: Path) -> None:
        path.parent.mkdir()
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE notes(text TEXT)")
        with pytest.raises(CorruptArtefactError, match="of another program"):
            open_state(path)

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE memory SET check_sum = check_sum + 1",
            "UPDATE memory SET bytes = zeroblob(72)",
            "UPDATE memory SET bytes = x'00'",
            "UPDATE memory SET bytes = 'text', check_sum = 'text'",
            "UPDATE memory SET total = 3",
            "UPDATE memory SET arrays = replace(arrays, 'sum', 'means')",
            "UPDATE memory SET arrays = '['",
            "DELETE FROM memory",
            "DROP TABLE memory",
            "DROP TABLE answers",
            "ALTER TABLE memory RENAME COLUMN bytes TO sums",
            "ALTER TABLE meta RENAME COLUMN key TO name",
            "UPDATE meta SET value = '1' WHERE key = 'format'",
            "DELETE FROM meta",
        ],
    )
    def test_altered(self, sound: Path, statement: str) -> None:
        with contextlib.closing(sqlite3.connect(sound)) as database:
            database.execute(statement)
            database.commit()
        with pytest.raises(CorruptArtefactError, match="no state that this version"):
            open_state(sound)

    @pytest.mark.parametrize(
        "others",
        [{"sum": np.zeros(3), "count": np.array(1)}, {"sum": np.zeros(WIDTH)}],
    )
    def test_sound_arrays_of_another_policy(self, sound: Path, others: Arrays) -> None:
        with contextlib.closing(sqlite3.connect(sound)) as database, database:
            Memory.of(others).write(database, Memory.read(database))
        with pytest.raises(CorruptArtefactError, match="expected a sum and a count"):
            open_state(sound)

    def test_an_altered_answer(self, sound: Path) -> None:
        with contextlib.closing(sqlite3.connect(sound)) as database:
            database.execute("UPDATE answers SET probabilities = '{' WHERE id = '7'")
            database.commit()
        with contextlib.closing(open_state(sound)) as state:
            with pytest.raises(CorruptArtefactError, match="the answer '7' was altered"):
                state.find("7")
            assert state.find("8") is not None

    def test_a_damaged_page_that_nothing_read_at_first_is_on(self, sound: Path) -> None:
        """It would go unnoticed until an answer on it is asked for, and spread by then."""
        with contextlib.closing(sqlite3.connect(sound)) as database:
            size = database.execute("PRAGMA page_size").fetchone()[0]
            statement = "SELECT pageno FROM dbstat WHERE name = 'answers' AND pagetype = 'leaf'"
            try:
                pages = [row[0] for row in database.execute(statement)]
            except sqlite3.OperationalError:  # sqlite without that table
                pages = [sound.stat().st_size // size]
        content = bytearray(sound.read_bytes())
        start = (pages[-1] - 1) * size
        content[start : start + size] = b"\xa5" * size
        sound.write_bytes(content)
        with pytest.raises(CorruptArtefactError, match=r"left as it is: move it away") as caught:
            open_state(sound)
        assert "\n" not in str(caught.value)
        assert sound.read_bytes() == content
        assert [file.name for file in sound.parent.iterdir()] == [sound.name]

    def test_any_bytes_at_any_place(self, sound: Path, tmp_path: Path) -> None:
        """Whatever is altered: the file opens, or says so in dimec's own words."""
        content = sound.read_bytes()
        victim = tmp_path / "victim.sqlite"
        opened = refused = 0

        @settings(max_examples=150)
        @given(st.integers(0, len(content) - 1), st.binary(min_size=1, max_size=40))
        def attack(position: int, junk: bytes) -> None:
            nonlocal opened, refused
            for suffix in ("-wal", "-shm"):
                victim.with_name(victim.name + suffix).unlink(missing_ok=True)
            victim.write_bytes(content[:position] + junk + content[position + len(junk) :])
            try:
                with contextlib.closing(open_state(victim)) as state:
                    state.find("7")
                    state.totals()
                    state.write([Record(prediction("new"), embedding(1))], learn)
                opened += 1
            except DimecError:
                refused += 1

        attack()
        assert opened > 10
        assert refused > 10
