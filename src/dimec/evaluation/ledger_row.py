"""A row of the ledger: what one policy does to accuracy and cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dimec.tiers.names import TIER_NAMES


@dataclass(frozen=True)
class LedgerRow:
    """What one policy does to accuracy and cost. Fractions, not percent.

    Attributes:
        policy: its name.
        accuracy: share of right answers.
        metric: the task's own score.
        drop: accuracy of the last tier minus this accuracy; above 0 the policy is worse.
        drop_low, drop_high: 95 % interval of ``drop``.
        cost: mean cost of an answer in units of λ.
        reduction: 1 - cost / cost of the last tier; above 0 the policy is cheaper.
        reduction_low, reduction_high: 95 % interval of ``reduction``.
        share_mobile, share_edge, share_cloud: shares of the answers given by the paper's tiers;
            None for one that is not among the tiers. They are in ``shares`` too.
        gain: accuracy minus that of ``random@POLICY``, what the router's choice of *which* samples
            go where is worth; None where there is no such row.
        gain_low, gain_high: 95 % interval of ``gain``.
        shares: of the answers given by each tier, by its name, in order; ledgers of old versions
            have the paper's three.
    """

    policy: str
    accuracy: float
    metric: float
    drop: float
    drop_low: float
    drop_high: float
    cost: float
    reduction: float
    reduction_low: float
    reduction_high: float
    share_mobile: float | None = None
    share_edge: float | None = None
    share_cloud: float | None = None
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None
    shares: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        paper = {name: getattr(self, share_key(name)) for name in TIER_NAMES}
        told = {name: share for name, share in paper.items() if share is not None}
        object.__setattr__(self, "shares", {**self.shares, **told})


def share_key(tier: str) -> str:
    """``share_mobile`` for ``mobile``."""
    return f"share_{tier}"
