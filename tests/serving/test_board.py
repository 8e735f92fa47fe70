from __future__ import annotations

import os
import threading

import pytest

from dimec.serving.board import Board, Cell, Count, Fact, board_file


@pytest.fixture
def boards() -> tuple[Board, Board]:
    """The board of three workers, as two processes have it."""
    descriptor = board_file(3)
    try:
        return Board.at(descriptor, 3), Board.at(descriptor, 3)
    finally:
        os.close(descriptor)  # who has mapped it keeps it


def test_what_one_writes_the_others_read(boards: tuple[Board, Board]) -> None:
    ours, theirs = boards
    for worker in range(3):
        ours.seat(worker).put(Cell.WAITING, worker + 1)
        ours.seat(worker).add(Cell.ANSWERED, 2)
        ours.seat(worker).put(Cell.LAST, 10.5 * worker)
        ours.seat(worker).put(Cell.PID, 100 + worker)
    ours.state(Fact.PID, 99)
    assert theirs.whole(Cell.WAITING) == 6
    assert theirs.whole(Cell.ANSWERED) == 6
    assert theirs.latest(Cell.LAST) == 21
    assert theirs.pids() == [99, 100, 101, 102]
    assert theirs.whole(Cell.RUNNING) == 0


def test_of_a_dead_one_only_what_it_counted_stays(boards: tuple[Board, Board]) -> None:
    board, _ = boards
    for cell in Cell:
        board.put(1, cell, 7)
    board.clear(1)
    left = {cell for cell in Cell if board.get(1, cell)}
    assert Cell.ANSWERED in left
    assert left.isdisjoint({Cell.PID, Cell.READY, Cell.WAITING, Cell.CONNECTIONS, Cell.BEAT})


def test_a_bound_holds_for_all_together(boards: tuple[Board, Board]) -> None:
    ours, theirs = boards
    first, second = ours.seat(0).count(Cell.WAITING), theirs.seat(1).count(Cell.WAITING)
    assert first.fits(3, 4)
    assert not second.fits(2, 4)
    assert second.others == 3  # and what was refused counts no longer
    assert first.others == 0
    assert second.fits(1, 4)
    first.put(0)
    assert second.fits(4, 4)
    assert not first.alone


def test_one_process_has_the_bound_alone() -> None:
    count = Count.of_one(Cell.CONNECTIONS)
    assert count.alone
    assert count.fits(2, 2)
    assert not count.fits(3, 2)
    assert Board.alone().pids() == []


def test_of_many_that_ask_at_once_never_more_are_let_in_than_fit() -> None:
    descriptor = board_file(8)
    boards = [Board.at(descriptor, 8) for _ in range(8)]
    os.close(descriptor)
    start, inside = threading.Barrier(8), [0] * 8

    def ask(number: int) -> None:
        count = boards[number].seat(number).count(Cell.WAITING)
        start.wait()
        for _ in range(200):
            if count.fits(inside[number] + 1, 100):
                inside[number] += 1

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0 < sum(inside) <= 100
    assert boards[0].whole(Cell.WAITING) == sum(inside)
