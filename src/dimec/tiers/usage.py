"""What answers take, tier by tier: layers run, inputs sent, charges due, bytes moved.

It is derived from the paths that inputs took (:mod:`dimec.tiers.paths`), and from nothing else.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray
from dimec.base.errors import DataError

TOKEN_BYTES = 4  # of a text on the wire, a token: an int32 id, or the word itself, about as long
FLOAT_BYTES = 4  # of one number of a hidden state


@dataclass(frozen=True, eq=False)
class Usage:
    """What N answers take of K tiers. Each is (N, K) float64, expected where lots are drawn.

    Attributes:
        layers: run at each tier.
        sent: how often something was sent to each tier; to the first nothing ever is.
        charges: how many times the price of a visit is due; a share where a visit stops early.
        bytes: payload sent to each tier: the text, or hidden states or a code in its place.

    Raises:
        DataError: the parts are not all of one shape (N, K).
    """

    layers: FloatArray
    sent: FloatArray
    charges: FloatArray
    bytes: FloatArray

    def __post_init__(self) -> None:
        shapes = {getattr(self, one.name).shape for one in fields(self)}
        if len(shapes) != 1 or len(next(iter(shapes))) != 2:
            raise DataError(f"the parts of a usage must all have one shape (N, K), got {shapes}")

    def __len__(self) -> int:
        return len(self.layers)

    def sending(self, texts: FloatArray, tiers: Collection[int]) -> Self:
        """The same, where these tiers are sent the texts themselves, and not their tokens' ids.

        Args:
            texts: (N,) bytes of each text in UTF-8.
            tiers: positions of tiers that only ever are sent a text, since no hidden states of
                another tier's model are of use to theirs.

        Raises:
            DataError: not as many texts as answers.
        """
        if np.shape(texts) != (len(self),):
            raise DataError(f"{len(self)} answers need as many texts, got {np.shape(texts)}")
        moved = self.bytes.copy()
        for k in tiers:
            moved[:, k] = self.sent[:, k] * texts
        return replace(self, bytes=moved)


def text_bytes(lengths: npt.NDArray[np.integer]) -> FloatArray:
    """(N,) payload of sending each text itself, from its number of tokens."""
    return TOKEN_BYTES * lengths.astype(np.float64)


def hidden_bytes(lengths: npt.NDArray[np.integer], width: int) -> FloatArray:
    """(N,) payload of sending each text's hidden states: tokens x width numbers of fp32."""
    return FLOAT_BYTES * width * lengths.astype(np.float64)
