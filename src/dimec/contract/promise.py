"""The contract as it is stored with a policy, exported with it, and told to a reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from dimec.base.errors import CorruptArtefactError, shown

STORED = "contract"  # its key in what a stored policy says of its fit


@dataclass(frozen=True)
class Calibrated:
    """What the calibration rows said of the policy. Shares, not points; costs in λ.

    Attributes:
        rows: how many there were.
        labelled: whether the drop was seen, and not the share of different answers alone.
        drop, drop_bound: seen, and its upper bound; None without labels.
        different, different_bound: share of answers that differ from the last tier's, and its
            upper bound.
        cost, cost_bound: mean cost of an answer, and its upper bound.
        reduction: 1 - cost / cost of the last tier alone.
    """

    rows: int
    labelled: bool
    drop: float | None
    drop_bound: float | None
    different: float
    different_bound: float
    cost: float
    cost_bound: float
    reduction: float


@dataclass(frozen=True)
class Promise:
    """What a policy was accepted for; exactly one of the first three is set.

    Attributes:
        max_accuracy_drop: against the last tier alone, in points of accuracy.
        max_disagreement: share of answers that differ from the last tier's, in points.
        max_cost: mean cost of an answer, in λ.
        confidence: with which it is promised, in (0, 1).
        test: name of the test of :mod:`dimec.contract.registry`, or ``"cost"``.
        calibration: what the calibration rows said, each bound at that confidence for itself.
        fitted_rows: rows that the policy was fitted to, none of them a calibration row.
        source: of the calibration rows, for a reader.
        tried: policies of the path that were tested.
        accepted: of these, those that keep the contract; the cheapest of them was taken.
        package: that the test is of, with its version; empty for dimec's own.
    """

    max_accuracy_drop: float | None
    max_disagreement: float | None
    max_cost: float | None
    confidence: float
    test: str
    calibration: Calibrated
    fitted_rows: int
    source: str
    tried: int
    accepted: int
    package: str = ""

    def told(self) -> str:
        """``drop at most 0.5 points at 95 % confidence``."""
        sure = f"at {100 * self.confidence:g} % confidence"
        if self.max_accuracy_drop is not None:
            return f"drop at most {self.max_accuracy_drop:g} points {sure}"
        if self.max_disagreement is not None:
            return f"at most {self.max_disagreement:g} % of answers differ, {sure}"
        return f"mean cost at most {self.max_cost:g} lambda {sure}"

    def to_json(self) -> dict[str, Any]:
        """JSON values, for :meth:`of_json`."""
        values = asdict(self)
        return values if self.package else {k: v for k, v in values.items() if k != "package"}

    @classmethod
    def of_json(cls, stored: Any) -> Self:
        """What :meth:`to_json` gave.

        Raises:
            CorruptArtefactError: it is no promise.
        """
        try:
            promise = cls(**{**stored, "calibration": Calibrated(**stored["calibration"])})
            promise._check()
        except (TypeError, KeyError, ValueError) as error:
            raise CorruptArtefactError(
                f"the stored contract cannot be read ({shown(str(error), 120)}); fit the policy "
                "again with: dimec fit"
            ) from None
        return promise

    def _check(self) -> None:
        terms = (self.max_accuracy_drop, self.max_disagreement, self.max_cost)
        if sum(term is not None for term in terms) != 1:
            raise ValueError("it promises more than one thing, or nothing")
        numbers = [term for term in terms if term is not None]
        numbers += [self.confidence, *_numbers(self.calibration)]
        if not all(type(one) in (int, float) for one in numbers) or not 0 < self.confidence < 1:
            raise ValueError("its numbers are none")


def _numbers(calibration: Calibrated) -> list[Any]:
    values = [getattr(calibration, one.name) for one in fields(calibration)]
    return [one for one in values if one is not None and not isinstance(one, bool)]


def promise_in(fitted_on: Mapping[str, Any]) -> Promise | None:
    """The promise of a stored policy; None for one that was fitted without a contract.

    Raises:
        CorruptArtefactError: it cannot be read.
    """
    stored = fitted_on.get(STORED)
    return None if stored is None else Promise.of_json(stored)
