"""A mobile that is killed at any moment: what was recorded is whole, and work goes on from it."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from dimec.mobile import Mobile
from dimec.tiers.names import TIER_NAMES
from support.stored import stored_router
from support.tiers import assert_pools_fit, offline_routes, texts

NUMBER = 1500

# Streams and single texts in several threads; the ids say which text an answer is for.
_SCRIPT = """
import sys, threading
sys.path.insert(0, sys.argv[3])
from dimec.mobile import Mobile
from support.tiers import texts
some, singles = texts(int(sys.argv[4])), int(sys.argv[5])
ids = [str(number) for number in range(len(some))]
with Mobile.open(sys.argv[1], state=sys.argv[2], adaptive=True) as mobile:
    def single(start):
        for number in range(start, len(some), singles + 1):
            mobile.predict(some[number], id=ids[number])
    threads = [threading.Thread(target=single, args=(start,)) for start in range(singles)]
    for thread in threads:
        thread.start()
    for _ in mobile.predict_many(some[singles :: singles + 1], ids=ids[singles :: singles + 1]):
        pass
    for thread in threads:
        thread.join()
"""


def command(bundle: Path, state: Path, *, singles: int) -> list[str]:
    """Answers all texts: so many threads with one text at a time, and a stream with the rest."""
    words = [str(bundle), str(state), str(Path(__file__).parents[1]), str(NUMBER), str(singles)]
    return [sys.executable, "-c", _SCRIPT, *words]


def recorded(state: Path) -> list[tuple[str, str]]:
    """(id, route) of every answer; the file is read as a stranger would."""
    if not state.exists():
        return []
    with contextlib.closing(sqlite3.connect(state)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        if not database.execute("SELECT name FROM sqlite_master").fetchall():
            return []
        return database.execute("SELECT id, route FROM answers ORDER BY seq").fetchall()


def count(state: Path) -> int:
    """How many answers there are, at a glance."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{state}?mode=ro", uri=True)) as database:
            return int(database.execute("SELECT COUNT(*) FROM answers").fetchone()[0])
    except sqlite3.OperationalError:  # not there yet
        return 0


def kill_at(line: list[str], state: Path, goal: int, rng: random.Random) -> bool:
    """Start a process and kill it once there are so many answers; whether it still ran."""
    with subprocess.Popen(line) as process:
        while process.poll() is None and count(state) < goal:
            time.sleep(rng.uniform(0, 0.02))
        process.kill()
    return process.returncode != 0


def check_pools(bundle: Path, state: Path, some: list[str]) -> int:
    """The pools are the fitted ones and the embeddings of the recorded answers, no other."""
    answers = recorded(state)
    assert len({id_ for id_, _ in answers}) == len(answers)
    with Mobile.open(bundle, state=state, adaptive=True) as mobile:
        assert_pools_fit(mobile)
        core = mobile.engine.core
        expected = stored_router(mobile.engine.bundle.path).sums
        for id_, route in answers:
            x = core.embed(core.tokenise(some[int(id_)])).pooled
            expected[TIER_NAMES.index(route)] += x
        learnt = mobile.engine.state.arrays or stored_router(mobile.engine.bundle.path).state()
        np.testing.assert_allclose(learnt["sums"], expected, atol=1e-9)
    return len(answers)


def test_amid_streams_and_threads(bundle: Path, tmp_path: Path) -> None:
    some, state, rng = texts(NUMBER), tmp_path / "state.sqlite", random.Random(7)
    line = command(bundle, state, singles=4)
    kills, before = 0, 0
    for _ in range(3):
        kills += kill_at(line, state, count(state) + rng.randint(1, 400), rng)
        after = check_pools(bundle, state, some)
        assert after >= before
        before = after
    assert kills >= 2
    assert subprocess.run(line, check=False).returncode == 0
    assert check_pools(bundle, state, some) == NUMBER


def test_a_stream_goes_on_as_if_nothing_had_been(bundle: Path, tmp_path: Path) -> None:
    """One stream records in order, so after a kill the router is where the records end."""
    some, state, rng = texts(NUMBER), tmp_path / "state.sqlite", random.Random(8)
    line = command(bundle, state, singles=0)
    for _ in range(3):
        kill_at(line, state, count(state) + rng.randint(1, 400), rng)
        answers = recorded(state)
        assert [id_ for id_, _ in answers] == [str(number) for number in range(len(answers))]
    assert subprocess.run(line, check=False).returncode == 0
    with Mobile.open(bundle, state=state, adaptive=True) as mobile:
        routes = [route for _, route in recorded(state)]
        assert routes == offline_routes(bundle, mobile, some, adaptive=True)
