"""The thresholds α and β that split the data map into pools.

The paper (section IV-C) takes the pair of a grid with the largest mean reward on the validation
split, equation 5 averaged. :func:`search_thresholds` does that for a whole grid in one pass over
the samples, and for any number of tiers: dimec's extension, see
:func:`dimec.cartography.build_pools`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray, IntArray
from dimec.base.errors import ConfigError, DataError, option
from dimec.cartography import DataMap
from dimec.tiers.costs import CostModel, rewards

PAPER_ALPHAS = (0.55, 0.6, 0.65, 0.7, 0.8)
PAPER_BETAS = (0.05, 0.08, 0.11, 0.14, 0.17)
BETA_QUANTILES = (0.25, 0.5, 0.75, 0.9, 0.95)
_MOST_CHOICES = 200_000  # of thresholds in one search, so that its tables fit in memory

Grid = Literal["paper", "quantile"]


@dataclass(frozen=True, eq=False)
class ThresholdSearch:
    """The outcome of a search over A values of α and C choices of K - 2 values of β.

    With the paper's three tiers a choice is a value of β, and C = B. Two tiers are parted by α
    alone: B = 0, C = 1. One tier has no threshold: A = 1 with no value of α, C = 1.

    Attributes:
        alpha: of the best choice; None where there is one tier.
        beta: of the best choice: a number for three tiers, None for fewer, a tuple for more.
        reward: its mean reward.
        alphas, betas: (A,) and (B,) the values tried, ascending.
        choices: (C, K - 2) the thresholds of variance of each choice, none of which descend.
        rewards: (A, C) mean reward of every pair.
        costs: (A, C) mean cost of every pair in units of λ, if each pool went to its tier.
        shares: (A, C, K) shares of the tiers' pools: with three, of easy, medium and hard.
    """

    alpha: float | None
    beta: float | tuple[float, ...] | None
    reward: float
    alphas: FloatArray
    betas: FloatArray
    choices: FloatArray
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

    With K tiers, β is K - 2 values of the grid that do not descend, and the lower is that with the
    lower first value, then second, and so on.

    Args:
        data_map: of N validation samples, at the first tier's exit.
        confidences: (N, K) largest class probability at the tiers' exits: with the paper's three
            tiers, at exits m, n and l.
        cost_model: the costs, with ``exits``; or the prices of the K tiers themselves, as
            ``CostModel.for_exits`` returns them.
        lam: λ, the weight of one unit of cost.
        alphas: values of α; by default those of ``grid``.
        betas: values of β; by default those of ``grid``.
        exits: (m, n, l), or of any number of tiers; needed where ``cost_model`` is a CostModel.
        grid: ``"paper"`` or ``"quantile"``, see :func:`grid_of`.

    Raises:
        ConfigError: thresholds that :func:`check_thresholds` refuses or that so few tiers do not
            have, too many choices, a negative λ, prices that cannot be told.
        DataError: no sample, or confidences of another shape, or not finite.
    """
    if len(data_map) == 0:
        raise DataError("cannot search thresholds on no samples")
    prices = _prices(cost_model, exits)
    c = np.asarray(confidences, np.float64)
    if c.shape != (len(data_map), len(prices)):
        raise DataError(
            f"confidences must have the shape ({len(data_map)}, {len(prices)}), one column for "
            f"the exit of each tier, got {c.shape}"
        )
    if not np.isfinite(c).all():
        raise DataError("confidences hold values that are not finite; the model has diverged")
    a, b, places = _grid_for(data_map, len(prices), grid, alphas, betas)

    cell = _cells(data_map, a, b)
    counts = _pool_sums(cell, np.ones(c.shape), len(a), len(b), places)
    sums = _pool_sums(cell, rewards(c, prices, lam), len(a), len(b), places)
    n = len(data_map)
    table: FloatArray = sums.sum(axis=-1) / n
    shares: FloatArray = counts / n
    costs: FloatArray = shares @ np.asarray(prices, np.float64)
    i, j = _best(table, costs)
    choices = b[places]
    return ThresholdSearch(
        float(a[i]) if len(a) else None,
        _told(choices[j]),
        float(table[i, j]),
        a,
        b,
        choices,
        table,
        costs,
        shares,
    )


def _told(choice: FloatArray) -> float | tuple[float, ...] | None:
    """The paper's one β as a number; several as a tuple; None for none."""
    values = tuple(choice.tolist())
    if len(values) == 1:
        return float(values[0])
    return values or None


def _prices(cost_model: CostModel | Sequence[float], exits: Sequence[int] | None) -> list[float]:
    if isinstance(cost_model, CostModel):
        if exits is None:
            raise ConfigError(
                "search_thresholds needs the exits with a CostModel: pass exits=(m, n, l), or "
                "pass the prices cost_model.for_exits(m, n, l) instead of the model"
            )
        return list(cost_model.for_exits(*exits))
    prices = [float(price) for price in cost_model]
    if not prices or not np.isfinite(prices).all():
        raise ConfigError(f"expected finite prices, one a tier, got {prices}")
    return prices


def _grid_for(
    data_map: DataMap,
    tiers: int,
    grid: Grid,
    alphas: Sequence[float] | None,
    betas: Sequence[float] | None,
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Values of α (A,), of β (B,), and the places among these of every choice (C, K - 2).

    Raises:
        ConfigError: see :func:`search_thresholds`.
    """
    for name, values, least in (("alphas", alphas, 2), ("betas", betas, 3)):
        if values is not None and tiers < least:
            raise ConfigError(
                f"{option(name)} does nothing with {tiers} tier{'s'[: tiers - 1]}: it takes at "
                f"least {least} for such a threshold to part them; leave it out"
            )
    default_alphas, default_betas = grid_of(data_map, grid)
    none: FloatArray = np.empty(0)
    a = none if tiers < 2 else _axis("alphas", default_alphas if alphas is None else alphas)
    b = none if tiers < 3 else _axis("betas", default_betas if betas is None else betas)
    free = max(0, tiers - 2)
    if (count := math.comb(len(b) + free - 1, free) if free else 1) > _MOST_CHOICES:
        raise ConfigError(
            f"{len(b)} values of beta for {tiers} tiers make {count:,} choices, at most "
            f"{_MOST_CHOICES:,} are searched; give fewer values of {option('betas')}"
        )
    choices = list(itertools.combinations_with_replacement(range(len(b)), free))
    return a, b, np.asarray(choices, np.int64).reshape(count, free)


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
    cell: npt.NDArray[np.int64],
    values: FloatArray,
    n_alphas: int,
    n_betas: int,
    places: IntArray,
) -> FloatArray:
    """(A, C, K) sums over each pool of every choice: column k over the pool of tier k.

    Sums run cell by cell, so that choices with the same pools get the same sums to the last bit:
    an empty cell adds an exact zero.
    """
    shape = (n_alphas + 1, n_betas + 1)
    size = shape[0] * shape[1]
    per_cell: list[FloatArray] = [
        np.bincount(cell, column, size).astype(np.float64).reshape(shape) for column in values.T
    ]
    *near, last = per_cell
    if not near:  # one tier has one pool
        return last.reshape(1, 1, 1)
    # At α index i the confident samples are those in rows above i; at β index j the steady ones
    # are those in columns 0 … j.
    confident = [np.cumsum(v[::-1], axis=0)[::-1][1:] for v in near]
    pools = [_band(v, k, places) for k, v in enumerate(confident)]
    hard = np.cumsum(last.sum(axis=1))[:-1, None]
    return np.stack([*pools, np.broadcast_to(hard, pools[0].shape)], axis=-1)


def _band(confident: FloatArray, tier: int, places: IntArray) -> FloatArray:
    """(A, C) sums over the columns between the thresholds of a tier that is not the last.

    Args:
        confident: (A, B + 1) sums by column.
        tier: its position; its pool lies over threshold ``tier - 1`` up to threshold ``tier``.
        places: (C, K - 2) places of the thresholds of every choice.
    """
    thresholds = places.shape[1]
    if tier == thresholds and thresholds:  # all that is unsteadier than the last threshold
        unsteady: FloatArray = np.cumsum(confident[:, ::-1], axis=1)[:, ::-1][:, 1:]
        return unsteady[:, places[:, -1]]
    upper = places[:, tier] if thresholds else np.full(len(places), confident.shape[1] - 1)
    sums = np.zeros((len(confident), len(places)))
    lower = places[:, tier - 1] + 1 if tier else np.zeros(len(places), np.int64)
    for start in np.unique(lower).tolist():  # each from its own first column: no difference of sums
        mine = (lower == start) & (upper >= start)
        steady = np.cumsum(confident[:, start:], axis=1)
        sums[:, mine] = steady[:, upper[mine] - start]
    return sums


def _best(table: FloatArray, costs: FloatArray) -> tuple[int, int]:
    """Index of the largest reward; ties: lower cost, then lower α, then lower β."""
    i, j = np.nonzero(table == table.max())
    k = np.lexsort((j, i, costs[i, j]))[0]
    return int(i[k]), int(j[k])
