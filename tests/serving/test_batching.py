"""The queue in front of the graph, and what happens to those that wait in it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import numpy as np
import pytest

from dimec.base.arrays import IntArray
from dimec.serving.batching import Batcher
from dimec.serving.entries import (
    Cancelled,
    DeadlinePassed,
    Overloaded,
    Probabilities,
    RunLimits,
)
from support.served import answer_of, in_loop, rows_of

LIMITS = RunLimits(rows=8, overhead=10.0)


class Gate:
    """A graph that waits in its thread until it is let on.

    Attributes:
        batches: the first column of the ids of every run that has begun.
    """

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self._begun = threading.Semaphore(0)
        self._open = threading.Semaphore(0)

    def __call__(self, inputs: dict[str, IntArray], alone: bool) -> Probabilities:
        self.batches.append(inputs["input_ids"][:, 0].tolist())
        self._begun.release()
        assert self._open.acquire(timeout=60)
        return answer_of(inputs)

    async def begun(self) -> None:
        """Wait until one more run has begun."""
        await asyncio.to_thread(self._begun.acquire, timeout=60)

    def let(self, runs: int = 1) -> None:
        """Let so many runs end."""
        self._open.release(runs)


def batcher_of(
    run: Callable[[dict[str, IntArray], bool], Probabilities], *, workers: int = 1, queue: int = 16
) -> Batcher:
    return Batcher(run, workers=workers, limits=LIMITS, queue=queue, padding=0)


def test_every_request_gets_its_own_rows_in_their_order() -> None:
    async def work() -> None:
        batcher = batcher_of(answer_of, workers=2, queue=1000)
        rng = np.random.default_rng(0)
        shapes = [tuple(rng.integers(1, 40, rng.integers(1, 9))) for _ in range(100)]
        entries = [
            batcher.submit(rows_of(*lengths, first=100 * i)) for i, lengths in enumerate(shapes, 1)
        ]
        for i, (lengths, entry) in enumerate(zip(shapes, entries, strict=True), 1):
            answer = await entry.answer
            assert answer[:, 0].tolist() == [100 * i + k for k in range(len(lengths))]
            assert answer[:, 1].tolist() == list(lengths)
        assert (batcher.waiting, batcher.running) == (0, 0)
        batcher.close()

    in_loop(work)


def test_alone_a_request_waits_for_nothing_and_has_all_threads() -> None:
    async def work() -> None:
        gate = Gate()
        alone: list[bool] = []

        def run(inputs: dict[str, IntArray], by_itself: bool) -> Probabilities:
            alone.append(by_itself)
            return gate(inputs, by_itself)

        batcher = batcher_of(run, workers=2)
        first = batcher.submit(rows_of(4, first=1))
        await gate.begun()
        second = batcher.submit(rows_of(4, first=2))
        await gate.begun()
        third = batcher.submit(rows_of(4, first=3))
        await asyncio.sleep(0.01)
        assert gate.batches == [[1], [2]]
        gate.let(3)
        await asyncio.gather(first.answer, second.answer, third.answer)
        assert alone[:2] == [True, False]
        assert (first.batch_rows, second.batch_rows, third.batch_rows) == (1, 1, 1)
        batcher.close()

    in_loop(work)


def test_after_company_a_run_has_all_threads_only_once_it_was_alone_again() -> None:
    async def work() -> None:
        gate = Gate()
        alone: list[bool] = []

        def run(inputs: dict[str, IntArray], by_itself: bool) -> Probabilities:
            alone.append(by_itself)
            return gate(inputs, by_itself)

        batcher = batcher_of(run, workers=2)

        async def one() -> None:
            entry = batcher.submit(rows_of(4))
            gate.let()
            await entry.answer

        async def two() -> None:
            first = batcher.submit(rows_of(4))
            await gate.begun()
            second = batcher.submit(rows_of(4))
            gate.let(2)
            await asyncio.gather(first.answer, second.answer)

        for turn in (one, one, two, one, one, two, two, one, one):
            await turn()
        narrow_after_company = [True, True, True, False, False, True, True, False]
        assert alone == [*narrow_after_company, False, False, False, True]
        batcher.close()

    in_loop(work)


def test_whatever_is_queued_runs_together() -> None:
    async def work() -> None:
        gate = Gate()
        batcher = batcher_of(gate)
        entries = [batcher.submit(rows_of(4, first=1))]
        await gate.begun()
        entries += [batcher.submit(rows_of(4, first=i)) for i in (2, 3, 4)]
        assert batcher.waiting == 3
        gate.let(2)
        await asyncio.gather(*(entry.answer for entry in entries))
        assert gate.batches == [[1], [2, 3, 4]]
        batcher.close()

    in_loop(work)


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    async def work() -> None:
        gate = Gate()
        batcher = batcher_of(gate, queue=3)
        running = batcher.submit(rows_of(4))
        await gate.begun()
        waiting = batcher.submit(rows_of(4, 4))
        with pytest.raises(Overloaded) as refused:
            batcher.submit(rows_of(4, 4))
        assert 1 <= refused.value.retry_after <= 60
        more = batcher.submit(rows_of(4))
        gate.let(2)
        await asyncio.gather(running.answer, waiting.answer, more.answer)
        assert gate.batches[1] == [1, 2, 1]
        batcher.close()

    in_loop(work)


def test_entries_that_no_longer_wait_leave_room_and_do_not_run() -> None:
    async def work() -> None:
        gate = Gate()
        batcher = batcher_of(gate, queue=2)
        running = batcher.submit(rows_of(4, first=1))
        await gate.begun()
        for i in range(50):  # each gives up, and none of them stays
            entry = batcher.submit(rows_of(4, 4, first=10 * i))
            entry.fail(Cancelled())
            with pytest.raises(Cancelled):
                await entry.answer
        assert batcher.waiting == 0
        late = batcher.submit(rows_of(4, first=7), timeout=0.01)
        with pytest.raises(DeadlinePassed):
            await late.answer
        last = batcher.submit(rows_of(4, first=8), timeout=3600)
        gate.let(2)
        assert (await running.answer).tolist() == [[1, 4]]
        assert (await last.answer).tolist() == [[8, 4]]
        assert gate.batches == [[1], [8]]
        batcher.close()

    in_loop(work)


def test_a_deadline_that_passes_during_the_run_is_kept_too() -> None:
    async def work() -> None:
        gate = Gate()
        batcher = batcher_of(gate)
        entry = batcher.submit(rows_of(4), timeout=0.02)
        await gate.begun()
        with pytest.raises(DeadlinePassed):
            await entry.answer
        gate.let()
        batcher.close()

    in_loop(work)


def test_what_makes_a_run_fail_fails_alone() -> None:
    async def work() -> None:
        gate = Gate()

        def run(inputs: dict[str, IntArray], alone: bool) -> Probabilities:
            answer = gate(inputs, alone)
            if (inputs["input_ids"] == 13).any():
                raise ArithmeticError("13")
            return answer

        batcher = batcher_of(run)
        first = batcher.submit(rows_of(4, first=1))
        await gate.begun()
        entries = [batcher.submit(rows_of(4, first=i)) for i in (2, 13, 4)]
        gate.let(10)
        assert (await first.answer).tolist() == [[1, 4]]
        assert (await entries[0].answer).tolist() == [[2, 4]]
        assert (await entries[2].answer).tolist() == [[4, 4]]
        with pytest.raises(ArithmeticError, match="13"):
            await entries[1].answer
        assert gate.batches == [[1], [2, 13, 4], [2], [13], [4]]
        batcher.close()

    in_loop(work)


def test_a_graph_that_ends_its_thread_is_answered_as_well() -> None:
    async def work() -> None:
        def run(inputs: dict[str, IntArray], alone: bool) -> Probabilities:
            raise SystemExit

        batcher = batcher_of(run)
        with pytest.raises(RuntimeError, match="SystemExit"):
            await batcher.submit(rows_of(4)).answer
        with pytest.raises(RuntimeError):
            await batcher.submit(rows_of(4)).answer
        batcher.close()

    in_loop(work)


def test_closed_it_refuses_what_waits_and_what_comes() -> None:
    async def work() -> None:
        gate = Gate()
        batcher = batcher_of(gate)
        running = batcher.submit(rows_of(4))
        await gate.begun()
        waiting = batcher.submit(rows_of(4))
        gate.let()
        batcher.close()
        with pytest.raises(Overloaded):
            await waiting.answer
        with pytest.raises(Overloaded):
            batcher.submit(rows_of(4))
        assert (await running.answer).tolist() == [[1, 4]]

    in_loop(work)
