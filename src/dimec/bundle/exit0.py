"""Exit 0: a classifier that reads the embedding layer alone, and so costs no layer.

It adds up weights that it looks up, and softmax makes class probabilities of the sum. All that is
needed to do the same in another language stands here:

1. Token ids without weights are left out, as if they did not stand in the text: special tokens,
   added ones, and those that training did not see. Where none is left, the answer is the prior.
2. One text: the sum over its tokens of their rows of ``tokens``, and over its neighbours (a, b) of
   the rows h(a, b) of ``bigrams``. With 2^k rows,
   h(a, b) = ((a·0x9E3779B97F4A7C15 + b·0xC2B2AE3D27D4EB4F) mod 2^64) >> (64 - k): multiply-shift
   hashing (Dietzfelbinger et al. 1997, J. Algorithms 25(1)). n is the number of tokens.
3. A pair: the first text ends at the first id ``separator``. Each different token counts once, in
   one of three tables: those in the first text only, in the second only, and in both; n is the
   number of all. Their order has no say.
4. The sum is divided by n^power, with a power of 0, 1/2 or 1: a sum, a mean, or half way between.
5. To a pair's come three rows of ``shares``, for the share that the common tokens have of all, of
   the first text's, and of the second's; each in 21 bins, floor(20·common / size), and in bin 0
   where a text has none.
6. To all comes ``pooled``, a linear map of the pooled embedding. That makes K numbers; ``mix``
   makes C of them, and ``bias`` is added: the logits.

Weights that are looked up are float16 and summed in float64, which is exact for up to 4,096 tokens
in whatever order. So a text by itself and in a batch has the same probabilities to the last bit.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import Float32Array, FloatArray, IntArray
from dimec.base.errors import CorruptArtefactError, DataError, shown
from dimec.base.storage import load_arrays, save_arrays
from dimec.bundle.exit0_rows import BINS, Whole, bigram_rows, n_to, share_bins, sides_of
from dimec.bundle.exit0_single import Single

EXIT0 = "exit0.safetensors"
LARGEST = 2_000_000  # bytes of all arrays
POWERS = (0.0, 0.5, 1.0)
# Of a file: with the names and shapes of the arrays.
LARGEST_FILE = LARGEST + (1 << 16)

_KIND = "exit 0"
_VERSION = 1
_MADE_BY = "dimec train --overwrite"
_MOST_WORDS = 1 << 24  # as many as a manifest allows
_TYPES: dict[str, type[np.generic]] = {
    "ids": np.int32,
    **dict.fromkeys(("tokens", "bigrams", "shares"), np.float16),
    **dict.fromkeys(("pooled", "mix", "bias", "prior"), np.float32),
}
_NUMBERS = ("vocabulary", "separator", "power", "model")


@dataclass(frozen=True, eq=False)
class Exit0:
    """The weights of exit 0, and what they say of texts.

    With C classes, K columns of weights, R tokens that have weights, and embeddings of width D.

    Attributes:
        ids: (R,) int32, the tokens that have weights, ascending.
        tokens: float16, (1, R, K) for texts; (3, R, K) for pairs: first only, second only, both.
        bigrams: (2^k, K) float16; (0, K) for pairs.
        shares: (3, 21, K) float16 for pairs; (0, 21, K) for texts.
        pooled: (K, D) float32.
        mix: (K, C) float32.
        bias: (C,) float32.
        prior: (C,) float32, probabilities where no token has weights.
        vocabulary: token ids are 0 … vocabulary - 1.
        separator: the id that ends the first text of a pair; -1 where there is none.
        power: of n, by which sums are divided.
        model: fingerprint of the model whose embeddings and tokens it reads.

    Raises:
        DataError: parts that do not fit each other, are not finite, or are too large.
    """

    ids: npt.NDArray[np.int32]
    tokens: npt.NDArray[np.float16]
    bigrams: npt.NDArray[np.float16]
    shares: npt.NDArray[np.float16]
    pooled: Float32Array
    mix: Float32Array
    bias: Float32Array
    prior: Float32Array
    vocabulary: int
    separator: int
    power: float
    model: str

    def __post_init__(self) -> None:
        _check_types(self)
        _check_shapes(self)
        _check_values(self)

    @property
    def pairs(self) -> bool:
        """Whether an input is a pair of texts."""
        return len(self.tokens) == 3

    @property
    def classes(self) -> int:
        """C."""
        return len(self.bias)

    @property
    def width(self) -> int:
        """D."""
        return int(self.pooled.shape[1])

    def one(self, ids: Whole, pooled: Float32Array) -> Float32Array:
        """(C,) probabilities of the classes of one text, or pair of texts.

        Args:
            ids: (T,) its token ids as the model takes them, 0 … vocabulary - 1.
            pooled: (D,) its pooled embedding.
        """
        if (single := self._single) is not None:
            return single.answer(ids.tolist(), pooled)
        rows = self._index[ids]
        z = self._pair(ids, rows) if self.pairs else self._text(ids, rows)
        if z is None:
            return self.prior
        z += (self._pooled * pooled).sum(axis=1)
        logits = (z[:, None] * self._mix).sum(axis=0) + self.bias
        odds = np.exp(logits - logits.max())
        probabilities: Float32Array = (odds / odds.sum()).astype(np.float32)
        return probabilities

    def many(self, ids: Whole, offsets: IntArray, pooled: Float32Array) -> Float32Array:
        """(N, C) probabilities of N texts, each as by itself.

        Args:
            ids: the token ids of all, end to end.
            offsets: (N + 1,) where each text begins; the last is the end.
            pooled: (N, D).

        Raises:
            DataError: ids that the vocabulary does not have, or embeddings of another shape.
        """
        if pooled.shape != (len(offsets) - 1, self.width):
            expected = (len(offsets) - 1, self.width)
            raise DataError(f"exit 0 needs embeddings of {expected}, got {pooled.shape}")
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < self.vocabulary:
            raise DataError(
                f"exit 0 knows the token ids 0 to {self.vocabulary - 1}, got {int(ids.min())} to "
                f"{int(ids.max())}"
            )
        result = np.empty((len(pooled), self.classes), np.float32)
        starts = offsets.tolist()
        for row, (start, end) in enumerate(itertools.pairwise(starts)):
            result[row] = self.one(ids[start:end], pooled[row])
        return result

    def _text(self, ids: Whole, rows: Whole) -> FloatArray | None:
        known = rows.nonzero()[0]
        if not len(known):
            return None
        z: FloatArray = self._table[rows[known]].sum(axis=0, dtype=np.float64)
        if len(self.bigrams) and len(known) > 1:
            found = bigram_rows(ids[known], self._bits)
            z += self._bigrams[found].sum(axis=0, dtype=np.float64)
        return z / n_to(self.power, len(known))

    def _pair(self, ids: Whole, rows: Whole) -> FloatArray | None:
        first, second, both = sides_of(ids.tolist(), rows.tolist(), self.separator)
        n = len(first) + len(second) + len(both)
        if not n:
            return None
        size = len(self.ids)
        found = [*first, *(row + size for row in second), *(row + 2 * size for row in both)]
        z: FloatArray = self._table[found].sum(axis=0, dtype=np.float64)
        z /= n_to(self.power, n)
        for table, bin_ in zip(self._shares, share_bins(first, second, both), strict=True):
            z += table[bin_]
        return z

    @cached_property
    def _single(self) -> Single | None:
        """With one column of weights, as for two classes, a text takes little by itself."""
        return Single(self, self._index) if len(self.mix) == 1 else None

    @cached_property
    def _index(self) -> npt.NDArray[np.int32]:
        """(vocabulary,) a token's row in the first table, from 1 on; 0 where it has none."""
        index = np.zeros(self.vocabulary, np.int32)
        index[self.ids] = np.arange(1, len(self.ids) + 1)
        return index

    @cached_property
    def _table(self) -> Float32Array:
        """(1 + tables·R, K), the tables behind each other; float16 takes longer to look up."""
        none = np.zeros((1, self.tokens.shape[2]))
        return np.concatenate([none, *self.tokens]).astype(np.float32)

    @cached_property
    def _bigrams(self) -> Float32Array:
        return self.bigrams.astype(np.float32)

    @cached_property
    def _bits(self) -> int:
        return len(self.bigrams).bit_length() - 1

    @cached_property
    def _shares(self) -> FloatArray:
        return self.shares.astype(np.float64)

    @cached_property
    def _pooled(self) -> FloatArray:
        return self.pooled.astype(np.float64)

    @cached_property
    def _mix(self) -> FloatArray:
        return self.mix.astype(np.float64)

    def save(self, path: Path) -> None:
        """Write one checksummed safetensors file."""
        arrays = {name: getattr(self, name) for name in _TYPES}
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        save_arrays(path, _KIND, arrays, {"version": _VERSION, **numbers})

    @classmethod
    def load(cls, path: Path, made_by: str = _MADE_BY) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            MissingArtefactError: no such file.
            CorruptArtefactError: truncated, altered, too large, of a later version, or no exit 0.
        """
        if path.is_file() and path.stat().st_size > LARGEST_FILE:
            raise CorruptArtefactError(
                f"{path} is larger than any exit 0; make it again: {made_by}"
            )
        arrays, header = load_arrays(path, _KIND, made_by)
        try:
            if (version := header.pop("version", None)) != _VERSION:
                raise DataError(f"version {shown(repr(version), 20)}, expected {_VERSION}")
            parts: dict[str, Any] = {**arrays, **header}
            return cls(**parts)
        except (DataError, TypeError) as error:
            problem = shown(str(error), 160)
            raise CorruptArtefactError(
                f"{path} holds no exit 0 ({problem}); make it again: {made_by}"
            ) from None


def _check_types(weights: Exit0) -> None:
    for name, kind in _TYPES.items():
        array = getattr(weights, name)
        if not (isinstance(array, np.ndarray) and array.dtype == kind):
            got = getattr(array, "dtype", type(array).__name__)
            raise DataError(f"exit 0 needs {name} of {np.dtype(kind)}, got {got}")
    if sum(getattr(weights, name).nbytes for name in _TYPES) > LARGEST:
        raise DataError(f"the arrays of exit 0 take more than {LARGEST:,} bytes")
    whole = (weights.vocabulary, weights.separator)
    if not (
        all(type(number) is int for number in whole)
        and isinstance(weights.model, str)
        and type(weights.power) in (int, float)
    ):
        raise DataError("exit 0 needs whole numbers as vocabulary and separator, and a power")
    if weights.power not in POWERS:
        raise DataError(f"the power of exit 0 must be 0, 0.5 or 1, got {weights.power}")
    if not 1 <= weights.vocabulary <= _MOST_WORDS:
        raise DataError(f"the vocabulary of exit 0 must have 1 to {_MOST_WORDS:,} ids")
    if not -1 <= weights.separator < weights.vocabulary:
        raise DataError(f"the vocabulary of exit 0 has no separator {weights.separator}")


def _check_shapes(weights: Exit0) -> None:
    tokens, mix = weights.tokens.shape, weights.mix.shape
    if len(tokens) != 3 or tokens[0] not in (1, 3) or len(mix) != 2 or min(mix) < 1:
        raise DataError(f"exit 0 needs tokens (1 or 3, R, K) and mix (K, C), got {tokens}, {mix}")
    tables, known, columns = tokens
    rows = weights.bigrams.shape[0] if weights.bigrams.ndim else -1
    if rows < 0 or rows == 1 or rows & (rows - 1) or (rows and tables == 3):
        raise DataError(f"exit 0 needs bigrams of 2^k rows, for single texts, got {rows}")
    width = weights.pooled.shape[-1] if weights.pooled.ndim else 0
    shapes: Mapping[str, Sequence[int]] = {
        "ids": (known,),
        "bigrams": (rows, columns),
        "shares": (3 if tables == 3 else 0, BINS, columns),
        "pooled": (columns, max(1, width)),
        "mix": (columns, mix[1]),
        "bias": mix[1:],
        "prior": mix[1:],
    }
    for name, expected in shapes.items():
        if (got := getattr(weights, name).shape) != tuple(expected):
            raise DataError(f"exit 0 needs {name} of {tuple(expected)}, got {got}")


def _check_values(weights: Exit0) -> None:
    for name in _TYPES:
        if not np.isfinite(getattr(weights, name)).all():
            raise DataError(f"the {name} of exit 0 hold values that are not finite")
    ids: npt.NDArray[Any] = weights.ids
    if len(ids) and not (
        ids[0] >= 0 and ids[-1] < weights.vocabulary and (ids[1:] > ids[:-1]).all()
    ):
        raise DataError("the ids of exit 0 must ascend, within its vocabulary")
    prior = weights.prior.astype(np.float64)
    if prior.min() < 0 or abs(prior.sum() - 1) > 1e-5:
        raise DataError("the prior of exit 0 must be probabilities that sum to 1")
