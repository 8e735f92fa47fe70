"""What an audit holds later answers to: the bounds that are watched, and how surely."""

from __future__ import annotations

from dataclasses import dataclass

from dimec.base.errors import ConfigError, option
from dimec.contract.promise import Promise

CONFIDENCE = 0.95  # where no contract says another


@dataclass(frozen=True)
class Watched:
    """The bounds of an audit, each for a :class:`dimec.contract.monitor.Monitor`.

    Attributes:
        different: of the share of answers that differ from the last tier's, over 0 and under 1.
        drop: of the drop in accuracy, a share too; None where no contract is of one.
        alpha: the probability of any false alarm, ever, of each of them. Where there are two, each
            has half of what the contract leaves, so that both together keep to it.
    """

    different: float
    drop: float | None
    alpha: float


def watched(promise: Promise | None, points: float | None = None) -> Watched:
    """What is to be watched.

    Without labels that is the share of different answers. A contract of a drop, or of a cost, says
    nothing of that share; its calibration does, by an upper bound at the same confidence.

    Args:
        promise: the policy's; None where it was fitted without a contract.
        points: the share that is allowed, in points, in place of the contract's own.

    Raises:
        ConfigError: no bound, or one that no audit could find exceeded.
    """
    if points is not None and not 0 < points < 100:
        raise ConfigError(
            f"{option('audit_bound')} must be over 0 and under 100 points, got {points!r}"
        )
    if promise is None and points is None:
        raise ConfigError(
            "this policy was fitted without a contract; state what share of different answers is "
            f"allowed with {option('audit_bound')}, or fit one with: dimec fit --max-accuracy-drop"
        )
    different = _different(promise) if points is None else points / 100
    if not 0 < different < 1:
        raise ConfigError(
            f"the contract allows {100 * different:g} % of answers to differ, so there is nothing "
            f"to find out; state a share with {option('audit_bound')}"
        )
    drop = None if promise is None else promise.max_accuracy_drop
    alpha = 1 - (CONFIDENCE if promise is None else promise.confidence)
    if drop is None or not 0 < drop < 100:
        return Watched(different, None, alpha)
    return Watched(different, drop / 100, alpha / 2)


def _different(promise: Promise | None) -> float:
    assert promise is not None
    if promise.max_disagreement is not None:
        return promise.max_disagreement / 100
    return promise.calibration.different_bound
