"""Texts arise as often as was asked for, when they should; states keep their shares."""

from __future__ import annotations

import numpy as np
import pytest

from dimec.base.errors import ConfigError
from dimec.fleet.arrivals import DAY, Rhythm, draw_arrivals
from dimec.fleet.chains import draw_chains


@pytest.mark.parametrize("kind", ["poisson", "diurnal", "bursty"])
def test_the_mean_is_the_one_asked_for(kind: str) -> None:
    rhythm = Rhythm(kind, per_hour=5.0, spread=0.5)  # type: ignore[arg-type]
    times, mobiles = draw_arrivals(np.random.default_rng(0), rhythm, 2000, 24.0)
    counts = np.bincount(mobiles, minlength=2000)
    assert abs(counts.mean() - 120) < 4 * counts.std() / np.sqrt(2000)
    assert counts.var() > 0.4 * 120**2  # mobiles differ
    assert (np.diff(times) >= 0).all()
    assert 0 <= times[0] <= times[-1] <= 24 * 3600


def test_the_hours_of_a_day_have_their_weights() -> None:
    rhythm = Rhythm("diurnal", per_hour=10.0, starts_at=18.5)
    times, _ = draw_arrivals(np.random.default_rng(1), rhythm, 500, 24.0)
    hour = ((times / 3600 + 18.5) % 24).astype(int)
    expected = len(times) * np.array(DAY) / sum(DAY)
    chi = ((np.bincount(hour, minlength=24) - expected) ** 2 / expected).sum()
    assert chi < 23 + 4 * np.sqrt(46)


def test_bursts_are_more_uneven_than_chance() -> None:
    counts = {}
    for kind in ("poisson", "bursty"):
        rhythm = Rhythm(kind, per_hour=20.0)
        times, mobiles = draw_arrivals(np.random.default_rng(2), rhythm, 300, 24.0)
        cells = np.bincount(mobiles * 288 + (times // 300).astype(int), minlength=300 * 288)
        counts[kind] = cells.var() / cells.mean()
    assert abs(counts["poisson"] - 1) < 0.05
    assert counts["bursty"] > 2


def test_states_have_their_shares_at_every_moment_and_last() -> None:
    shares = (0.5, 0.3, 0.2)
    chains = draw_chains(np.random.default_rng(3), 20_000, 3600.0, 600.0, shares)
    everybody = np.arange(20_000)
    for moment in (0.0, 1800.0, 3599.0):
        state = chains.states[chains.at(everybody, np.full(20_000, moment))]
        np.testing.assert_allclose(np.bincount(state) / 20_000, shares, atol=4 * 0.5 / 141)
    first, later = (chains.at(everybody, np.full(20_000, t)) for t in (0.0, 600.0))
    assert abs((first == later).mean() - np.exp(-1)) < 4 * 0.5 / 141


@pytest.mark.parametrize("rhythm", [Rhythm(per_hour=0), Rhythm("diurnal", day=(1.0,) * 23)])
def test_no_such_rhythm(rhythm: Rhythm) -> None:
    with pytest.raises(ConfigError):
        draw_arrivals(np.random.default_rng(0), rhythm, 3, 1.0)
