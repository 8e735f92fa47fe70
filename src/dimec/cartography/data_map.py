"""The data map: how sure, and how unsteady, training was of each sample; and the pools on it.

Confidence is the mean, over the epochs, of the probability of the right label, variability its
variance (paper, equations 1, 2 and 4). The paper takes the variance where Swayamdipta et al. (2020,
arXiv 2009.10795) take the standard deviation; both are here, under names of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray, IntArray
from dimec.base.errors import ConfigError, DataError
from dimec.tiers.names import TIER_NAMES

EASY, MEDIUM, HARD = 0, 1, 2
POOL_NAMES = ("easy", "medium", "hard")


@dataclass(frozen=True, eq=False)
class DataMap:
    """Coordinates of N samples on the data map.

    Attributes:
        confidence: (N,) μ̂, mean probability of the right label over the epochs (equation 1).
        variance: (N,) σ̂, its variance over the epochs, divided by E (equation 2).
        std: (N,) the square root of ``variance``: the variability of Swayamdipta et al.
        correctness: (N,) share of the epochs in which the right label was predicted.
    """

    confidence: FloatArray
    variance: FloatArray
    std: FloatArray
    correctness: FloatArray

    def __len__(self) -> int:
        return len(self.confidence)

    def take(self, rows: npt.NDArray[np.integer]) -> DataMap:
        """Those of the given rows (positions), in the given order."""
        return DataMap(
            self.confidence[rows], self.variance[rows], self.std[rows], self.correctness[rows]
        )

    @classmethod
    def from_probabilities(
        cls, gold: npt.NDArray[np.floating], correct: npt.NDArray[np.bool_] | None = None
    ) -> Self:
        """The data map of the probabilities that each epoch gave to the right labels.

        Args:
            gold: (E, N) probability of the right label after each of E ≥ 2 epochs.
            correct: (E, N) whether the right label was predicted. By default it counts as
                predicted where its probability exceeds one half, which for two classes is the
                same thing, and for more than two is a lower bound.

        Raises:
            DataError: fewer than 2 epochs, no sample, a NaN, or values outside [0, 1].
        """
        p = np.asarray(gold, np.float64)
        if p.ndim != 2:
            raise DataError(f"gold probabilities must have the shape (E, N), got {p.shape}")
        if p.shape[0] < 2:
            raise DataError(
                f"a data map needs at least 2 epochs, got {p.shape[0]}; train for more epochs"
            )
        if p.shape[1] == 0:
            raise DataError("a data map needs at least one sample, got none")
        if not np.isfinite(p).all():
            epoch, sample = np.argwhere(~np.isfinite(p))[0]
            raise DataError(
                f"the probability of sample {sample} in epoch {epoch} is {p[epoch, sample]}; "
                "training has diverged, try a smaller learning rate"
            )
        if p.min() < 0 or p.max() > 1:
            raise DataError(
                f"probabilities must lie in [0, 1], got {p.min():.4g} to {p.max():.4g}; "
                "pass probabilities of the right label, not logits"
            )
        right = p > 0.5 if correct is None else np.asarray(correct, bool)
        if right.shape != p.shape:
            raise DataError(f"correct has the shape {right.shape}, gold has {p.shape}")
        # The mean of three times 0.7 is rounded to 0.6999999999999998, and the variance to 1e-32;
        # exact values keep constant samples on the right side of a threshold that they meet.
        constant = np.ptp(p, axis=0) == 0
        confidence = np.where(constant, p[0], p.mean(axis=0))
        variance = np.where(constant, 0.0, p.var(axis=0))
        return cls(confidence, variance, np.sqrt(variance), right.mean(axis=0))


def pool_names(tiers: Sequence[str]) -> tuple[str, ...]:
    """What the pools of these tiers are called: easy, medium and hard for the paper's three.

    Pools of other tiers are called as their tiers.

    Example:
        >>> pool_names(("phone", "dc"))
        ('phone', 'dc')
    """
    return POOL_NAMES if tuple(tiers) == TIER_NAMES else tuple(tiers)


def build_pools(
    data_map: DataMap, alpha: float | None, beta: float | Sequence[float] | None
) -> IntArray:
    """Pool of each sample by equation 5: 0 easy, 1 medium, 2 hard.

    Easy: confidence ≥ α and variance ≤ β. Medium: confidence ≥ α and variance > β. Hard:
    confidence < α. The paper's Algorithm 1 (line 9) puts samples with confidence *below* α and a
    variance of at least β into the medium pool; its text and its equation 5 do as is done here.

    dimec's extension to K tiers: the samples under α are the last tier's, and K - 2 thresholds of
    variance part the others, the steadiest of which stay nearest to the device. So two tiers are
    parted by α alone, and of one tier there is one pool.

    Args:
        data_map: of N samples.
        alpha: the threshold of confidence; None where there is one tier.
        beta: the threshold of variance, or K - 2 of them that do not descend; None for none.

    Returns:
        (N,) codes from 0: the position of each sample's tier.

    Raises:
        ConfigError: a threshold is not a finite number, or they descend.
    """
    betas = betas_of(beta)
    if alpha is None:
        if len(betas):
            raise ConfigError("thresholds of variance part no pools where there is no alpha")
        return np.zeros(len(data_map), np.int64)
    if not (np.isfinite(alpha) and np.isfinite(betas).all()):
        raise ConfigError(f"alpha and beta must be finite numbers, got {alpha!r} and {beta!r}")
    if (np.diff(betas) < 0).any():
        raise ConfigError(f"thresholds of variance must not descend, got {betas.tolist()}")
    # A variance that equals a threshold lies under it.
    pools: IntArray = np.searchsorted(betas, data_map.variance, side="left").astype(np.int64)
    return np.where(data_map.confidence < alpha, len(betas) + 1, pools)


def betas_of(beta: float | Sequence[float] | None) -> FloatArray:
    """(K - 2,) thresholds of variance: none, the paper's one, or several."""
    return np.atleast_1d(np.asarray([] if beta is None else beta, np.float64))


def pool_sizes(pools: IntArray, tiers: int = len(POOL_NAMES)) -> tuple[int, ...]:
    """How many samples each tier's pool has: the paper's are easy, medium and hard."""
    return tuple(np.bincount(pools, minlength=tiers).tolist())
