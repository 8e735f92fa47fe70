"""Every policy along its knob on stored traces: what it does on validation rows and on test rows.

Each is fitted to the validation split. What it does there flatters it the more, the more it has
learnt from them; so its validation figures are the cross-fitted ones of
:mod:`dimec.policies.candidates`, on which a contract learns its path too. Test rows are only
looked at to judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from dimec.base.arrays import BoolArray
from dimec.base.errors import ConfigError
from dimec.base.progress import Progress
from dimec.evaluation.bootstrap import bootstrap_means, interval
from dimec.evaluation.curves import CurvePoint
from dimec.policies import OraclePolicy, Policy, systems
from dimec.policies.candidates import Candidate, Did, candidates_of, did, single_tiers
from dimec_studies.plan import Plan
from dimec_studies.stored import Stored

CASCADE = "cascade"


@dataclass(frozen=True, eq=False)
class Rung:
    """A policy at one stand of its knob.

    Attributes:
        told: ``cascade at lambda 0.01``.
        seen: what it did with the validation rows, as if it had not been fitted to them.
        right: (N,) whether it is right on each test row.
        shown: what it did with the test rows.
        point: its figures; those of validation are of ``seen``.
    """

    told: str
    seen: Did
    right: BoolArray
    shown: Did
    point: CurvePoint


@dataclass(frozen=True, eq=False)
class Ladder:
    """A system along its knob."""

    system: str
    title: str
    rungs: tuple[Rung, ...]


@dataclass(frozen=True, eq=False)
class Ladders:
    """All that can be done with a task's rows.

    Attributes:
        stored: its traces.
        systems: every one that can be served there, in the order of the tables.
        tiers: each alone, from the nearest to the last, which is the reference.
        oracle: chooses among the tiers by the labels.
        left_out: why not the others, by name.
    """

    stored: Stored
    systems: tuple[Ladder, ...]
    tiers: tuple[Rung, ...]
    oracle: Rung
    left_out: Mapping[str, str]


def judged(right: BoolArray, other: BoolArray, draws: int, seed: int) -> tuple[float, float, float]:
    """How much more often one policy is right than another on the same rows: mean, low, high.

    Args:
        right, other: (N,) of the two.
        draws, seed: of the paired bootstrap; its interval is at 95 %.
    """
    gain = right.astype(np.float64) - other
    return float(gain.mean()), *interval(bootstrap_means(gain[:, None], draws, seed)[:, 0])


class Measure:
    """Makes rungs of policies, all against the last tier.

    Args:
        stored: the traces.
        draws, seed: of the bootstrap.
    """

    def __init__(self, stored: Stored, draws: int, seed: int) -> None:
        self.stored, self.draws, self.seed = stored, draws, seed
        self.last = float(stored.deployment.prices[-1])
        tier = stored.deployment.tiers[-1]
        self._right = [
            trace.correct[:, trace.column(tier.layer, tier.source)]
            for trace in (stored.validation, stored.test)
        ]

    def rung(self, told: str, policy: Policy, seen: Did, lam: float | None = None) -> Rung:
        """A policy, fitted, with what it did on the validation rows."""
        stored = self.stored
        shown = did(policy, stored.test, stored.deployment)
        right: BoolArray = shown.classes == stored.test.labels
        gain, low, high = judged(right, self._right[1], self.draws, self.seed)
        cost = shown.cost[:, None]
        few, many = interval(bootstrap_means(cost, self.draws, self.seed)[:, 0])
        seen_right = seen.classes == stored.validation.labels
        point = CurvePoint(
            accuracy=float(right.mean()),
            cost=float(shown.cost.mean()),
            drop=0.0 - gain,
            drop_low=0.0 - high,
            drop_high=0.0 - low,
            reduction=1 - float(shown.cost.mean()) / self.last,
            reduction_low=1 - many / self.last,
            reduction_high=1 - few / self.last,
            validation_drop=float(self._right[0].mean() - seen_right.mean()),
            validation_reduction=1 - float(seen.cost.mean()) / self.last,
            lam=lam,
        )
        return Rung(told, seen, right, shown, point)

    def of(self, candidate: Candidate) -> Rung:
        """A policy that may be served."""
        return self.rung(candidate.told(), candidate.policy, candidate.did, candidate.lam)

    def oracle(self) -> Rung:
        """The oracle, which has learnt nothing of any row."""
        policy, stored = OraclePolicy(), self.stored
        return self.rung(policy.name, policy, did(policy, stored.validation, stored.deployment))


def ladders_of(stored: Stored, plan: Plan, progress: Progress) -> Ladders:
    """Fit and replay every system that can be served on these tiers.

    Several items ask for the same, so the ladders of the last few traces are kept.

    Args:
        stored: the traces of a task.
        plan: λ for systems that take it from outside, seed and draws of the bootstrap.
        progress: a step for each system.
    """
    return _climbed(_Asked(stored, plan.lam, plan.draws, plan.seeds[0], progress))


@dataclass(frozen=True)
class _Asked:
    stored: Stored
    lam: float
    draws: int
    seed: int
    progress: Progress = field(compare=False)


@lru_cache(maxsize=8)
def _climbed(asked: _Asked) -> Ladders:
    stored, progress = asked.stored, asked.progress
    measure, inputs = Measure(stored, asked.draws, asked.seed), stored.inputs(asked.lam)
    known = systems()
    found: list[Ladder] = []
    left_out: dict[str, str] = {}
    progress.start(f"{stored.name}: every policy along its knob", len(known))
    for name, one in known.items():
        try:
            candidates = candidates_of(one, inputs, asked.seed)
        except ConfigError as error:
            left_out[name] = str(error).removeprefix(f"{name} ")
        else:
            found.append(Ladder(name, one.title, tuple(map(measure.of, candidates))))
        progress.advance(1, name)
    progress.end()
    tiers = tuple(map(measure.of, single_tiers(inputs)))
    return Ladders(stored, tuple(found), tiers, measure.oracle(), left_out)
