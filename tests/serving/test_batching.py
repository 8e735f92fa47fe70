"""What runs together, in what order, and what happens to those that wait."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.serving.batching import (
    Batcher,
    Cancelled,
    DeadlinePassed,
    Entry,
    Overloaded,
    Probabilities,
    RunLimits,
    assemble,
    take_pieces,
)
from dimec.serving.checks import IntArray, Rows

LIMITS = RunLimits(rows=8, overhead=10.0)


def rows_of(*lengths: int, first: int = 1) -> Rows:
    """Rows of so many tokens; row i's ids are all ``first + i``."""
    width = max(lengths)
    mask = (np.arange(width) < np.array(lengths)[:, None]).astype(np.int64)
    ids = (first + np.arange(len(lengths))[:, None]) * mask
    return Rows({"input_ids": ids, "attention_mask": mask}, mask.sum(axis=1))


def answer_of(inputs: dict[str, IntArray], alone: bool = True) -> Probabilities:
    """A graph that answers with each row's first id and number of tokens."""
    return np.stack(
        [inputs["input_ids"][:, 0], inputs["attention_mask"].sum(axis=1)], axis=1
    ).astype(np.float32)


def in_loop(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 60))


def entries_of(*shapes: tuple[int, ...]) -> deque[Entry]:
    """A queue of entries with rows of these lengths; belongs to the running loop."""
    loop = asyncio.get_running_loop()
    return deque(
        Entry(rows_of(*lengths, first=100 * i), loop.create_future(), 0.0)
        for i, lengths in enumerate(shapes, 1)
    )


def lengths_taken(queue: deque[Entry], limits: RunLimits = LIMITS) -> list[list[int]]:
    """The lengths of the rows that run together next, by entry."""
    pieces = take_pieces(queue, limits)
    return [piece.entry.rows.lengths[piece.indices].tolist() for piece in pieces]


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


def test_the_oldest_goes_and_those_of_like_length_join_it() -> None:
    async def work() -> None:
        queue = entries_of((20,), (40,), (21,), (19,))
        assert lengths_taken(queue) == [[20], [21], [19]]
        assert lengths_taken(queue) == [[40]]
        assert lengths_taken(queue) == []

    in_loop(work)


def test_a_run_has_at_most_so_many_rows_and_tokens() -> None:
    async def work() -> None:
        queue = entries_of(*[(2, 2, 2)] * 3)
        assert lengths_taken(queue) == [[2, 2, 2], [2, 2, 2], [2, 2]]
        assert lengths_taken(queue) == [[2]]
        queue = entries_of(*[(48,)] * 3)  # 2 · 48 cells of 100
        assert lengths_taken(queue) == [[48], [48]]
        assert lengths_taken(queue) == [[48]]

    in_loop(work)


def test_nobody_is_overtaken_by_the_whole_queue() -> None:
    async def work() -> None:
        queue = entries_of((10,), (40,), *[(10,)] * 7)
        assert lengths_taken(queue) == [[10]] * 5
        assert lengths_taken(queue) == [[40]]
        assert lengths_taken(queue) == [[10]] * 3

    in_loop(work)


def test_a_row_longer_than_a_run_runs_alone() -> None:
    async def work() -> None:
        queue = entries_of((500,), (500,))
        assert lengths_taken(queue) == [[500]]
        assert lengths_taken(queue) == [[500]]

    in_loop(work)


def test_a_request_of_many_rows_lets_others_through() -> None:
    async def work() -> None:
        queue = entries_of((33,) * 8, (30,), (30,))
        assert lengths_taken(queue) == [[33, 33, 33]]
        assert lengths_taken(queue) == [[30], [30], [33]]
        assert lengths_taken(queue) == [[33, 33, 33]]
        assert lengths_taken(queue) == [[33]]

    in_loop(work)


def test_rows_of_one_request_run_with_those_of_like_length() -> None:
    async def work() -> None:
        queue = entries_of((20, 3, 19, 4))
        assert lengths_taken(queue) == [[3, 4]]
        assert lengths_taken(queue) == [[19, 20]]
        queue = entries_of((20, 3, 19, 4), (19,))
        assert lengths_taken(queue) == [[3, 4]]
        assert lengths_taken(queue) == [[19], [19, 20]]

    in_loop(work)


shapes = st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=12), max_size=12)


@given(
    shapes,
    st.integers(1, 10),
    st.floats(1, 50),
    st.lists(st.integers(0, 11), max_size=4),
)
def test_every_row_runs_once_and_no_run_is_too_large(
    shapes: list[list[int]], rows: int, overhead: float, failed: list[int]
) -> None:
    async def work() -> None:
        limits = RunLimits(rows, overhead)
        queue = entries_of(*map(tuple, shapes))
        entries = list(queue)
        for i in failed:
            if i < len(entries):
                entries[i].fail(Cancelled())
                assert entries[i].answer.exception()
        taken: dict[int, list[int]] = {i: [] for i in range(len(entries))}
        while queue:
            oldest = next((entry for entry in queue if entry.waiting), None)
            pieces = take_pieces(queue, limits)
            if oldest is None:
                assert pieces == []
                break
            assert pieces[0].entry is oldest
            count = sum(len(piece.indices) for piece in pieces)
            width = max(piece.length for piece in pieces)
            assert count <= rows
            assert count * width <= limits.tokens or count == 1
            for piece in pieces:
                taken[entries.index(piece.entry)] += piece.indices.tolist()
        for i, entry in enumerate(entries):
            assert sorted(taken[i]) == ([] if i in failed else list(range(len(shapes[i]))))
            assert entry.waiting == 0

    in_loop(work)


@given(shapes.filter(bool))
def test_a_batch_is_its_rows_and_padding(shapes: list[list[int]]) -> None:
    async def work() -> None:
        queue = entries_of(*map(tuple, shapes))
        while pieces := take_pieces(queue, RunLimits(4, 20.0)):
            batch = assemble(pieces, padding=7)
            answer = iter(answer_of(batch))
            assert all(values.flags.c_contiguous for values in batch.values())
            for piece in pieces:
                for i in piece.indices:
                    ids = piece.entry.rows.inputs["input_ids"][i, 0]
                    length = piece.entry.rows.lengths[i]
                    assert next(answer).tolist() == [ids, length]
            padded = batch["attention_mask"] == 0
            assert set(batch["input_ids"][padded].tolist()) <= {0, 7}
            assert batch["input_ids"].shape[1] == max(piece.length for piece in pieces)

    in_loop(work)


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
