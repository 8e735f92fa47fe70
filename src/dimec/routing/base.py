"""What every router offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray, IntArray
from dimec.base.errors import DataError


@dataclass(frozen=True)
class Route:
    """Where one input goes, and how clear the choice was.

    Attributes:
        tier: its position; 0 is the device.
        distances: the router's score of each tier, lower is nearer; for a centroid router the
            Euclidean distance to each pool's centre, infinite for an empty pool. Empty for
            routers that measure none.
        margin: the second smallest distance minus the smallest, infinite where only one tier is
            reachable, and 0 for routers that measure no distance.
    """

    tier: int
    distances: tuple[float, ...] = ()
    margin: float = 0.0


@runtime_checkable
class Router(Protocol):
    """A router decides from embeddings alone.

    ``route`` takes a stream in its order of arrival and gives a tier for each input; a router that
    learns online does so between one input and the next. ``route_one`` only decides;
    ``learn_one`` tells the router what became of an input, and does nothing where the router does
    not learn. So ``route(X)`` equals ``route_one`` followed by ``learn_one`` for each row.
    """

    def route(self, embeddings: npt.NDArray[np.floating]) -> IntArray:
        """Tiers (N,) for embeddings (N, D), in order of arrival."""
        ...

    def route_one(self, embedding: npt.NDArray[np.floating]) -> Route:
        """Decide on one embedding (D,) and change nothing."""
        ...

    def learn_one(self, embedding: npt.NDArray[np.floating], tier: int) -> None:
        """Take in that the embedding (D,) went to ``tier``."""
        ...

    def state(self) -> Mapping[str, npt.NDArray[Any]]:
        """What it decides by and may learn, as arrays by name."""
        ...

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take up a state that :meth:`state` gave.

        Raises:
            DataError: it is not one of such a router.
        """
        ...

    def copy(self) -> Router:
        """An independent router in the same state."""
        ...


class FixedRouter(ABC):
    """A router that learns nothing: all but where an input goes, and its state."""

    @abstractmethod
    def choose(self, embeddings: FloatArray) -> IntArray:
        """Tiers (N,) for embeddings (N, D), each by its own row alone."""

    def route(self, embeddings: npt.NDArray[np.floating]) -> IntArray:
        """Tiers (N,) for embeddings (N, D)."""
        return self.choose(as_embeddings(embeddings))

    def route_one(self, embedding: npt.NDArray[np.floating]) -> Route:
        """Where one embedding (D,) goes."""
        return Route(int(self.choose(as_embeddings(np.asarray(embedding)[None]))[0]))

    def learn_one(self, embedding: npt.NDArray[np.floating], tier: int) -> None:  # noqa: B027
        """Nothing."""

    @abstractmethod
    def state(self) -> Mapping[str, npt.NDArray[Any]]:
        """What it decides by, as arrays by name."""

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:  # noqa: B027
        """Nothing: it has nothing but what it was made of."""

    def copy(self) -> Self:
        """Itself, since it never changes."""
        return self


def as_embeddings(values: npt.NDArray[np.floating], width: int | None = None) -> FloatArray:
    """(N, D) float64, checked: two axes, the expected width, all values finite.

    Raises:
        DataError: another shape, or NaN or infinity among the values.
    """
    x = np.asarray(values, np.float64)
    if x.ndim != 2 or (width is not None and x.shape[1] != width):
        expected = f"(N, {width})" if width is not None else "(N, D)"
        raise DataError(f"embeddings must have the shape {expected}, got {x.shape}")
    if not np.isfinite(x).all():
        row = int(np.argwhere(~np.isfinite(x))[0, 0])
        raise DataError(f"the embedding of sample {row} holds values that are not finite")
    return x
