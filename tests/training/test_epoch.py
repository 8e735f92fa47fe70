from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.training.epoch import learning_rate_at, part_of


class TestLearningRate:
    def test_by_hand(self) -> None:
        rates = [learning_rate_at(step, 10, 0.08, 0.4) for step in range(10)]
        up, down = [0.02, 0.04, 0.06, 0.08], [0.08, 0.2 / 3, 0.16 / 3, 0.04, 0.08 / 3, 0.04 / 3]
        assert rates == pytest.approx(up + down)

    @given(st.integers(1, 500), st.floats(0, 1), st.floats(1e-6, 0.5))
    def test_it_rises_to_the_rate_and_falls_and_is_never_zero(
        self, steps: int, warmup: float, rate: float
    ) -> None:
        rates = np.array([learning_rate_at(step, steps, rate, warmup) for step in range(steps)])
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
