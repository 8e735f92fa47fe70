from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.config import TrainingSettings
from dimec.training.epoch import (
    EpochRecord,
    best_epoch,
    learning_rate_at,
    part_of,
    stops_early,
)


def history(*scores: float) -> list[EpochRecord]:
    """Epochs whose last exit had these scores; the first exit's would tell another story."""
    return [
        EpochRecord(epoch, 1.0, 1.0, 1.0, (0.5, 0.5), (1.0 - score, score))
        for epoch, score in enumerate(scores)
    ]


class TestBestEpoch:
    @pytest.mark.parametrize(
        ("scores", "best"),
        [((0.5,), 0), ((0.5, 0.7, 0.6), 1), ((0.7, 0.7), 0), ((0.1, 0.2, 0.2), 1), ((-0.1, 0), 1)],
    )
    def test_the_last_exit_decides_and_the_earlier_of_equals_wins(
        self, scores: tuple[float, ...], best: int
    ) -> None:
        assert best_epoch(history(*scores)) == best


class TestStopsEarly:
    @pytest.mark.parametrize(
        ("scores", "patience", "stops"),
        [
            ((), 2, False),
            ((0.9, 0.1, 0.1), 0, False),
            ((0.9, 0.1), 2, False),
            ((0.9, 0.1, 0.1), 2, True),
            ((0.9, 0.9, 0.9), 2, True),
            ((0.9, 0.1, 0.95), 2, False),
            # a data map needs two epochs, whatever the patience
            ((0.9,), 1, False),
            ((0.9, 0.8), 1, True),
        ],
    )
    def test_it_stops_after_as_many_epochs_without_a_better_one(
        self, scores: tuple[float, ...], patience: int, stops: bool
    ) -> None:
        assert stops_early(history(*scores), patience) is stops


class TestLearningRate:
    def test_by_hand(self) -> None:
        plan = TrainingSettings(learning_rate=0.08, warmup=0.4)
        rates = [learning_rate_at(step, 10, plan) for step in range(10)]
        up, down = [0.02, 0.04, 0.06, 0.08], [0.08, 0.2 / 3, 0.16 / 3, 0.04, 0.08 / 3, 0.04 / 3]
        assert rates == pytest.approx(up + down)

    @given(st.integers(1, 500), st.floats(0, 1), st.floats(1e-6, 0.5))
    def test_it_rises_to_the_rate_and_falls_and_is_never_zero(
        self, steps: int, warmup: float, rate: float
    ) -> None:
        plan = TrainingSettings(learning_rate=rate, warmup=warmup)
        rates = np.array([learning_rate_at(step, steps, plan) for step in range(steps)])
        assert rates.max() == pytest.approx(rate)
        assert (rates > 0).all()
        assert (rates <= rate * (1 + 1e-12)).all()
        top = int(rates.argmax())
        assert (np.diff(rates[: top + 1]) >= -1e-15).all()
        assert (np.diff(rates[top:]) <= 1e-15).all()


class TestPartOf:
    @given(st.integers(1, 40), st.integers(1, 8))
    def test_the_processes_share_out_the_rows_and_none_stands_idle(
        self, size: int, world: int
    ) -> None:
        rows = np.arange(100, 100 + size)
        parts = [part_of(rows, rank, world) for rank in range(world)]
        working = np.concatenate([mine for mine, weight in parts if weight == 1])
        assert sorted(working.tolist()) == rows.tolist()
        assert all(len(mine) >= 1 for mine, _ in parts)
        idle = [mine.tolist() for mine, weight in parts if weight != 1]
        assert len(idle) == max(0, world - size)
        assert all(weight in (0, 1) for _, weight in parts)
