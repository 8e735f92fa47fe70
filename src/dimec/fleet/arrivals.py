"""When texts arise on which mobile.

Each mobile's texts are a Poisson process of its own mean rate, thinned or stretched:

- ``poisson``: a constant rate.
- ``diurnal``: the rate follows the hours of a day, 24 weights: the process in even time, carried
  through the inverse of the cumulated weights, which is exact for any weights.
- ``bursty``: a two-state chain (:mod:`dimec.fleet.chains`) makes it busy a share of the time, and
  then so many times as fast as else: a Markov-modulated Poisson process, by thinning.

Mobiles differ: the mean rate of each is the mean times a gamma variable of mean 1, whose variance
is ``spread``. The mean over all mobiles and times is the one that was asked for, by each rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dimec.base.arrays import FloatArray, IntArray
from dimec.base.errors import ConfigError
from dimec.fleet.chains import draw_chains

Kind = Literal["poisson", "diurnal", "bursty"]
# Weights of the hours from midnight; ours: quiet nights, most in the evening.
DAY = (*(2, 1, 1, 1, 1, 2, 4, 6, 7, 7, 7, 7), *(8, 8, 7, 7, 7, 8, 9, 10, 10, 9, 7, 4))
_HOUR = 3600.0


@dataclass(frozen=True)
class Rhythm:
    """How texts arise.

    Attributes:
        kind: see the module.
        per_hour: texts an hour and mobile, on average.
        spread: variance of the mobiles' own rates over the squared mean; 0: all are alike.
        day: 24 weights, of ``diurnal``.
        starts_at: hour of the day at which the simulation begins, of ``diurnal``.
        busy_share: of the time, of ``bursty``.
        busy_times: how much faster texts come in it.
        busy_minutes: mean time between two drawings of the state.
    """

    kind: Kind = "poisson"
    per_hour: float = 10.0
    spread: float = 0.0
    day: Sequence[float] = DAY
    starts_at: float = 0.0
    busy_share: float = 0.1
    busy_times: float = 10.0
    busy_minutes: float = 10.0


def draw_arrivals(
    rng: np.random.Generator, rhythm: Rhythm, mobiles: int, hours: float
) -> tuple[FloatArray, IntArray]:
    """Draw all texts of a fleet.

    Args:
        rng: what draws.
        rhythm: how texts arise.
        mobiles: M.
        hours: how long.

    Returns:
        (N,) seconds, ascending, and (N,) the mobile of each.

    Raises:
        ConfigError: a rate that is not positive, or weights that are not 24.
    """
    seconds = hours * _HOUR
    if not (rhythm.per_hour > 0 and seconds > 0 and mobiles > 0):
        raise ConfigError(
            f"a fleet needs mobiles, hours and texts an hour above 0, got {mobiles}, {hours:g} and "
            f"{rhythm.per_hour:g}"
        )
    rates = np.full(mobiles, rhythm.per_hour / _HOUR)
    if rhythm.spread > 0:
        rates *= rng.gamma(1 / rhythm.spread, rhythm.spread, mobiles)
    if rhythm.kind == "bursty":
        times, owner = _bursty(rng, rhythm, rates, seconds)
    else:
        counts = rng.poisson(rates * seconds)
        owner = np.repeat(np.arange(mobiles), counts)
        times = rng.uniform(0.0, seconds, len(owner))
        if rhythm.kind == "diurnal":
            times = _stretched(times, rhythm, seconds)
    order = np.argsort(times, kind="stable")
    return times[order], owner[order]


def _stretched(times: FloatArray, rhythm: Rhythm, seconds: float) -> FloatArray:
    """Even times carried to those at which the cumulated weights are the same share."""
    day = np.asarray(rhythm.day, np.float64)
    if day.shape != (24,) or not np.isfinite(day).all() or day.min() < 0 or day.sum() <= 0:
        raise ConfigError(f"a day needs 24 weights from 0 on, not all 0, got {list(rhythm.day)}")
    start = rhythm.starts_at * _HOUR
    edges = np.arange(np.floor(start / _HOUR), np.ceil((start + seconds) / _HOUR) + 1) * _HOUR
    edges = np.unique(np.clip(edges, start, start + seconds))
    middle = (edges[:-1] + edges[1:]) / 2
    weights = day[(middle // _HOUR).astype(np.int64) % 24] * np.diff(edges)
    if weights.sum() <= 0:
        raise ConfigError("no text arises in these hours: all their weights are 0")
    cumulated = np.concatenate([[0.0], np.cumsum(weights)])
    share = times / seconds * cumulated[-1]
    stretched: FloatArray = np.interp(share, cumulated, edges - start)
    return stretched


def _bursty(
    rng: np.random.Generator, rhythm: Rhythm, rates: FloatArray, seconds: float
) -> tuple[FloatArray, IntArray]:
    """A process at the busy rate, of which quiet times keep their share."""
    share, ratio = rhythm.busy_share, rhythm.busy_times
    if not (0 < share < 1 and ratio >= 1):
        raise ConfigError(
            f"a bursty rhythm needs a busy share between 0 and 1 and a ratio of at least 1, got "
            f"{share:g} and {ratio:g}"
        )
    chains = draw_chains(rng, len(rates), seconds, 60 * rhythm.busy_minutes, (1 - share, share))
    busy = rates * ratio / (1 - share + share * ratio)
    owner = np.repeat(np.arange(len(rates)), rng.poisson(busy * seconds))
    times = rng.uniform(0.0, seconds, len(owner))
    state = chains.states[chains.at(owner, times)]
    kept = (state == 1) | (rng.uniform(size=len(owner)) < 1 / ratio)
    return times[kept], owner[kept]
