"""Sums over answers: by hand, by plain SQL, block by block, and over a file that is replaced."""

from __future__ import annotations

import contextlib
import math
import random
import sqlite3
from pathlib import Path

import pytest

from dimec.base.errors import CorruptArtefactError
from dimec.mobile.prediction import Prediction, Stay
from dimec.mobile.state.rows import Record
from dimec.mobile.state.store import State
from dimec.mobile.state.totals import Sums, Totals
from dimec.tiers.names import TIER_NAMES
from support.states import open_state, prediction

HERE = Stay("mobile", 0, 2, None)
WAYS = {
    ("mobile", "mobile", None): (HERE,),
    ("mobile", "cloud", None): (HERE, Stay("mobile", 2, 3, None), Stay("cloud", 0, 6, "text")),
    ("edge", "edge", None): (Stay("edge", 0, 4, "text"),),
    ("cloud", "mobile", "cloud: timeout; edge: unreachable"): (HERE,),
    ("cloud", "edge", "cloud: timeout"): (Stay("edge", 0, 4, "text"),),
}


def made_up(number: int, seed: int = 0) -> list[Prediction]:
    rng = random.Random(seed)
    answers = []
    for k in range(number):
        (route, answered, reason), path = rng.choice(list(WAYS.items()))
        answers.append(
            prediction(
                f"{seed}-{k}",
                route=route,
                answered_by=answered,
                fallback_reason=reason,
                tried=(),
                path=path,
                cost=rng.random(),
                milliseconds=rng.random(),
                safe=rng.random() < 0.2,
            )
        )
    return answers


def write(state: State, answers: list[Prediction]) -> None:
    state.write([Record(answer, None) for answer in answers])


def read(sums: Sums, database: sqlite3.Connection) -> Totals:
    while (totals := sums.read(database)) is None:
        pass
    return totals


def test_by_hand(state: State) -> None:
    write(state, answers := made_up(60))
    totals = state.totals()
    assert totals.answers == 60
    assert totals.safe == sum(answer.safe for answer in answers)
    assert totals.failures == {
        ("cloud", "timeout"): sum("cloud" in (a.fallback_reason or "") for a in answers),
        ("edge", "unreachable"): sum("edge" in (a.fallback_reason or "") for a in answers),
    }
    stays = [stay for answer in answers for stay in answer.path]
    for tier in TIER_NAMES:
        given = [answer for answer in answers if answer.answered_by == tier]
        assert totals.answered[tier] == len(given)
        assert totals.costs[tier] == pytest.approx(sum(answer.cost for answer in given))
        assert totals.times[tier] == pytest.approx(sum(answer.milliseconds for answer in given))
        ran = [stay for stay in stays if stay.tier == tier]
        assert totals.layers[tier] == sum(stay.stop - stay.start for stay in ran)
        assert totals.sent[tier] == sum(stay.payload == "text" for stay in ran)
    assert totals.cost == pytest.approx(math.fsum(totals.costs.values()))
    assert totals.milliseconds == pytest.approx(math.fsum(totals.times.values()))


def test_in_blocks_are_the_same_to_the_last_bit_whenever_they_are_asked_for(path: Path) -> None:
    with contextlib.closing(open_state(path)) as state:
        often, seen = Sums(TIER_NAMES, block=4), []
        with contextlib.closing(sqlite3.connect(path)) as database:
            for seed in range(9):
                write(state, made_up(3, seed))
                seen.append(read(often, database))
            assert [totals.answers for totals in seen] == list(range(3, 28, 3))
            assert read(Sums(TIER_NAMES, block=4), database) == seen[-1]
            whole = read(Sums(TIER_NAMES, block=1000), database)
            cost = database.execute("SELECT TOTAL(cost) FROM answers").fetchone()[0]
        assert whole == state.totals()
        assert seen[-1].cost == pytest.approx(cost)
        assert seen[-1]._replace(cost=0, costs={}, milliseconds=0, times={}) == whole._replace(
            cost=0, costs={}, milliseconds=0, times={}
        )


def test_are_of_the_file_that_is_there(path: Path) -> None:
    with contextlib.closing(open_state(path)) as state:
        write(state, made_up(20))
        state._sums = Sums(TIER_NAMES, block=4)
        assert state.totals().answers == 20
        path.unlink()
        write(state, made_up(2, seed=1))
        assert state.totals().answers == 2


def test_an_answer_that_was_altered_is_told(path: Path) -> None:
    with contextlib.closing(open_state(path)) as state:
        write(state, made_up(3))
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE answers SET path = '[{}]' WHERE seq = 2")
    with (
        contextlib.closing(open_state(path)) as state,
        pytest.raises(CorruptArtefactError, match="an answer was altered"),
    ):
        state.totals()
