"""The ledger: what each policy does to accuracy and cost, one row a policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from dimec.base.errors import ConfigError, CorruptArtefactError
from dimec.base.storage import read_json, write_json
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


@dataclass(frozen=True)
class Ledger:
    """The rows of all policies on one trace.

    Attributes:
        rows: in the order in which the policies were given.
        metric_name: which score ``LedgerRow.metric`` is.
        context: what the figures rest on: task, exits, sizes, costs, thresholds, seeds, versions.
    """

    rows: tuple[LedgerRow, ...]
    metric_name: str
    context: Mapping[str, Any] = field(default_factory=dict)

    def row(self, policy: str) -> LedgerRow:
        """The row of that policy; ConfigError names those that there are."""
        for row in self.rows:
            if row.policy == policy:
                return row
        known = ", ".join(row.policy for row in self.rows)
        raise ConfigError(f"the ledger has no policy {policy!r}; it has {known}")

    def to_dicts(self) -> list[dict[str, Any]]:
        """One JSON object a row, without ``share_NAME`` of tiers that there are not."""
        absent = {share_key(name) for name in TIER_NAMES}
        return [
            {key: v for key, v in asdict(row).items() if v is not None or key not in absent}
            for row in self.rows
        ]

    @property
    def tiers(self) -> tuple[str, ...]:
        """Names of the tiers of its rows, in order; the last is what the others are against."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.shares)) or TIER_NAMES

    @property
    def reference(self) -> str:
        """The policy that drops and reductions are against: everything to the last tier."""
        return f"all-{self.tiers[-1]}"

    def save(self, folder: Path) -> None:
        """Write ``ledger.json`` (the rows) and ``ledger-context.json`` (what they rest on)."""
        context = {"metric_name": self.metric_name, **self.context}
        write_json(folder / "ledger-context.json", context)
        write_json(folder / "ledger.json", self.to_dicts())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            ArtefactError: missing, or not a ledger.
        """
        made_by = "dimec evaluate"
        path = folder / "ledger.json"
        rows, context = read_json(path, made_by), read_json(folder / "ledger-context.json", made_by)
        try:
            metric = str(context.pop("metric_name"))
            return cls(tuple(LedgerRow(**row) for row in rows), metric, context)
        except (TypeError, KeyError, AttributeError) as error:
            raise CorruptArtefactError(
                f"{path} is not a ledger ({error}); make it again with: {made_by}"
            ) from None
