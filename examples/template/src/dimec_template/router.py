"""A router: to the first tier what looks like inputs that it gets right, and all else to the last.

With a the mean embedding of the validation samples that the first tier's exit gets right, and b
that of the others, an input x goes to the first tier where (x - (a + b) / 2) · (a - b) ≥ 0.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from dimec.base.errors import ConfigError
from dimec.policies.registry import FitInputs
from dimec.routing import FixedRouter

Array = npt.NDArray[Any]


class FirstOrLast(FixedRouter):
    """The nearer of two means decides.

    Args:
        means: (2, D), of the embeddings of the right and of the wrong samples.
        last: the position of the last tier.
    """

    def __init__(self, means: Array, last: int) -> None:
        if means.ndim != 2 or len(means) != 2 or not np.isfinite(means).all() or last < 1:
            raise ValueError("expected two means and a last tier")
        self.means, self.last = means, last

    @classmethod
    def fitted(cls, inputs: FitInputs) -> Self:
        """From the validation split."""
        trace, first = inputs.validation, inputs.deployment.tiers[0]
        right = trace.correct[:, trace.column(first.layer, first.source)]
        if len(inputs.deployment) < 2 or right.all() or not right.any():
            raise ConfigError("it takes two tiers, and a first one that is right at times")
        groups = (trace.embeddings[right], trace.embeddings[~right])
        return cls(
            np.stack([group.mean(axis=0, dtype=float) for group in groups]),
            len(inputs.deployment) - 1,
        )

    @classmethod
    def of_state(cls, state: Mapping[str, Array]) -> Self:
        """From what :meth:`state` gave."""
        return cls(state["means"], int(state["last"][0]))

    def state(self) -> Mapping[str, Array]:
        """What its file keeps."""
        return {"means": self.means, "last": np.array([self.last])}

    def choose(self, embeddings: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Tiers (N,) for embeddings (N, D)."""
        right, wrong = self.means
        near = (embeddings - (right + wrong) / 2) @ (right - wrong) >= 0
        return np.where(near, 0, self.last).astype(np.int64)
