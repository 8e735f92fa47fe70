"""Simulated calibrations exactly on the boundary, of policies whose losses depend on each other.

Eight policies, each with all rows lost and won that the one before it loses and wins, and some
more, as with thresholds: the drop of the first four grows to Δ, where the fourth and all after it
stand. So the fourth is the first to break the contract, and no test should accept it with a
probability of over α. Where each is tested for itself, without an order, some later one may pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dimec.base.arrays import FloatArray
from dimec.contract.losses import Terms
from dimec_studies.calibrations import decisions

TESTED = ("exact", "clopper-pearson", "normal")
MAX_DROPS, DISCORDANT = (0.005, 0.01), (0.01, 0.02, 0.05)
_POLICIES, _FIRST = 8, 3  # how many, and the number of the first on the boundary, from 0


def nested(
    draws: int, alpha: float, seed: int, sizes: Sequence[int] = (1_000, 4_000)
) -> list[dict[str, Any]]:
    """A line for each size, Δ, share of discordant rows of the fourth policy, and test.

    Args:
        draws: calibrations of each.
        alpha: one minus the confidence.
        seed: of the rows.
        sizes: rows of a calibration.
    """
    rng = np.random.default_rng(seed)
    return list(_lines(draws, alpha, rng, sizes))


def _lines(
    draws: int, alpha: float, rng: np.random.Generator, sizes: Sequence[int]
) -> Iterator[dict[str, Any]]:
    for n in sizes:
        for delta in MAX_DROPS:
            if n < Terms(delta, alpha).fewest_rows():
                continue
            for share in DISCORDANT:
                lost, won = shares(delta, share)
                bands = np.concatenate([np.diff(lost, prepend=0.0), np.diff(won, prepend=0.0)])
                rows = rng.multinomial(n, [*bands, 1 - bands.sum()], size=draws)
                plus = rows[:, :_POLICIES].cumsum(axis=1)
                minus = rows[:, _POLICIES:-1].cumsum(axis=1)
                for test in TESTED:
                    decide = decisions(test, n, delta, alpha)
                    passed = np.array(
                        [
                            [decide(*pair) for pair in zip(*each, strict=True)]
                            for each in zip(plus.tolist(), minus.tolist(), strict=True)
                        ]
                    )
                    yield {
                        "rows": n,
                        "max_drop": delta,
                        "discordant": share,
                        "test": test,
                        "draws": draws,
                        "alone": int(passed[:, _FIRST].sum()),
                        "along": int(passed[:, : _FIRST + 1].all(axis=1).sum()),
                        "any": int(passed[:, _FIRST:].any(axis=1).sum()),
                    }


def shares(delta: float, discordant: float) -> tuple[FloatArray, FloatArray]:
    """(8,) shares of rows that each policy loses, and wins.

    Args:
        delta: Δ, the drop of the fourth and of all after it.
        discordant: share of rows lost or won by the fourth; each after it has a quarter more.
    """
    steps = np.arange(1, _POLICIES + 1) / (_FIRST + 1)
    drop = delta * np.minimum(steps, 1.0)
    both = discordant * steps
    return (both + drop) / 2, (both - drop) / 2
