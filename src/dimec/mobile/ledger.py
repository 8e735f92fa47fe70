"""The answers of a state, added up."""

from __future__ import annotations

from dimec.mobile.prediction import LedgerSummary
from dimec.mobile.state.store import State


def ledger_of(state: State, price: float, waiting: int, lost: int) -> LedgerSummary:
    """All recorded answers, added up.

    Args:
        state: holds them.
        price: of the last tier alone, in λ.
        waiting: answers that wait for room on the disk.
        lost: answers that were given and never will be recorded.
    """
    totals, watch = state.totals(), state.watch
    mean = totals.cost / totals.answers if totals.answers else None
    return LedgerSummary(
        answers=totals.answers,
        learnt=totals.learnt,
        routes=totals.routes,
        answered=totals.answered,
        fallbacks=totals.fallbacks,
        mean_cost=mean,
        reduction=1 - mean / price if mean is not None and price else None,
        mean_milliseconds=totals.milliseconds / totals.answers if totals.answers else None,
        waiting=waiting,
        lost=lost,
        safe=totals.safe,
        audited=totals.audits.audited,
        different=totals.audits.different,
        audits_failed=totals.audits.failed,
        audit_cost=totals.audits.cost,
        alarm=None if watch is None else watch.alarm,
        safe_since=None if watch is None else watch.safe_since,
        cost=totals.cost,
        costs=totals.costs,
        milliseconds=totals.times,
        layers=totals.layers,
        sent=totals.sent,
        failures=totals.failures,
    )
