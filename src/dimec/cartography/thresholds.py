"""The thresholds α and β that split the data map into pools.

The paper (section IV-C) takes the pair of a grid with the largest mean reward on the validation
split, equation 5 averaged. :func:`search_thresholds` does that for a whole grid in one pass over
the samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray
from dimec.base.errors import ConfigError, DataError, option
from dimec.cartography import DataMap
from dimec.tiers.costs import CLOUD, EDGE, MOBILE, CostModel, rewards

PAPER_ALPHAS = (0.55, 0.6, 0.65, 0.7, 0.8)
PAPER_BETAS = (0.05, 0.08, 0.11, 0.14, 0.17)
BETA_QUANTILES = (0.25, 0.5, 0.75, 0.9, 0.95)

Grid = Literal["paper", "quantile"]


@dataclass(frozen=True, eq=False)
class ThresholdSearch:
    """The outcome of a search over A × B pairs of thresholds.

    Attributes:
        alpha, beta: the best pair.
        reward: its mean reward.
        alphas, betas: (A,) and (B,) the grid, ascending.
        rewards: (A, B) mean reward of every pair.
        costs: (A, B) mean cost of every pair in units of λ, if each pool went to its tier.
        shares: (A, B, 3) shares of the easy, medium and hard pools.
    """

    alpha: float
    beta: float
    reward: float
    alphas: FloatArray
    betas: FloatArray
    rewards: FloatArray
    costs: FloatArray
    shares: FloatArray


def quantile_betas(
    data_map: DataMap, quantiles: Sequence[float] = BETA_QUANTILES
) -> tuple[float, ...]:
    """Values of β at quantiles of the data's own variances.

    The paper's values, 0.05 to 0.17, often lie above every variance that occurs, and then the
    medium pool is empty. These are taken from the samples that clear the smallest α, since β
    divides only such samples: those that were never learnt vary least of all, and with them the
    lower quantiles would leave the easy pool empty. Where none clears it, all samples count.
    """
    confident = data_map.variance[data_map.confidence >= min(PAPER_ALPHAS)]
    variances = confident if len(confident) else data_map.variance
    return tuple(np.quantile(variances, quantiles).tolist())


def grid_of(
    data_map: DataMap,
    grid: Grid,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The values of α and β of a named grid.

    ``paper``: the paper's own (section V-D). ``quantile``: the paper's α with β at the quantiles
    0.25, 0.5, 0.75, 0.9 and 0.95 of the variances of confident samples (:func:`quantile_betas`).

    Raises:
        ConfigError: no grid of that name.
    """
    if grid == "paper":
        return PAPER_ALPHAS, PAPER_BETAS
    check_thresholds(grid)
    return PAPER_ALPHAS, quantile_betas(data_map)


def search_thresholds(
    data_map: DataMap,
    confidences: npt.NDArray[np.floating],
    cost_model: CostModel | Sequence[float],
    lam: float,
    alphas: Sequence[float] | None = None,
    betas: Sequence[float] | None = None,
    *,
    exits: Sequence[int] | None = None,
    grid: Grid = "paper",
) -> ThresholdSearch:
    """The pair (α, β) with the largest mean reward on the samples (equations 5 and 6).

    Every pair is scored, in one pass: samples are counted into the cells that the grid cuts the
    plane into, and the sums over cells give every pair's reward. Ties go to the lower mean cost,
    then to the lower α, then to the lower β; two pairs that make the same pools tie exactly.

    Args:
        data_map: of N validation samples, at the mobile's exit.
        confidences: (N, 3) largest class probability at exits m, n and l.
        cost_model: the costs, with ``exits``; or the prices of the three tiers themselves, as
            ``CostModel.for_exits`` returns them.
        lam: λ, the weight of one unit of cost.
        alphas: values of α; by default those of ``grid``.
        betas: values of β; by default those of ``grid``.
        exits: (m, n, l), needed where ``cost_model`` is a CostModel.
        grid: ``"paper"`` or ``"quantile"``, see :func:`grid_of`.

    Raises:
        ConfigError: thresholds that :func:`check_thresholds` refuses, a negative λ, prices that
            cannot be told.
        DataError: no sample, or confidences of another shape, or not finite.
    """
    if len(data_map) == 0:
        raise DataError("cannot search thresholds on no samples")
    c = np.asarray(confidences, np.float64)
    if c.shape != (len(data_map), 3):
        raise DataError(
            f"confidences must have the shape ({len(data_map)}, 3), one column each for the "
            f"exits m, n and l, got {c.shape}"
        )
    if not np.isfinite(c).all():
        raise DataError("confidences hold values that are not finite; the model has diverged")
    prices = _prices(cost_model, exits)
    default_alphas, default_betas = grid_of(data_map, grid)
    a = _axis("alphas", default_alphas if alphas is None else alphas)
    b = _axis("betas", default_betas if betas is None else betas)

    cell = _cells(data_map, a, b)
    counts = _pool_sums(cell, np.ones((len(data_map), 3)), len(a), len(b))
    sums = _pool_sums(cell, rewards(c, prices, lam), len(a), len(b))
    n = len(data_map)
    table: FloatArray = sums.sum(axis=-1) / n
    shares: FloatArray = counts / n
    costs: FloatArray = shares @ np.asarray(prices, np.float64)
    i, j = _best(table, costs)
    return ThresholdSearch(float(a[i]), float(b[j]), float(table[i, j]), a, b, table, costs, shares)


def _prices(cost_model: CostModel | Sequence[float], exits: Sequence[int] | None) -> list[float]:
    if isinstance(cost_model, CostModel):
        if exits is None:
            raise ConfigError(
                "search_thresholds needs the exits with a CostModel: pass exits=(m, n, l), or "
                "pass the prices cost_model.for_exits(m, n, l) instead of the model"
            )
        return [tier.price for tier in cost_model.tiers(exits)]
    prices = [float(price) for price in cost_model]
    if len(prices) != 3 or not np.isfinite(prices).all():
        raise ConfigError(f"expected three finite prices, one a tier, got {prices}")
    return prices


def check_thresholds(
    grid: str, alphas: Sequence[float] | None = None, betas: Sequence[float] | None = None
) -> None:
    """Refuse what cannot be searched before anything is read.

    Args:
        grid: its name.
        alphas, betas: values of their own in place of the grid's.

    Raises:
        ConfigError: no such grid; no value, one that is not finite, an α outside 0 to 1, where all
            confidences lie, or a β below 0.
    """
    if grid not in get_args(Grid):
        raise ConfigError(f"{option('grid')} must be 'paper' or 'quantile', got {grid!r}")
    for name, values in (("alphas", alphas), ("betas", betas)):
        if values is not None:
            _axis(name, values)


def _axis(name: str, values: Sequence[float]) -> FloatArray:
    """Values of one threshold, ascending, each once."""
    axis = np.unique(np.asarray(values, np.float64))
    if axis.size == 0 or not np.isfinite(axis).all():
        raise ConfigError(
            f"{option(name)} must be one or more finite numbers, got {list(values)!r}"
        )
    if name == "alphas" and not (axis[0] >= 0 and axis[-1] <= 1):
        wrong = axis[0] if axis[0] < 0 else axis[-1]
        raise ConfigError(f"{option(name)} must lie from 0 to 1, as confidences do, got {wrong:g}")
    if axis[0] < 0:
        raise ConfigError(f"{option(name)} must be at least 0, as variances are, got {axis[0]:g}")
    return axis


def _cells(data_map: DataMap, a: FloatArray, b: FloatArray) -> npt.NDArray[np.int64]:
    """Cell i·(B+1) + j of each sample: i values of α lie at or below it, j values of β under it."""
    i = np.searchsorted(a, data_map.confidence, side="right")
    j = np.searchsorted(b, data_map.variance, side="left")
    return (i * (len(b) + 1) + j).astype(np.int64)


def _pool_sums(
    cell: npt.NDArray[np.int64], values: FloatArray, n_alphas: int, n_betas: int
) -> FloatArray:
    """(A, B, 3) sums over each pool: column 0 over the easy, 1 over the medium, 2 over the hard.

    Sums run cell by cell, so that pairs with the same pools get the same sums to the last bit:
    an empty cell adds an exact zero.
    """
    shape = (n_alphas + 1, n_betas + 1)
    size = shape[0] * shape[1]
    per_cell = [np.bincount(cell, values[:, k], size).reshape(shape) for k in range(3)]
    # At α index i the confident samples are those in rows above i; at β index j the steady ones
    # are those in columns 0 … j.
    confident = [np.cumsum(v[::-1], axis=0)[::-1][1:] for v in per_cell[:2]]
    easy = np.cumsum(confident[MOBILE], axis=1)[:, :-1]
    unsteady = np.cumsum(confident[EDGE][:, ::-1], axis=1)[:, ::-1]
    medium = unsteady[:, 1:]
    hard = np.cumsum(per_cell[CLOUD].sum(axis=1))[:-1, None]
    return np.stack([easy, medium, np.broadcast_to(hard, easy.shape)], axis=-1)


def _best(table: FloatArray, costs: FloatArray) -> tuple[int, int]:
    """Index of the largest reward; ties: lower cost, then lower α, then lower β."""
    i, j = np.nonzero(table == table.max())
    k = np.lexsort((j, i, costs[i, j]))[0]
    return int(i[k]), int(j[k])
