"""Cases of a mobile's state for the tests of web/: what Python's own says of the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dimec.contract.late import InOrder
from dimec.contract.monitor import Monitor
from dimec.mobile import Mobile
from support.tiny import reviews

# Of these every answer comes from the device, as no other tier has an address.
_SYSTEMS = ("dimec-adaptive-paper", "lee", "cascade", "max-softmax-tiers")


def ledger_cases(bundles: Path) -> list[dict[str, Any]]:
    """Texts with ids, some of them twice, and the ledger after them."""
    texts = [text for text, _ in reviews(24, seed=5)]
    inputs = [{"id": f"{k % 20}", "text": text} for k, text in enumerate(texts)]
    cases = []
    for system in _SYSTEMS:
        with Mobile.open(bundles / system, state=":memory:") as mobile:
            for one in inputs:
                mobile.predict(one["text"], id=one["id"])
            found = mobile.ledger()
        failures: dict[str, dict[str, int]] = {}
        for (tier, reason), count in found.failures.items():
            failures.setdefault(tier, {})[reason] = count
        ledger = {
            "answers": found.answers,
            "learnt": found.learnt,
            "routes": found.routes,
            "answered": found.answered,
            "fallbacks": found.fallbacks,
            "failures": failures,
            "layers": found.layers,
            "sent": found.sent,
            "cost": found.cost,
            "costs": found.costs,
            "meanCost": found.mean_cost,
            "reduction": found.reduction,
            "waiting": found.waiting,
            "lost": found.lost,
            "safe": found.safe,
            "audited": found.audited,
            "different": found.different,
            "auditsFailed": found.audits_failed,
            "auditCost": found.audit_cost,
            "alarm": found.alarm,
            "safeSince": found.safe_since,
        }
        cases.append({"system": system, "inputs": inputs, "ledger": ledger})
    return cases


def monitor_cases() -> list[dict[str, Any]]:
    """Random rows that are settled out of order, and what a monitor makes of them."""
    return list(_monitors(np.random.default_rng(19)))


def _monitors(rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    for low in (0, -1):
        for bound in (0.005, 0.02, 0.3):
            for rate in (0.0, bound, 4 * bound):
                alpha = float(rng.choice([0.025, 0.05, 0.2]))
                values = (rng.random(150) < rate).astype(int) * rng.choice(
                    [low, 1], 150, p=[0.2, 0.8]
                )
                yield _monitor(Monitor(bound, alpha, low), values.tolist(), rng)


def _monitor(monitor: Monitor, values: list[int], rng: np.random.Generator) -> dict[str, Any]:
    line, first = InOrder(7), 7
    case = {"bound": monitor.bound, "alpha": monitor.alpha, "low": monitor.low, "first": first}
    events = []
    # Rows come late by up to ten, and some are given up.
    order = np.argsort(np.arange(len(values)) + 10 * rng.random(len(values)))
    for k in order.tolist():
        value = None if rng.random() < 0.05 else values[k]
        due = line.settle(first + k, value)
        monitor.extend(due)
        events.append(
            {
                "row": first + k,
                "value": value,
                "due": list(due),
                "capital": monitor.capital,
                "rows": monitor.rows,
                "sum": monitor.sum,
                "alarm": monitor.alarm,
            }
        )
    return {**case, "events": events}
