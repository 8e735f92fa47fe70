"""What is said where no policy keeps a contract: how near it came, and what would help."""

from __future__ import annotations

from dataclasses import dataclass

from dimec.base.errors import option
from dimec.contract.sequence import Shortfall


@dataclass(frozen=True)
class Refusal:
    """Attributes: the contract, as in :class:`dimec.runs.contracting.Wanted`, and

    rows: of the calibration.
    by_labels: whether the drop was tested, and not the share of different answers.
    nearest: the policy that was to keep it the most surely.
    saved: share of the reference's cost that it saves.
    shortfall: how near it came.
    """

    max_accuracy_drop: float | None
    max_disagreement: float | None
    max_cost: float | None
    confidence: float
    rows: int
    by_labels: bool
    nearest: str
    saved: float
    shortfall: Shortfall


def told(refusal: Refusal) -> str:
    """The refusal in a few sentences."""
    sure = f"at {100 * refusal.confidence:g} % confidence on {refusal.rows:,} calibration rows"
    return f"no policy is shown {_wanted(refusal)} {sure}; {_near(refusal)}; {_helps(refusal)}"


def _wanted(refusal: Refusal) -> str:
    if refusal.max_cost is not None:
        return f"to cost at most {refusal.max_cost:g} lambda on average"
    if refusal.max_disagreement is not None:
        return f"to answer otherwise than the last tier on at most {refusal.max_disagreement:g} %"
    return (
        f"to save anything and lose at most {refusal.max_accuracy_drop:g} points against the last "
        "tier"
    )


def _near(refusal: Refusal) -> str:
    seen, bound = refusal.shortfall.drop, refusal.shortfall.bound
    if refusal.max_cost is not None:
        return f"the nearest, {refusal.nearest}, costs {seen:.2f}, perhaps up to {bound:.2f}"
    saves = f"the nearest, {refusal.nearest}, saves about {100 * refusal.saved:.0f} %"
    if refusal.by_labels:
        return f"{saves} and lost {100 * seen:.2f} points, perhaps up to {100 * bound:.2f}"
    return f"{saves} and answers {100 * seen:.2f} % otherwise, perhaps up to {100 * bound:.2f} %"


def _helps(refusal: Refusal) -> str:
    if refusal.max_cost is not None:
        return f"allow more with {option('max_cost')}, or a lower {option('confidence')}"
    looser = "a larger drop" if refusal.max_accuracy_drop is not None else "a larger share"
    remedies = [f"{looser} or a lower {option('confidence')}"]
    rows = refusal.shortfall.rows
    if rows is not None:
        remedies.insert(
            0,
            f"about {rows:,} calibration rows would settle it, if these are typical "
            f"({option('calibration_text')} takes more)",
        )
    if not refusal.by_labels and refusal.max_accuracy_drop is not None:
        remedies.append(
            "labels of the rows on which answers differ (dimec contract rows), for this bound "
            "counts each of them as lost"
        )
    if refusal.by_labels:
        remedies.append("exits or tiers that are better: more training rows or epochs")
    return "what would help: " + "; ".join(remedies)
