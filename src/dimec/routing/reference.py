"""Routers to compare with: chance, one tier for all, and the oracle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray, IntArray
from dimec.base.errors import ConfigError, DataError
from dimec.routing.base import Route
from dimec.tiers.names import TIER_NAMES


def check_shares(shares: Sequence[float], tiers: int) -> FloatArray:
    """``shares`` as an array, checked.

    Raises:
        ConfigError: not one share a tier, or negative, not finite, or not of sum 1.
    """
    array = np.asarray(shares, np.float64)
    fits = array.shape == (tiers,) and np.isfinite(array).all()
    if not fits or array.min() < 0 or abs(array.sum() - 1) > 1e-9:
        raise ConfigError(
            f"shares must be {tiers} probabilities, one a tier, that sum to 1, got {shares!r}"
        )
    return array


class RandomRouter:
    """Draws a tier for each input, whatever the input is.

    Example:
        >>> RandomRouter([0.0, 1.0, 0.0]).route(np.zeros((2, 4))).tolist()
        [1, 1]

    Args:
        shares: the probability of each tier, summing to 1; uniform over the paper's three by
            default.
        seed: of the draws; the same seed gives the same stream of tiers.

    Raises:
        ConfigError: shares that are negative, not finite or do not sum to 1.
    """

    def __init__(self, shares: Sequence[float] | None = None, seed: int = 0) -> None:
        given = [1 / len(TIER_NAMES)] * len(TIER_NAMES) if shares is None else shares
        self.shares = check_shares(given, max(1, len(given)))
        self.seed = seed
        self._cumulative = np.cumsum(self.shares)[:-1]
        self._rng = np.random.default_rng(seed)

    def route(self, embeddings: npt.NDArray[np.floating]) -> IntArray:
        """Tiers (N,); each call goes on in the stream of draws."""
        draws = self._rng.random(len(embeddings))
        return np.searchsorted(self._cumulative, draws, side="right").astype(np.int64)

    def route_one(self, embedding: npt.NDArray[np.floating]) -> Route:
        """The next draw. Unlike other routers this one moves on, or it would repeat itself."""
        return Route(int(self.route(np.zeros((1, 0)))[0]))

    def learn_one(self, embedding: npt.NDArray[np.floating], tier: int) -> None:
        """Nothing: chance does not learn."""

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Nothing is learnt."""
        return {}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Nothing was learnt."""

    def copy(self) -> RandomRouter:
        """A router that draws on from the same point."""
        twin = RandomRouter(self.shares.tolist(), self.seed)
        twin._rng.bit_generator.state = self._rng.bit_generator.state
        return twin


class SingleTierRouter:
    """Sends every input to one tier: all-mobile, all-edge or all-cloud.

    Raises:
        ConfigError: no such tier.
    """

    def __init__(self, tier: int) -> None:
        if not isinstance(tier, Integral) or tier < 0:
            raise ConfigError(f"tier must be a position from 0 on, got {tier!r}")
        self.tier: int = int(tier)

    def route(self, embeddings: npt.NDArray[np.floating]) -> IntArray:
        """(N,) times the one tier."""
        return np.full(len(embeddings), self.tier, np.int64)

    def route_one(self, embedding: npt.NDArray[np.floating]) -> Route:
        """The one tier."""
        return Route(self.tier)

    def learn_one(self, embedding: npt.NDArray[np.floating], tier: int) -> None:
        """Nothing: there is nothing to learn."""

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Nothing is learnt."""
        return {}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Nothing was learnt."""

    def copy(self) -> SingleTierRouter:
        """The same again."""
        return SingleTierRouter(self.tier)


class OracleRouter:
    """The cheapest tier that answers right. For reference only: it sees the labels.

    No router can do better at these exits: it loses no answer that any tier has right, and pays
    the least for each. Where every tier is wrong it takes the cheapest one. Unlike other routers
    it looks at which tiers are right, not at embeddings, and so it can only be replayed.

    Example:
        >>> OracleRouter([3.0, 5.5, 9.0]).route(np.array([[False, True, True]])).tolist()
        [1]

    Args:
        prices: of the K tiers.
    """

    sees_labels = True

    def __init__(self, prices: Sequence[float]) -> None:
        self.prices: FloatArray = np.asarray(prices, np.float64)
        if self.prices.ndim != 1 or not np.isfinite(self.prices).all() or self.prices.size == 0:
            raise ConfigError(f"expected the finite prices of the tiers, got {prices!r}")

    def route(self, correct: npt.NDArray[np.bool_]) -> IntArray:
        """Tiers (N,) from ``correct`` (N, K): whether each tier's answer is right.

        Ties in price go to the earlier tier.
        """
        right = np.asarray(correct, bool)
        if right.ndim != 2 or right.shape[1] != len(self.prices):
            raise DataError(
                f"correct must have the shape (N, {len(self.prices)}), got {right.shape}"
            )
        wrong_anyway = ~right.any(axis=1, keepdims=True)
        price = np.where(right | wrong_anyway, self.prices, np.inf)
        chosen: IntArray = price.argmin(axis=1).astype(np.int64)
        return chosen
