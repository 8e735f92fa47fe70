"""Paired losses: what a policy loses against the reference on the same rows, and the terms.

The reference is the last tier alone. D is 1 where only the reference is right, -1 where only the
policy is, and else 0. Its mean is the drop in accuracy: a share, of which 0.01 is one point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import BoolArray
from dimec.base.errors import ConfigError, DataError, option

Drops = npt.NDArray[np.int8]
UNKNOWN = -1  # the label of a row that nobody has labelled


@dataclass(frozen=True)
class Terms:
    """What a contract promises: the drop is at most ``delta``, at confidence 1 - ``alpha``.

    Attributes:
        delta: the largest drop, a share in (0, 1).
        alpha: the largest probability of a promise that does not hold, in (0, 1).
    """

    delta: float
    alpha: float

    @classmethod
    def of(cls, max_drop: float, confidence: float, name: str = "max_accuracy_drop") -> Self:
        """The terms as a user states them.

        Args:
            max_drop: the largest drop, in points: over 0, under 100.
            confidence: in [0.5, 0.9999].
            name: of the option that ``max_drop`` came by, for messages.

        Raises:
            ConfigError: one of them is outside its range, or no number.
        """
        if not 0 < max_drop < 100:
            raise ConfigError(
                f"{option(name)} must be over 0 and under 100 points, got {max_drop:g}; no number "
                "of rows shows that nothing at all is lost"
            )
        if not 0.5 <= confidence <= 0.9999:
            raise ConfigError(
                f"{option('confidence')} must be from 0.5 to 0.9999, got {confidence:g}; a sample "
                "makes nothing certain"
            )
        return cls(max_drop / 100, 1 - confidence)

    def fewest_rows(self) -> int:
        """How many rows it takes if no answer ever differs: the least n with (1 - Δ)^n ≤ α.

        Example:
            >>> Terms.of(0.5, 0.95).fewest_rows()
            598
        """
        return math.ceil(math.log(self.alpha) / math.log1p(-self.delta))

    def check_rows(self, n: int) -> None:
        """Refuse a calibration that could not settle these terms whatever the rows said.

        Raises:
            DataError: fewer rows than :meth:`fewest_rows`.
        """
        if n < (fewest := self.fewest_rows()):
            raise DataError(
                f"{n} calibration rows cannot show a drop of at most {100 * self.delta:g} points "
                f"at confidence {1 - self.alpha:g}, even if no answer differs: that takes {fewest};"
                " take more rows, a larger drop, or a lower confidence"
            )


@dataclass(frozen=True, eq=False)
class Losses:
    """What a policy lost on N rows, each beside the reference.

    Attributes:
        drop: (N,) D of each row: -1, 0 or 1. None where there are no labels.
        different: (N,) whether the two answers differ. None where only their rightness is known.
    """

    drop: Drops | None
    different: BoolArray | None = None

    def __post_init__(self) -> None:
        shapes = {part.shape for part in (self.drop, self.different) if part is not None}
        if len(shapes) != 1 or len(shape := shapes.pop()) != 1:
            raise DataError("losses are one value a row: an array (N,) of drops, of differences")
        if shape[0] == 0:
            raise DataError("a contract needs calibration rows, got none")
        if self.drop is not None and not np.isin(self.drop, (-1, 0, 1)).all():
            raise DataError("a row's loss must be -1, 0 or 1")
        if self.drop is not None and self.different is not None:
            odd = np.flatnonzero((self.drop != 0) & ~self.different)
            if len(odd):
                raise DataError(f"row {odd[0]}: the answers agree, but only one of them is right")

    @classmethod
    def of_right(cls, policy: npt.ArrayLike, reference: npt.ArrayLike) -> Self:
        """From whether each is right.

        Args:
            policy: (N,) booleans, or 0 and 1.
            reference: (N,) the same for the reference.

        Raises:
            DataError: other values, other shapes, or no rows.
        """
        ours, theirs = _zeros_and_ones("policy", policy), _zeros_and_ones("reference", reference)
        if ours.shape != theirs.shape:
            raise DataError(f"the policy has {ours.shape} rows, the reference {theirs.shape}")
        return cls(theirs - ours)

    @classmethod
    def of_answers(
        cls, policy: npt.ArrayLike, reference: npt.ArrayLike, labels: npt.ArrayLike | None = None
    ) -> Self:
        """From the classes that each answers.

        Args:
            policy: (N,) codes of classes, from 0.
            reference: (N,) codes of classes.
            labels: (N,) right codes. :data:`UNKNOWN` is allowed where the answers agree, as such
                a row loses nothing whatever its label is. None: no labels at all.

        Raises:
            DataError: other shapes, no rows, or no label where the answers differ.
        """
        ours, theirs = np.asarray(policy), np.asarray(reference)
        if ours.shape != theirs.shape:
            raise DataError(f"the policy has {ours.shape} answers, the reference {theirs.shape}")
        different: BoolArray = ours != theirs
        if labels is None:
            return cls(None, different)
        gold = np.asarray(labels)
        if gold.shape != ours.shape:
            raise DataError(f"{gold.shape} labels do not fit {ours.shape} answers")
        if (missing := int((different & (gold == UNKNOWN)).sum())) > 0:
            raise DataError(
                f"{missing} of {int(different.sum())} rows on which the answers differ have no "
                "label; label them, or leave all labels out to bound the share of different answers"
            )
        return cls((theirs == gold).astype(np.int8) - (ours == gold).astype(np.int8), different)

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.drop if self.drop is not None else self._differences())

    @property
    def plus(self) -> int:
        """Rows on which only the reference is right."""
        return int((self.drops() == 1).sum())

    @property
    def minus(self) -> int:
        """Rows on which only the policy is right."""
        return int((self.drops() == -1).sum())

    @property
    def differing(self) -> int:
        """Rows on which the answers differ."""
        return int(self._differences().sum())

    @property
    def mean(self) -> float:
        """The drop on these rows, a share; below 0 where the policy is the better one."""
        return (self.plus - self.minus) / len(self)

    def drops(self) -> Drops:
        """(N,) D of each row.

        Raises:
            DataError: there are no labels.
        """
        if self.drop is None:
            raise DataError("a test of the drop needs labels where the answers differ")
        return self.drop

    def _differences(self) -> BoolArray:
        if self.different is None:
            raise DataError("a bound on different answers needs the answers, not their rightness")
        return self.different


def _zeros_and_ones(whose: str, values: npt.ArrayLike) -> Drops:
    array = np.asarray(values)
    if array.dtype != bool and not np.isin(array, (0, 1)).all():
        raise DataError(f"{whose}: a row is right or not, True or False")
    return array.astype(np.int8)
