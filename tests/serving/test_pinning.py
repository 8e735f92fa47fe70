from __future__ import annotations

import os
import signal
import threading
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from dimec.base.machine import processors
from dimec.serving.pinning import PINS, Pin, pin_of
from dimec.serving.threads import Threads
from support.crew import workers_of
from support.served import INFER, Server, ask, inputs_of, make_tier, message
from support.tiny import command

pytestmark = pytest.mark.skipif(not PINS, reason="this system does not keep threads on cores")


def where() -> set[int]:
    """The cores that a thread started here may use."""
    found: list[set[int]] = []
    thread = threading.Thread(target=lambda: found.append(os.sched_getaffinity(0)))
    thread.start()
    thread.join()
    return found[0]


def test_each_worker_has_a_core_where_there_are_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {5, 3, 9})
    every = frozenset({3, 5, 9})
    assert [pin_of(n, 3, True) for n in range(3)] == [Pin(3, every), Pin(5, every), Pin(9, every)]


@pytest.mark.parametrize(("workers", "wanted"), [(1, True), (2, True), (4, True), (3, False)])
def test_none_is_kept_where_others_may_be_or_nobody_wants_it(
    workers: int, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {5, 3, 9})
    assert pin_of(0, workers, wanted) is None


def test_a_lone_core_is_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {7})
    assert pin_of(0, 1, True) is None


def test_threads_stay_unless_they_are_started_free() -> None:
    every = frozenset(os.sched_getaffinity(0))
    pin = Pin(max(every), every)

    def body() -> None:
        pin.stay()
        seen.append(where())
        with pin.free():
            seen.append(where())
        seen.append(where())

    seen: list[set[int]] = []
    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [{pin.core}, set(every), {pin.core}]
    assert os.sched_getaffinity(0) == every  # of this thread, which was asked nothing


def test_threads_of_the_graph_begin_on_the_core() -> None:
    every = frozenset(os.sched_getaffinity(0))
    pin, seen = Pin(min(every), every), list[set[int]]()
    threads = Threads(2, "graph", pin.stay)
    for _ in range(4):
        threads.submit(lambda: seen.append(os.sched_getaffinity(0)))
    threads.close()
    assert seen == [{pin.core}] * 4


def _cores(process: psutil.Process) -> set[frozenset[int]]:
    """Which cores the threads of a process may use."""
    return {frozenset(os.sched_getaffinity(thread.id)) for thread in process.threads()}


@pytest.mark.skipif(processors() < 2, reason="no cores here that threads could be kept on")
@pytest.mark.parametrize("pinned", [True, False])
def test_each_worker_keeps_a_core_of_its_own_and_one_measures_for_all(
    tmp_path: Path, pinned: bool
) -> None:
    tier, every = make_tier(tmp_path / "edge"), frozenset(os.sched_getaffinity(0))
    words = command("serve", tier, "--port", "0", *([] if pinned else ["--no-pin"]))
    with Server.by(words, tmp_path / "log") as server:
        found = {child.pid: _cores(child) for child in workers_of(server)}
        assert len(found) == len(every)
        if not pinned:
            assert set().union(*found.values()) == {every}
        else:  # the log's thread was there before, and runs nothing
            own = [cores - {every} for cores in found.values()]
            assert sorted(own, key=str) == sorted(({frozenset({n})} for n in every), key=str)
        assert [line["worker"] for line in server.logged("graph measured")] == [0]
        server.process.send_signal(signal.SIGHUP)
        server.wait_logged("bundle taken")
        assert len(server.logged("graph measured")) == 2
        if pinned:  # what the new bundle brought stays there too
            assert {pid: _cores(psutil.Process(pid)) - {every} for pid in found} == {
                pid: cores - {every} for pid, cores in found.items()
            }
        with closing(server.connect()) as line:
            assert ask(line, "POST", INFER, *message(inputs_of([1, 2, 3]))).status == 200
        assert server.stop() == 0
