"""The paper's router: the nearest centre of the easy, medium and hard pools (Algorithm 2)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray, IntArray
from dimec.base.errors import ConfigError, DataError
from dimec.cartography import POOL_NAMES
from dimec.routing.base import Route, as_embeddings

_UNFITTED = "this router has not been fitted; call fit(embeddings, pools) first"
_MOST = 1 << 53  # embeddings in a pool of a file: more is no count, and adding one must be exact
_FARTHEST = 1e100  # of a pool's sum in a file: its square still is a number
_CHUNK = 4096  # rows of embeddings at a time, to bound the memory of the differences


class CentroidRouter:
    """Sends an input to the tier whose pool has the nearest centre.

    There is a pool for each of K tiers; in the paper the easy pool belongs to the mobile, the
    medium one to the edge, the hard one to the cloud. Distances are Euclidean; a tie goes to the
    tier that comes first: mobile, then edge, then cloud, the order in which Algorithm 2 asks. An
    empty pool has no centre, and its tier gets no traffic.

    A fixed router never changes. An adaptive one takes every input into the pool that it chose,
    P ← (n·P + x) / (n + 1), in order of arrival (Algorithm 2, lines 8, 11 and 14). Its state is
    the sum and the number of each pool's embeddings.

    Example:
        >>> router = CentroidRouter().fit(np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([0, 2]))
        >>> router.route_one(np.array([0.9, 0.8])).tier
        2

    Attributes:
        adaptive: whether :meth:`learn_one` and :meth:`route` change the state.
    """

    def __init__(self, adaptive: bool = False) -> None:
        self.adaptive = adaptive
        self._sums: FloatArray | None = None
        self._counts: IntArray = np.zeros(0, np.int64)
        self._centres: FloatArray | None = None  # those of route_one, once it was asked

    @classmethod
    def from_state(
        cls,
        sums: npt.NDArray[np.floating],
        counts: npt.NDArray[np.integer],
        adaptive: bool = False,
    ) -> Self:
        """A router with the state that another one had.

        Args:
            sums: (K, D) sum of the embeddings in each pool.
            counts: (K,) number of embeddings in each pool.
            adaptive: whether it learns.

        Raises:
            DataError: other shapes, values that are not finite, or a negative number.
        """
        x, n = as_embeddings(sums), np.asarray(counts)
        if len(x) < 1 or n.shape != (len(x),) or (n < 0).any():
            raise DataError(f"expected sums (K, D) and counts (K,) from 0, got {x.shape}, {n!r}")
        router = cls(adaptive)
        router._sums, router._counts = x.copy(), n.astype(np.int64)
        return router

    def fit(
        self,
        embeddings: npt.NDArray[np.floating],
        pools: npt.NDArray[np.integer],
        tiers: int = len(POOL_NAMES),
    ) -> Self:
        """Take the centres of the pools of N validation samples.

        Args:
            embeddings: (N, D) pooled outputs of the embedding layer.
            pools: (N,) codes from 0: the position of each sample's tier.
            tiers: K, how many there are; the paper's three by default.

        Raises:
            DataError: shapes that do not fit, unknown codes, values that are not finite, no sample.
        """
        x = as_embeddings(embeddings)
        codes = np.asarray(pools)
        if codes.shape != (len(x),):
            raise DataError(f"expected one pool code for each of {len(x)} rows, got {codes.shape}")
        if len(x) == 0:
            raise DataError("cannot fit a router on no samples")
        if not np.isin(codes, range(tiers)).all():
            raise DataError(f"pool codes must be whole numbers from 0 to {tiers - 1}")
        self._sums = np.stack([x[codes == pool].sum(axis=0) for pool in range(tiers)])
        self._counts = np.bincount(codes.astype(np.int64), minlength=tiers).astype(np.int64)
        self._centres = None
        return self

    @property
    def sums(self) -> FloatArray:
        """(K, D) sum of the embeddings in each pool."""
        if self._sums is None:
            raise ConfigError(_UNFITTED)
        return self._sums.copy()

    @property
    def counts(self) -> IntArray:
        """(K,) number of embeddings in each pool."""
        return self._counts.copy()

    @property
    def centroids(self) -> FloatArray:
        """(K, D) centre of each pool; NaN for an empty one."""
        n = self._counts[:, None]
        return np.where(n > 0, self.sums / np.maximum(n, 1), np.nan)

    def route(self, embeddings: npt.NDArray[np.floating]) -> IntArray:
        """Tiers (N,) of a stream of embeddings (N, D); an adaptive router learns as it goes."""
        x = as_embeddings(embeddings, self.sums.shape[1])
        return self._route_adaptive(x) if self.adaptive else self._route_fixed(x)

    def _route_fixed(self, x: FloatArray) -> IntArray:
        centres = self.centroids
        tiers = np.empty(len(x), np.int64)
        for start in range(0, len(x), _CHUNK):
            rows = slice(start, start + _CHUNK)
            distances = np.stack([_squared_distances(x[rows], c) for c in centres], axis=1)
            tiers[rows] = np.where(np.isnan(distances), np.inf, distances).argmin(axis=1)
        return tiers

    def _route_adaptive(self, x: FloatArray) -> IntArray:
        # One row after the other, because each decision moves a centre. At 100,000 rows the time
        # goes into calls, not arithmetic: buffers are made once, and the three pools' rows and the
        # functions are looked up once.
        sums, centres = self.sums, self._make_centres()
        counts = self._counts.tolist()
        sum_of, centre_of = list(sums), list(centres)
        difference = np.empty_like(centres)
        subtract, add, divide, vecdot = np.subtract, np.add, np.divide, np.vecdot
        tiers = np.empty(len(x), np.int64)
        for i, row in enumerate(x):
            subtract(centres, row, out=difference)
            tier = int(vecdot(difference, difference).argmin())
            counts[tier] += 1
            add(sum_of[tier], row, out=sum_of[tier])
            divide(sum_of[tier], counts[tier], out=centre_of[tier])
            tiers[i] = tier
        self._sums, self._counts, self._centres = sums, np.array(counts, np.int64), None
        return tiers

    def route_one(self, embedding: npt.NDArray[np.floating]) -> Route:
        """Decide on one embedding (D,); changes nothing, also where the router is adaptive."""
        # Thin, because it stands in front of every answer: one subtraction and one product for all
        # pools, then plain numbers.
        centres = self._centres
        if centres is None:
            centres = self._centres = self._make_centres()
        x = np.asarray(embedding, np.float64)
        # The product is not finite where a value is not; as_embeddings tells what is wrong.
        if x.shape != centres.shape[1:] or not math.isfinite(x.dot(x)):
            as_embeddings(x[None], centres.shape[1])
        difference = centres - x
        squared = np.vecdot(difference, difference).tolist()
        distances = tuple(map(math.sqrt, squared))
        first, second, *_ = [*sorted(distances), math.inf]
        margin = math.inf if second == math.inf else second - first
        return Route(squared.index(min(squared)), distances, margin)

    def _make_centres(self) -> FloatArray:
        """(K, D) centres; an empty pool's is infinitely far away."""
        centres = self.centroids
        centres[self._counts == 0] = np.inf
        return centres

    def learn_one(self, embedding: npt.NDArray[np.floating], tier: int) -> None:
        """Take the embedding (D,) into the pool of ``tier``; a fixed router stays as it is.

        Raises:
            DataError: an unknown tier, or an embedding of another width.
        """
        if self._sums is None:
            raise ConfigError(_UNFITTED)
        if tier not in range(len(self._sums)):
            raise DataError(f"tier must be from 0 to {len(self._sums) - 1}, got {tier!r}")
        x = np.asarray(embedding, np.float64)
        if x.shape != self._sums.shape[1:] or not math.isfinite(x.dot(x)):  # as in route_one
            as_embeddings(x[None], self._sums.shape[1])
        if not self.adaptive:
            return
        total = self._sums[tier]
        total += x
        self._counts[tier] += 1
        if self._centres is not None:
            np.divide(total, self._counts[tier], out=self._centres[tier])

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """``sums`` (K, D) float64 and ``counts`` (K,) int64 of the pools."""
        return {"sums": self.sums, "counts": self.counts}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take up the pools of another router of the same shape.

        Raises:
            DataError: other arrays, or shapes, or numbers that no pools have.
        """
        if state.keys() != {"sums", "counts"} or state["sums"].shape != self.sums.shape:
            found = {name: array.shape for name, array in state.items()}
            raise DataError(f"expected sums of {self.sums.shape} and their counts, got {found}")
        _check_arrays(state["sums"], state["counts"])
        twin = self.from_state(state["sums"], state["counts"])
        self._sums, self._counts, self._centres = twin._sums, twin._counts, None

    def copy(self, adaptive: bool | None = None) -> CentroidRouter:
        """An independent router in the same state; ``adaptive`` as given, or as it is here."""
        twin = CentroidRouter(self.adaptive if adaptive is None else adaptive)
        twin._sums = None if self._sums is None else self._sums.copy()
        twin._counts = self._counts.copy()
        return twin


def _check_arrays(sums: npt.NDArray[Any], counts: npt.NDArray[Any]) -> None:
    """What :meth:`CentroidRouter.from_state` leaves open in numbers from a file.

    Raises:
        DataError: other types, counts near the end of their range, or a centre so far away that
            its square is beyond what a number can hold.
    """
    if sums.dtype != np.float64 or counts.dtype != np.int64:
        raise DataError(f"expected float64 and int64, got {sums.dtype} and {counts.dtype}")
    if (counts < 0).any() or (counts > _MOST).any():
        raise DataError(f"expected counts from 0 to {_MOST}, got others")
    if not (np.abs(sums) <= _FARTHEST).all():
        raise DataError(f"expected sums within {_FARTHEST:g}, got others")


def _squared_distances(x: FloatArray, centre: FloatArray) -> FloatArray:
    """(N,) squared Euclidean distances of the rows of ``x`` (N, D) to ``centre`` (D,)."""
    difference = centre - x
    result: FloatArray = np.vecdot(difference, difference)
    return result
