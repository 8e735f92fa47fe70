"""A mobile's ledger, its audit and its tiers, as metrics for Prometheus.

All numbers are the ledger's, or what the audit's monitors know; nothing is counted here. So they
are those of the state file, and go on where they were after a restart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

from dimec.__about__ import __version__
from dimec.base.exposition import Family, exposition
from dimec.mobile.engine import Engine
from dimec.mobile.prediction import LedgerSummary

# The label, or all labels in their order → value; a number alone where there are none; None for
# one that there is not.
_Values: TypeAlias = Mapping[Any, float] | float | None

# Of a circuit, see :class:`dimec.client.breaker.CircuitBreaker`.
_CIRCUITS = ("closed", "open", "half-open")


def metrics_of(engine: Engine, circuits: Mapping[str, str]) -> str:
    """All of it in Prometheus's text format.

    Args:
        engine: the mobile's.
        circuits: state of the circuit breaker of each tier that an address was given for.

    Raises:
        StorageError: the state is closed.
        CorruptArtefactError: an answer in it was altered.
    """
    ledger = engine.ledger()
    return exposition(
        [
            *_build(engine),
            *_answers(ledger),
            *_spent(ledger, engine),
            *_failures(ledger, engine, circuits),
            *_audit(ledger, engine),
            *_contract(engine),
        ]
    )


def _family(
    name: str, kind: Literal["counter", "gauge"], help_: str, values: _Values, *labels: str
) -> Family:
    samples: dict[tuple[str, ...], float] = {}
    if isinstance(values, Mapping):
        for key, value in values.items():
            samples[(key,) if isinstance(key, str) else key] = value
    elif values is not None:
        samples[()] = values
    return Family(f"dimec_mobile_{name}", kind, help_, labels, samples)


def _counter(name: str, help_: str, values: _Values, *labels: str) -> Family:
    return _family(f"{name}_total", "counter", help_, values, *labels)


def _gauge(name: str, help_: str, values: _Values, *labels: str) -> Family:
    return _family(name, "gauge", help_, values, *labels)


def _build(engine: Engine) -> Iterator[Family]:
    facts = {
        "version": __version__,
        "model_version": engine.bundle.manifest.version,
        "policy": engine.policy,
        "contract": engine.contract or "",
    }
    told = {tuple(facts.values()): 1}
    yield _gauge("build_info", "What runs: the fitted policy, and its contract.", told, *facts)


def _answers(ledger: LedgerSummary) -> Iterator[Family]:
    answered = "Answers, by the tier that gave them."
    yield _counter("answers", answered, ledger.answered, "tier")
    routed = "Answers, by the tier that they were sent to first."
    yield _counter("routes", routed, ledger.routes, "tier")
    seconds = {tier: spent / 1000 for tier, spent in ledger.milliseconds.items()}
    took = "Wall time from text to answer, by the tier that gave it."
    yield _counter("answer_seconds", took, seconds, "tier")
    yield _counter("learnt_answers", "Answers that the policy learnt from.", ledger.learnt)
    yield _gauge("waiting_answers", "Answers that wait for room on the disk.", ledger.waiting)
    lost = "Answers of this process that were given and never will be recorded."
    yield _counter("lost_answers", lost, ledger.lost)


def _spent(ledger: LedgerSummary, engine: Engine) -> Iterator[Family]:
    cost = "Cost in lambda, by the tier that gave the answer; the audit's is apart."
    yield _counter("cost_lambda", cost, ledger.costs, "tier")
    price = engine.deployment.prices[-1]
    saved = "What all answers would have cost at the last tier, less what they did cost."
    yield _gauge("saved_lambda", saved, ledger.answers * price - ledger.cost)
    prices = dict(zip(engine.names, engine.deployment.prices, strict=True))
    yield _gauge("price_lambda", "What an answer of that tier alone costs.", prices, "tier")
    layers = "Layers that ran for answers, by the tier where they ran."
    yield _counter("layers", layers, ledger.layers, "tier")
    sent = "Inputs that were sent to a tier and answered by it."
    yield _counter("sent_inputs", sent, _others(ledger.sent, engine), "tier")


def _failures(
    ledger: LedgerSummary, engine: Engine, circuits: Mapping[str, str]
) -> Iterator[Family]:
    from dimec.client.endpoint import REASONS

    # From the beginning, since a rate misses the step by which a series begins.
    none = {(tier, reason): 0 for tier in engine.names[1:] for reason in REASONS}
    asked = "How often a tier was asked in vain for an answer, and why."
    yield _counter("fallbacks", asked, none | ledger.failures, "tier", "reason")
    fell = "Answers on whose way a tier, or more than one, was asked in vain."
    yield _counter("fallback_answers", fell, sum(ledger.fallbacks.values()))
    states = {
        (tier, state): int(state == now) for tier, now in circuits.items() for state in _CIRCUITS
    }
    circuit = "1 for the state that a tier's circuit breaker is in now."
    yield _gauge("circuit", circuit, states, "tier", "state")


def _audit(ledger: LedgerSummary, engine: Engine) -> Iterator[Family]:
    yield _gauge("audit_share_ratio", "Share of texts that is audited.", engine.audit.share)
    rows = "Answers that were held against the last tier's."
    yield _counter("audit_rows", rows, ledger.audited)
    differ = "Of these, those that differ from it."
    yield _counter("audit_different", differ, ledger.different)
    failed = "Answers that were picked, and the last tier could not be asked."
    yield _counter("audit_failed", failed, ledger.audits_failed)
    cost = "What it cost to ask it, in lambda."
    yield _counter("audit_cost_lambda", cost, ledger.audit_cost)
    watch = engine.state.watch
    pairs = {} if watch is None else {"differences": watch.differences, "drop": watch.drops}
    monitors = {name: monitor for name, monitor in pairs.items() if monitor is not None}
    bound = "What the audit allows: a share of different answers, or a drop in accuracy."
    bounds = {name: monitor.bound for name, monitor in monitors.items()}
    yield _gauge("audit_bound_ratio", bound, bounds, "monitor")
    seen = "Rows that a monitor has seen since the audit was begun."
    numbers = {name: monitor.rows for name, monitor in monitors.items()}
    yield _gauge("audit_monitored_rows", seen, numbers, "monitor")
    capital = {name: monitor.capital for name, monitor in monitors.items()}
    yield _gauge("audit_e_value", "Evidence against the bound; 1 at first.", capital, "monitor")
    limits = {name: 1 / monitor.alpha for name, monitor in monitors.items()}
    limit = "The e-value that raises the alarm."
    yield _gauge("audit_e_value_limit", limit, limits, "monitor")
    raised = "1 once the audit has raised its alarm, until it is begun anew."
    yield _gauge("audit_alarm", raised, ledger.alarm is not None)
    safe = "1 while the safe policy is in force, which sends every text to the last tier."
    yield _gauge("safe_policy", safe, ledger.safe_since is not None)
    yield _counter("safe_answers", "Answers whose way the safe policy chose.", ledger.safe)


def _contract(engine: Engine) -> Iterator[Family]:
    promise = engine.promise
    if promise is None:
        return
    drop = "The drop in accuracy against the last tier that the contract allows."
    yield _gauge("contract_drop_ratio", drop, _share(promise.max_accuracy_drop))
    different = "The share of answers that may differ from the last tier's by the contract."
    yield _gauge("contract_different_ratio", different, _share(promise.max_disagreement))
    cost = "The mean cost of an answer in lambda that the contract allows."
    yield _gauge("contract_cost_lambda", cost, promise.max_cost)
    sure = "The confidence with which the contract was promised."
    yield _gauge("contract_confidence_ratio", sure, promise.confidence)


def _others(values: Mapping[str, int], engine: Engine) -> dict[str, int]:
    """Of the tiers but the device, to which nothing is sent."""
    return {tier: value for tier, value in values.items() if tier != engine.device}


def _share(points: float | None) -> float | None:
    return None if points is None else points / 100
