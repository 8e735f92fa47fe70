"""What a mobile answers, and what its ledger adds up to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Choice:
    """Where a text would be sent first, and how clear that is.

    Attributes:
        tier: position of the tier; 0 is the device.
        tier_name: its name.
        scores: tier → the policy's score, lower is nearer; None for a tier that is never reached;
            empty where it measures none.
        margin: the second lowest score less the lowest; None where there are not two.
    """

    tier: int
    tier_name: str
    scores: dict[str, float | None]
    margin: float | None


@dataclass(frozen=True)
class Stay:
    """What one tier did for an answer.

    Attributes:
        tier: its name.
        start: the layers that had run when the input came there: 0 where it came as text.
        stop: the layer up to which it ran.
        payload: what was sent there, ``"text"``; None where the input arose.
    """

    tier: str
    start: int
    stop: int
    payload: str | None


@dataclass(frozen=True)
class Prediction:
    """One answer, and how it came about.

    Attributes:
        id: the input's name, given or made up; the same ``id`` has the same answer.
        label: the most probable class.
        probability: of ``label``.
        probabilities: class → probability, in the model's order; they add up to 1.
        route: name of the tier that the policy chose first, before a layer had run.
        distances: tier → how the policy scored it for that, lower is nearer; for a router the
            distance of the embedding to its pool's centre; None for an empty pool. Empty for a
            policy that measures none.
        margin: the second smallest of them minus the smallest; None where there are not two.
        path: what ran for the answer, stay by stay.
        answered_by: the tier whose exit gave the answer.
        fallback_reason: why another tier answered than the policy wanted: for each tier that was
            asked in vain, in order, its name and one of
            :data:`dimec.client.tier_client.REASONS`, such as
            ``"edge: circuit open; cloud: unreachable"``. None where none was.
        tried: the tiers that were asked in vain, in order.
        milliseconds: wall time from the text to the answer. An answer that was given before, and is
            given again for its ``id``, has the time that it took then.
        cost: in λ: of all that ran on the path, and of sending the input to every tier that got it
            in vain.
        recorded: whether the answer is in the state. False where the disk refuses to write; the
            answer then waits in memory for room.
        safe: whether the safe policy decided, which sends every text to the last tier: an audit
            has raised its alarm.
        policy: name of the policy that decided: ``all-cloud`` where the last tier is the cloud
            and the safe one did.
        contract: what the policy promises; None where it promises nothing, or no longer.
    """

    id: str
    label: str
    probability: float
    probabilities: dict[str, float]
    route: str
    distances: dict[str, float | None]
    margin: float | None
    path: tuple[Stay, ...]
    answered_by: str
    fallback_reason: str | None
    tried: tuple[str, ...]
    milliseconds: float
    cost: float
    recorded: bool
    safe: bool = False
    policy: str = ""
    contract: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        values = asdict(self)
        return values | {"path": list(values["path"]), "tried": list(self.tried)}


@dataclass(frozen=True)
class LedgerSummary:
    """All answers that a state holds, added up.

    Attributes:
        answers: how many there are.
        learnt: how many of them the policy has learnt from.
        routes: tier → answers that the policy sent there first.
        answered: tier → answers that it gave.
        fallbacks: reason, as in :attr:`Prediction.fallback_reason` → answers.
        mean_cost: λ an answer; None where there is none.
        reduction: 1 - mean cost / price of the last tier; above 0 it is cheaper than to send all
            there.
        mean_milliseconds: wall time of an answer; None where there is none.
        waiting: answers that were given and are not yet in the state, for want of room.
        lost: answers that were given and never will be: too many were waiting.
        safe: answers whose way the safe policy chose.
        audited: of the answers, those that were held against the last tier's.
        different: of these, those that differ from it.
        audits_failed: answers that were picked, and the last tier could not be asked.
        audit_cost: λ of asking it, all audits together; no answer's cost has a part of it.
        alarm: the row of the audit at which its alarm was raised; None where none is.
        safe_since: answers that there were when that was recorded.
        cost: λ of all answers.
        costs: tier → λ of the answers that it gave.
        milliseconds: tier → wall time of the answers that it gave, added up.
        layers: tier → layers that ran there.
        sent: tier → inputs that were sent there, and answered by it.
        failures: (tier, reason) → how often the tier was asked in vain for that reason.
    """

    answers: int
    learnt: int
    routes: dict[str, int]
    answered: dict[str, int]
    fallbacks: dict[str, int]
    mean_cost: float | None
    reduction: float | None
    mean_milliseconds: float | None
    waiting: int
    lost: int
    safe: int
    audited: int
    different: int
    audits_failed: int
    audit_cost: float
    alarm: int | None
    safe_since: int | None
    cost: float
    costs: dict[str, float]
    milliseconds: dict[str, float]
    layers: dict[str, int]
    sent: dict[str, int]
    failures: dict[tuple[str, str], int]


@dataclass(frozen=True)
class MobileInfo:
    """What a mobile takes of its device.

    Attributes:
        bundle: the folder.
        version: of the mobile tier's model.
        state: path of the state file, or ``":memory:"``.
        policy: its name.
        contract: what it promises; None where it promises nothing.
        audit: the share of texts that is audited; 0 for none.
        safe: whether an alarm has put the safe policy in its place.
        adaptive: whether it learns here.
        start_seconds: from the call of ``open`` to ready to answer.
        memory_base_bytes: resident memory of the process before ``open``.
        memory_bytes: resident memory of the process now.
        disk_bytes: of the bundle's files.
    """

    bundle: str
    version: str
    state: str
    policy: str
    contract: str | None
    audit: float
    safe: bool
    adaptive: bool
    start_seconds: float
    memory_base_bytes: int
    memory_bytes: int
    disk_bytes: int
