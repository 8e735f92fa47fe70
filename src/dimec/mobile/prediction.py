"""What a mobile answers, and what its ledger adds up to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Choice:
    """Where a text would be sent, and how clear that is.

    Attributes:
        tier: position of the tier; 0 is the device.
        tier_name: its name.
        scores: tier → the router's score, lower is nearer; None for a tier that is never reached.
        margin: the second lowest score less the lowest; None where one tier only can be reached.
    """

    tier: int
    tier_name: str
    scores: dict[str, float | None]
    margin: float | None


@dataclass(frozen=True)
class Prediction:
    """One answer, and how it came about.

    Attributes:
        id: the input's name, given or made up; the same ``id`` has the same answer.
        label: the most probable class.
        probability: of ``label``.
        probabilities: class → probability, in the model's order; they add up to 1.
        route: name of the tier that the router chose.
        distances: tier → distance of the embedding to its pool's centre; None for an empty pool.
        margin: the second smallest distance minus the smallest; None where one tier only can be
            reached.
        served_by: the tier that answered.
        fallback_reason: why that is not ``route``: for each tier that was asked in vain, in order,
            its name and one of :data:`dimec.client.tier_client.REASONS`, such as
            ``"edge: circuit open; cloud: unreachable"``. None where ``route`` answered.
        tried: the tiers that were asked in vain, in order.
        milliseconds: wall time from the text to the answer. An answer that was given before, and is
            given again for its ``id``, has the time that it took then.
        cost: in λ: the serving tier's price, and the offload price of every tier that got the input
            in vain.
        recorded: whether the answer is in the state. False where the disk refuses to write; the
            answer then waits in memory for room.
    """

    id: str
    label: str
    probability: float
    probabilities: dict[str, float]
    route: str
    distances: dict[str, float | None]
    margin: float | None
    served_by: str
    fallback_reason: str | None
    tried: tuple[str, ...]
    milliseconds: float
    cost: float
    recorded: bool

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self) | {"tried": list(self.tried)}


@dataclass(frozen=True)
class LedgerSummary:
    """All answers that a state holds, added up.

    Attributes:
        answers: how many there are.
        routes: tier → answers that the router sent there.
        served: tier → answers that it gave.
        fallbacks: reason, as in :attr:`Prediction.fallback_reason` → answers.
        mean_cost: λ an answer; None where there is none.
        reduction: 1 - mean cost / price of the last tier; above 0 it is cheaper than to send all
            there.
        mean_milliseconds: wall time of an answer; None where there is none.
        pools: tier → number of embeddings in the pool that the router decides with.
        waiting: answers that were given and are not yet in the state, for want of room.
        lost: answers that were given and never will be: too many were waiting.
    """

    answers: int
    routes: dict[str, int]
    served: dict[str, int]
    fallbacks: dict[str, int]
    mean_cost: float | None
    reduction: float | None
    mean_milliseconds: float | None
    pools: dict[str, int]
    waiting: int
    lost: int


@dataclass(frozen=True)
class MobileInfo:
    """What a mobile takes of its device.

    Attributes:
        bundle: the folder.
        version: of the mobile tier's model.
        state: path of the state file, or ``":memory:"``.
        adaptive: whether the router learns.
        start_seconds: from the call of ``open`` to ready to answer.
        memory_base_bytes: resident memory of the process before ``open``.
        memory_bytes: resident memory of the process now.
        disk_bytes: of the bundle's files.
    """

    bundle: str
    version: str
    state: str
    adaptive: bool
    start_seconds: float
    memory_base_bytes: int
    memory_bytes: int
    disk_bytes: int
