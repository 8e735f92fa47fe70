"""The search for α and β over a grid of 25 pairs, against a broadcast over pairs and samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.harness import in_fresh_process, seconds
from benchmarks.results import RATIO, Figure, Result
from dimec.cartography import DataMap
from dimec.cartography.thresholds import PAPER_ALPHAS, PAPER_BETAS, search_thresholds
from dimec.tiers.costs import CostModel, rewards

GOAL = 0.05
EXITS, LAM, EPOCHS = (4, 6, 12), 0.01, 5


@dataclass(frozen=True)
class Sizes:
    """``samples``: of the data map; ``repeats``: of each search."""

    samples: int = 100_000
    repeats: int = 15


def run(sizes: Sizes, seed: int) -> Result:
    """Time both searches, one after the other, in one process."""
    runs: dict[str, Any] = in_fresh_process(measure, **asdict(sizes), seed=seed).value
    pairs = zip(runs["broadcast"], runs["paper grid"], strict=True)
    figures = (
        Figure.of("search, paper's grid", runs["paper grid"], goal=GOAL),
        Figure.of("search, quantile grid", runs["quantile grid"], goal=GOAL),
        Figure.of("broadcast over (A, B, N)", runs["broadcast"]),
        Figure.of("broadcast / search, paper's grid", [b / a for b, a in pairs], RATIO),
    )
    note = (
        "25 pairs; search and broadcast give the same mean reward of every pair, which is checked"
    )
    return Result(figures, (note,), {"seconds": runs})


def measure(samples: int, repeats: int, seed: int) -> dict[str, list[float]]:
    """Seconds of each search and of the broadcast; a first call of each is not counted."""
    rng = np.random.default_rng(seed)
    # Most samples steady and right, some in doubt, as fine-tuning leaves them.
    leaning = rng.beta(2.0, 0.8, samples)
    gold = np.clip(leaning + rng.normal(0, 0.25, (EPOCHS, samples)), 0, 1)
    data_map = DataMap.from_probabilities(gold)
    confidences = np.sort(rng.uniform(0.5, 1.0, (samples, 3)), axis=1)
    costs = CostModel()

    def search(grid: Any) -> npt.NDArray[np.float64]:
        return search_thresholds(data_map, confidences, costs, LAM, exits=EXITS, grid=grid).rewards

    def naive() -> npt.NDArray[np.float64]:
        return broadcast(
            data_map, confidences, costs.for_exits(*EXITS), LAM, PAPER_ALPHAS, PAPER_BETAS
        )

    if not np.allclose(search("paper"), naive(), rtol=1e-9, atol=0):
        raise AssertionError("the search and the broadcast give different rewards")
    times: dict[str, list[float]] = {"paper grid": [], "quantile grid": [], "broadcast": []}
    for _ in range(repeats):
        times["paper grid"].append(seconds(lambda: search("paper")))
        times["quantile grid"].append(seconds(lambda: search("quantile")))
        times["broadcast"].append(seconds(naive))
    return times


def broadcast(
    data_map: DataMap,
    confidences: npt.NDArray[np.float64],
    prices: Sequence[float],
    lam: float,
    alphas: Sequence[float],
    betas: Sequence[float],
) -> npt.NDArray[np.float64]:
    """(A, B) mean reward of every pair: equation 5 for all pairs and samples at once."""
    hard = data_map.confidence < np.array(alphas)[:, None, None]
    steady = data_map.variance <= np.array(betas)[None, :, None]
    mobile, edge, cloud = rewards(confidences, prices, lam).T
    chosen = np.where(hard, cloud, np.where(steady, mobile, edge))
    table: npt.NDArray[np.float64] = chosen.mean(axis=2)
    return table
