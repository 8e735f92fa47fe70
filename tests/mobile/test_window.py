"""The order of a stream, and who is asked for what, without threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import TierError
from dimec.mobile.core import Embedded
from dimec.mobile.course import Course, fallback_order
from dimec.mobile.item import Item
from dimec.mobile.prediction import Prediction
from dimec.mobile.texts import MOST_BYTES
from dimec.mobile.window import MOST_ROWS, Window
from dimec.policies.step import Go, Signal, Walk
from dimec.tiers.deployment import Deployment
from dimec.tiers.names import TIER_NAMES

ROUTES = ("mobile", "edge", "cloud")

DEPLOYMENT = Deployment.paper((2, 3, 6))


def item(number: int, route: str, length: int = 5) -> Item:
    inputs = {"input_ids": np.zeros((1, length), np.int64)}
    embedded = Embedded(inputs, np.zeros(3, np.float32), None)
    tier = TIER_NAMES.index(route)
    order = fallback_order(tier, "accuracy", DEPLOYMENT)
    walk = Walk(Signal(embedded.pooled, length))
    course = Course(walk, Go(tier, DEPLOYMENT.exits[tier]), order, DEPLOYMENT)
    return Item(None, f"{number}", False, "", float(number), embedded=embedded, course=course)


def answer(some: Sequence[Item]) -> None:
    for one in some:
        tier = one.way.tier
        rest: dict[str, Any] = {"milliseconds": 0.0, "cost": 0.0, "recorded": True}
        one.prediction = Prediction(one.id, "", 1, {}, "", {}, None, (), tier, None, (), **rest)


def fail(window: Window, tier: str, some: Sequence[Item]) -> None:
    """The tier gives no answer to what was taken for it."""
    for one in some:
        one.way.failed(TierError(tier, "timeout", "late", sent=True))
    window.done(tier, some)


def test_answers_leave_in_the_order_of_arrival() -> None:
    window = Window(TIER_NAMES)
    for number, route in enumerate(["mobile", "cloud", "mobile"]):
        window.add(item(number, route))
    tier, remote = window.take(local=True) or ("", [])
    assert (tier, [i.id for i in remote]) == ("cloud", ["1"])
    _, first = window.take(local=True) or ("", [])
    _, second = window.take(local=True) or ("", [])
    assert window.take(local=True) is None
    answer(second)
    assert window.finished() == []
    answer(first)
    assert [i.id for i in window.finished()] == ["0"]
    answer(remote)
    assert [i.id for i in window.finished()] == ["1", "2"]
    assert len(window) == 0


def test_one_that_is_answered_already_keeps_its_place() -> None:
    window = Window(TIER_NAMES)
    window.add(item(0, "edge"))
    known = item(1, "edge")
    answer([known])
    window.add(known)
    assert window.finished() == []
    _, taken = window.take(local=False) or ("", [])
    assert [i.id for i in taken] == ["0"]
    answer(taken)
    assert [i.id for i in window.finished()] == ["0", "1"]


def test_the_mobile_is_asked_one_at_a_time_and_only_if_it_may() -> None:
    window = Window(TIER_NAMES)
    for number in range(3):
        window.add(item(number, "mobile"))
    assert window.take(local=False) is None
    for running in (1, 2):
        _, taken = window.take(local=True) or ("", [])
        assert len(taken) == 1
        assert window.running["mobile"] == running
    answer(taken)
    window.done("mobile", taken)
    assert window.running["mobile"] == 1


def test_a_request_has_inputs_of_about_a_length_and_the_oldest_first() -> None:
    window = Window(TIER_NAMES)
    lengths = [10, 90, 12, 80, 9, 200, 11]
    for number, length in enumerate(lengths):
        window.add(item(number, "edge", length))
    batches = []
    while (work := window.take(local=True)) is not None:
        batches.append([int(i.id) for i in work[1]])
    assert batches == [[0, 2, 4, 6], [1, 3], [5]]


@given(st.lists(st.integers(0, MOST_BYTES), min_size=1, max_size=12))
def test_texts_of_a_request_are_together_within_what_a_server_takes(sizes: list[int]) -> None:
    window = Window(TIER_NAMES)
    for number, size in enumerate(sizes):
        window.add(long := item(number, "cloud"))
        long.utf8 = (b"x" * size,)
    taken: list[int] = []
    while (work := window.take(local=True)) is not None:
        assert sum(len(one.utf8[0]) for one in work[1]) <= MOST_BYTES
        assert int(work[1][0].id) == min({*range(len(sizes))} - {*taken})
        taken += [int(one.id) for one in work[1]]
    assert sorted(taken) == [*range(len(sizes))]


def test_a_request_has_only_so_many_rows() -> None:
    window = Window(TIER_NAMES)
    for number in range(2 * MOST_ROWS + 1):
        window.add(item(number, "cloud"))
    sizes = [len((window.take(local=True) or ("", []))[1]) for _ in range(3)]
    assert sizes == [MOST_ROWS, MOST_ROWS, 1]


@pytest.mark.parametrize("route", ["edge", "cloud"])
def test_each_input_of_a_failed_request_goes_on_for_the_same_reason(route: str) -> None:
    window = Window(TIER_NAMES)
    for number in range(3):
        window.add(item(number, route))
    seen = []
    while (work := window.take(local=True)) is not None and work[0] != "mobile":
        seen.append((work[0], len(work[1])))
        fail(window, *work)
    other = {"edge": "cloud", "cloud": "edge"}[route]
    assert seen == [(route, 3), (other, 3)]
    assert work is not None
    assert work[1][0].way.reason == f"{route}: timeout; {other}: timeout"
    assert window.running == {"mobile": 1, "edge": 0, "cloud": 0}


@given(st.data())
def test_whatever_happens_each_leaves_once_and_in_order(data: st.DataObject) -> None:
    window = Window(TIER_NAMES)
    left: list[str] = []
    taken: list[tuple[str, list[Item]]] = []
    arrived = 0
    for _ in range(data.draw(st.integers(0, 60))):
        step = data.draw(st.sampled_from(["add", "take", "answer", "fail"]))
        if step == "add":
            length = data.draw(st.integers(1, 50))
            window.add(item(arrived, data.draw(st.sampled_from(ROUTES)), length))
            arrived += 1
        elif step == "take":
            if (work := window.take(data.draw(st.booleans()))) is not None:
                taken.append(work)
        elif taken:
            tier, items = taken.pop(data.draw(st.integers(0, len(taken) - 1)))
            if step == "answer" or tier == "mobile":
                answer(items)
                window.done(tier, items)
            else:
                fail(window, tier, items)
            left += [i.id for i in window.finished()]
    for tier, items in taken:
        answer(items)
        window.done(tier, items)
    while (work := window.take(local=True)) is not None:
        answer(work[1])
        window.done(*work)
    left += [i.id for i in window.finished()]
    assert left == [f"{number}" for number in range(arrived)]
    assert window.clear() == []
    assert set(window.running.values()) == {0}
