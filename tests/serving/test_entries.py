"""What runs together, and in what order."""

from __future__ import annotations

import asyncio
from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from dimec.serving.entries import Cancelled, Entry, RunLimits, assemble, take_pieces
from support.served import answer_of, in_loop, rows_of

LIMITS = RunLimits(rows=8, overhead=10.0)


def entries_of(*shapes: tuple[int, ...]) -> deque[Entry]:
    """A queue of entries with rows of these lengths; belongs to the running loop."""
    loop = asyncio.get_running_loop()
    entries: deque[Entry] = deque()
    for i, lengths in enumerate(shapes, 1):
        entries.append(Entry(len(lengths), loop.create_future(), 0.0))
        entries[-1].fill(rows_of(*lengths, first=100 * i), 0.0)
    return entries


def lengths_taken(queue: deque[Entry], limits: RunLimits = LIMITS) -> list[list[int]]:
    """The lengths of the rows that run together next, by entry."""
    pieces = take_pieces(queue, limits)
    return [piece.entry.rows.lengths[piece.indices].tolist() for piece in pieces]


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
        queue = entries_of((10,), (40,), *[(10,)] * 11)
        assert lengths_taken(queue) == [[10]] * 8
        assert lengths_taken(queue) == [[40]]
        assert lengths_taken(queue) == [[10]] * 4

    in_loop(work)


def test_a_row_longer_than_a_run_runs_alone() -> None:
    async def work() -> None:
        queue = entries_of((500,), (500,))
        assert lengths_taken(queue) == [[500]]
        assert lengths_taken(queue) == [[500]]

    in_loop(work)


def test_a_request_of_many_rows_lets_others_through() -> None:
    async def work() -> None:
        queue = entries_of((32,) * 8, (30,), (30,))
        assert lengths_taken(queue) == [[32, 32, 32]]
        assert lengths_taken(queue) == [[30], [30], [32]]
        assert lengths_taken(queue) == [[32, 32, 32]]
        assert lengths_taken(queue) == [[32]]

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
