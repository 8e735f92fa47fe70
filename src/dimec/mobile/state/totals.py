"""All recorded answers of a state, added up.

Answers are never altered, so they are read in blocks, and a block that is full is read once. Where
a block ends is fixed by its rows' numbers. So the sums are the same to the last bit whoever asks,
how often, and after a restart: a sum that came out smaller by a rounding would look to whoever
watches it like one that began anew.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

from dimec.mobile.state.audits import AuditTotals, audit_totals

BLOCK = 16384  # rows: some tens of milliseconds to read, for which no answer is recorded

# Answers that are alike in their way, added up: few ways are possible, however many answers.
_GROUPS = (
    "SELECT route, answered_by, fallback_reason, path, COUNT(*), TOTAL(learnt), TOTAL(safe), "
    "TOTAL(cost), TOTAL(milliseconds) FROM answers WHERE seq > ? AND seq <= ? GROUP BY 1, 2, 3, 4"
)
_LAST = "SELECT COALESCE(MAX(seq), 0) FROM answers"


class Totals(NamedTuple):
    """Sums over all recorded answers.

    Attributes:
        answers: how many there are.
        learnt: how many of them the policy has learnt from.
        safe: how many the safe policy sent their way.
        routes: tier → answers that went there first.
        answered: tier → answers that it gave.
        fallbacks: reason, as in a prediction → answers.
        failures: (tier, reason) → how often the tier was asked in vain for it.
        layers: tier → layers that ran there.
        sent: tier → inputs that were sent there, and answered by it.
        cost: in λ.
        costs: tier → λ of the answers that it gave.
        milliseconds: of all answers.
        times: tier → milliseconds of the answers that it gave.
        audits: sums over the audit's rows.
    """

    answers: int
    learnt: int
    safe: int
    routes: dict[str, int]
    answered: dict[str, int]
    fallbacks: dict[str, int]
    failures: dict[tuple[str, str], int]
    layers: dict[str, int]
    sent: dict[str, int]
    cost: float
    costs: dict[str, float]
    milliseconds: float
    times: dict[str, float]
    audits: AuditTotals


class _Group(NamedTuple):
    """A row of :data:`_GROUPS`."""

    route: str
    answered_by: str
    reason: str | None
    path: str
    answers: int
    learnt: float
    safe: float
    cost: float
    milliseconds: float


_Of: TypeAlias = Callable[[_Group], float]


class Sums:
    """Reads the answers of an open state block by block, and remembers the full ones.

    Args:
        tiers: names of the tiers.
        block: rows of a block.
    """

    def __init__(self, tiers: Sequence[str], block: int = BLOCK) -> None:
        self._tiers = tuple(tiers)
        self._block = block
        self._blocks = 0
        self._full: list[_Group] = []

    def read(self, database: sqlite3.Connection) -> Totals | None:
        """Read a block; the totals where it was the last, None where more are left.

        Raises:
            ValueError, TypeError, LookupError: an answer was altered.
        """
        end = (self._blocks + 1) * self._block
        (last,) = database.execute(_LAST).fetchone()
        bounds = (end - self._block, end)
        groups = [_Group(*row) for row in database.execute(_GROUPS, bounds)]
        if last <= end:
            return _totals([*self._full, *groups], self._tiers, audit_totals(database))
        self._full += groups
        self._blocks += 1
        return None


def _totals(groups: Sequence[_Group], tiers: Sequence[str], audits: AuditTotals) -> Totals:
    routes, answered, fallbacks = Counter[str](), Counter[str](), Counter[str]()
    failures, layers, sent = Counter[tuple[str, str]](), Counter[str](), Counter[str]()
    for group in groups:
        routes[group.route] += group.answers
        answered[group.answered_by] += group.answers
        if group.reason is not None:
            fallbacks[group.reason] += group.answers
            for failure in failures_in(group.reason):
                failures[failure] += group.answers
        for stay in json.loads(group.path):
            layers[stay["tier"]] += group.answers * (int(stay["stop"]) - int(stay["start"]))
            sent[stay["tier"]] += group.answers * (stay["payload"] is not None)
    return Totals(
        answers=sum(group.answers for group in groups),
        learnt=int(sum(group.learnt for group in groups)),
        safe=int(sum(group.safe for group in groups)),
        routes={tier: routes[tier] for tier in tiers},
        answered={tier: answered[tier] for tier in tiers},
        fallbacks=dict(sorted(fallbacks.items())),
        failures=dict(sorted(failures.items())),
        layers={tier: layers[tier] for tier in tiers},
        sent={tier: sent[tier] for tier in tiers},
        cost=_sum(groups, lambda group: group.cost),
        costs=_by_tier(groups, tiers, lambda group: group.cost),
        milliseconds=_sum(groups, lambda group: group.milliseconds),
        times=_by_tier(groups, tiers, lambda group: group.milliseconds),
        audits=audits,
    )


def failures_in(reason: str) -> list[tuple[str, str]]:
    """Tier and reason of each failure that a prediction's ``fallback_reason`` names, in order.

    Example:
        >>> failures_in("edge: circuit open; cloud: unreachable")
        [('edge', 'circuit open'), ('cloud', 'unreachable')]
    """
    parts = (part.partition(": ") for part in reason.split("; "))
    return [(tier, why) for tier, _, why in parts]


def _sum(groups: Iterable[_Group], of: _Of) -> float:
    """Rounded once, so that no new group makes it smaller by its place among the others."""
    return math.fsum(map(of, groups))


def _by_tier(groups: Iterable[_Group], tiers: Iterable[str], of: _Of) -> dict[str, float]:
    return {
        tier: _sum((group for group in groups if group.answered_by == tier), of) for tier in tiers
    }
