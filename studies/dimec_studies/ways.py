"""One way to get tiers: its traces, its reference, and every system along its knob on it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from dimec.base.arrays import FloatArray
from dimec.base.errors import ConfigError, MismatchError
from dimec.evaluation.bootstrap import bootstrap_means
from dimec.evaluation.curves import Curve, CurvePoint, Curves
from dimec.evaluation.replay import Replay, reference_name, replay
from dimec.policies import OraclePolicy, Policy, RouterPolicy, System, systems
from dimec.policies.candidates import single_tiers, stands_of
from dimec.policies.registry import FitInputs
from dimec.routing import SingleTierRouter
from dimec.runs.own_tiers import (
    TEXT_BYTES,
    computing_by,
    packaged_profile,
    recorded_lengths,
)
from dimec.tiers.computing import Computing
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from dimec.tiers.scenarios import Scenario, computing_table
from dimec.traces.trace import Trace
from dimec_studies.ladders import CASCADE
from dimec_studies.plan import Plan
from dimec_studies.stored import Stored, deployment_of, shape_of, shapes_by_tier

VERSION = 2  # of a part: what is made of the same traces
ALLOWED = (0.0, 0.005, 0.01, 0.02)  # drops on validation
HALF = 0.005  # the one that the paper promises to keep
CHARGES = (6.0, 15.0, 33.0)  # γ of 6, 12 and 24 layers at the paper's other prices
SINGLE = "single"
DRAWN = ("dimec-fixed-quantile", "exit-cascade", CASCADE)  # whose curves are kept, for the figure
_DIGITS = 6
Record = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Way:
    """A training in the collection, and what its policies are held against.

    Attributes:
        stored: its traces.
        right: of the reference, whether it is right on each validation and each test row: of the
            last exit and the plain fine-tuning whichever is right more often on those rows.
        reference: which of the two that is, on either split.
        rests_on: digests of all files behind it.
    """

    stored: Stored
    right: tuple[FloatArray, FloatArray]
    reference: tuple[str, str]
    rests_on: Mapping[str, str]

    @classmethod
    def of(cls, stored: Stored, plain: Stored | None) -> Way:
        """The way of some traces, with the plain fine-tuning's where there are any.

        Raises:
            MismatchError: the two are of other rows.
        """
        right, told = [], []
        for split in ("validation", "test"):
            trace: Trace = getattr(stored, split)
            found = {"last exit": last_right(trace, stored.deployment)}
            if plain is not None:
                other: Trace = getattr(plain, split)
                if other.guids != trace.guids:
                    raise MismatchError(
                        f"the {split} traces {stored.entry} and {plain.entry} are of other rows"
                    )
                found["plain fine-tuning"] = last_right(other, plain.deployment)
            best = max(found, key=lambda name: found[name].mean())
            right.append(found[best])
            told.append(best)
        digests = {f"{stored.entry}/{file}": sha for file, sha in stored.card.sha256.items()}
        if plain is not None:
            digests |= {f"{plain.entry}/{file}": sha for file, sha in plain.card.sha256.items()}
        return cls(stored, (right[0], right[1]), (told[0], told[1]), digests)


def last_right(trace: Trace, deployment: Deployment) -> FloatArray:
    """(N,) 1 where the last tier alone is right."""
    tier = deployment.tiers[-1]
    return trace.correct[:, trace.column(tier.layer, tier.source)].astype(np.float64)


@dataclass(frozen=True, eq=False)
class Shown:
    """A policy at one stand of its knob.

    Attributes:
        told: ``cascade at lambda 0.01``.
        policy: fitted.
        seen_right, seen_cost: (V,) chance to be right and cost of each validation row; of a system
            that learns from rows, by fits that had not seen the row in question.
        right, cost: (N,) of each test row.
    """

    told: str
    policy: Policy
    seen_right: FloatArray
    seen_cost: FloatArray
    right: FloatArray
    cost: FloatArray


def shown_along(one: System, inputs: FitInputs, test: Trace, seed: int) -> list[Shown]:
    """A system along its knob, on the validation and on the test rows.

    Raises:
        ConfigError: it is not for these traces.
    """
    if one.needs:
        raise ConfigError(f"{one.name} needs a training of its own, which is not in the collection")
    stands = []
    for each in stands_of(one, inputs, seed):
        policy, settings = each.fitted.policy, each.fitted.settings
        told = ", ".join(f"{key} {value}" for key, value in settings.items())
        if each.lam is not None:
            told = f"at lambda {each.lam:g}"
        shown = replay(policy, test, inputs.deployment)
        stands.append(
            Shown(
                f"{one.name} {told}".strip(), policy, each.right, each.cost, shown.right, shown.cost
            )
        )
    return stands


def part_of(
    way: Way, plan: Plan, scenarios: Sequence[Scenario], names: Sequence[str] = ()
) -> Record:
    """All figures of one way.

    Args:
        way: the traces and the reference.
        plan: λ, draws, and the prices but for γ.
        scenarios: in which the policies that lose at most half a point are timed too.
        names: of the systems; all that are registered by default.

    Returns:
        JSON values: ``charges`` has for each γ a line a system.
    """
    start, stored = time.perf_counter(), way.stored
    charges = {}
    for charge in CHARGES:
        costs = replace(plan.cost_model(), cloud_charge=charge)
        whole = charge == CHARGES[0]
        timed = scenarios if whole else ()
        charges[f"{charge:g}"] = _at_charge(way, plan, costs, timed, names or tuple(systems()))
    return {
        "version": VERSION,
        "rests_on": dict(way.rests_on),
        "recipe": stored.card.recipe,
        "task": stored.name,
        "seed": stored.card.seed,
        "rows": {"validation": len(stored.validation), "test": len(stored.test)},
        "reference": {
            "validation": {"is": way.reference[0], "right": float(way.right[0].mean())},
            "test": {"is": way.reference[1], "right": float(way.right[1].mean())},
        },
        "tiers": [
            {"name": tier.name, "layer": tier.layer, "right": _tier_right(stored, place)}
            for place, tier in enumerate(stored.deployment.tiers)
        ],
        "charges": charges,
        "seconds": round(time.perf_counter() - start, 1),
    }


def _tier_right(stored: Stored, place: int) -> float:
    tier = stored.deployment.tiers[place]
    return float(stored.test.correct[:, stored.test.column(tier.layer, tier.source)].mean())


def _at_charge(
    way: Way,
    plan: Plan,
    costs: CostModel,
    scenarios: Sequence[Scenario],
    names: Sequence[str],
) -> Record:
    deployment = deployment_of(way.stored.card, costs)
    inputs = replace(way.stored.inputs(plan.lam), deployment=deployment)
    drops = ALLOWED if costs.cloud_charge == CHARGES[0] else (HALF,)
    judge = Judge(way, deployment, plan.draws, scenarios, drops)
    tiers = judge.singles(inputs)
    oracle = judge.point(judge.of(OraclePolicy(), inputs.validation))
    plain = [judge.point(one) for one in tiers]
    lines, left_out = {SINGLE: judge.line(tiers)}, {}
    for name in names:
        one = systems()[name]
        try:
            stands = shown_along(one, inputs, way.stored.test, plan.seeds[0])
        except ConfigError as error:
            left_out[name] = str(error).removeprefix(f"{name} ")
            continue
        line = judge.line(stands)
        points = tuple(judge.point(each) for each in stands)
        curves = Curves((), tuple(plain), oracle, plan.draws, plan.seeds[0])
        curve = Curve(name, one.title, "", points)
        line["area_share"] = _rounded(curves.area_share(curve))
        if scenarios and name in DRAWN:
            line["front"] = [[_rounded(p.cost), _rounded(p.accuracy)] for p in curve.front()]
        lines[name] = line
    return {
        "price": float(deployment.prices[-1]),
        "oracle": {"saved": _rounded(oracle.reduction), "drop": _rounded(oracle.drop)},
        "systems": lines,
        **({"left_out": left_out} if scenarios else {}),
    }


class Judge:
    """Figures of stands against a way's reference.

    Args:
        way: the reference.
        deployment: the tiers at one γ.
        draws: of the bootstrap.
        scenarios: to time in.
        drops: allowed on validation, for each of which a stand is chosen.
    """

    def __init__(
        self,
        way: Way,
        deployment: Deployment,
        draws: int,
        scenarios: Sequence[Scenario],
        drops: Sequence[float] = ALLOWED,
    ) -> None:
        self.way, self.deployment, self.draws = way, deployment, draws
        self.scenarios, self.drops = scenarios, drops
        self.last = float(deployment.prices[-1])

    def of(self, policy: Policy, validation: Trace) -> Shown:
        """A policy that has learnt nothing of any row."""
        seen = replay(policy, validation, self.deployment)
        shown = replay(policy, self.way.stored.test, self.deployment)
        return Shown(policy.name, policy, seen.right, seen.cost, shown.right, shown.cost)

    def singles(self, inputs: FitInputs) -> list[Shown]:
        """Every tier alone."""
        return [self.of(each.policy, inputs.validation) for each in single_tiers(inputs)]

    def line(self, stands: Sequence[Shown]) -> Record:
        """The stand that is chosen for each drop, as JSON values; None where all lose more."""
        chosen: dict[str, Record | None] = {}
        for allowed in self.drops:
            best = self._chosen(stands, allowed)
            timed = allowed == HALF and self.scenarios
            chosen[f"{allowed:g}"] = None if best is None else self._figures(best, bool(timed))
        return {"stands": len(stands), "chosen": chosen}

    def _seen(self, stand: Shown) -> tuple[float, float]:
        """Drop and saving on validation."""
        drop = float(self.way.right[0].mean() - stand.seen_right.mean())
        return drop, 1 - float(stand.seen_cost.mean()) / self.last

    def _chosen(self, stands: Sequence[Shown], allowed: float) -> Shown | None:
        within = [one for one in stands if self._seen(one)[0] <= allowed + 1e-12]
        return max(within, key=lambda one: self._seen(one)[1], default=None)

    def _figures(self, stand: Shown, timed: bool) -> Record:
        lost = self.way.right[1] - stand.right
        both = np.stack([lost, 1 - stand.cost / self.last], axis=1)
        # The rows of the two are drawn alike; of each the error of its mean is kept.
        errors = [float(bootstrap_means(both[:, [k]], self.draws, 0).std(ddof=1)) for k in range(2)]
        drop, saved = self._seen(stand)
        told = {
            "policy": stand.told,
            "saved": _rounded(both[:, 1].mean()),
            "saved_error": _rounded(errors[1]),
            "drop": _rounded(both[:, 0].mean()),
            "drop_error": _rounded(errors[0]),
            "right": _rounded(stand.right.mean()),
            "seen_saved": _rounded(saved),
            "seen_drop": _rounded(drop),
        }
        return told | ({"scenarios": self._timed(stand)} if timed else {})

    def point(self, stand: Shown) -> CurvePoint:
        """For a curve; its intervals are not asked for."""
        seen_drop, seen_saved = self._seen(stand)
        drop = float((self.way.right[1] - stand.right).mean())
        cost = float(stand.cost.mean())
        saved = 1 - cost / self.last
        return CurvePoint(
            accuracy=float(stand.right.mean()),
            cost=cost,
            drop=drop,
            drop_low=drop,
            drop_high=drop,
            reduction=saved,
            reduction_low=saved,
            reduction_high=saved,
            validation_drop=seen_drop,
            validation_reduction=seen_saved,
        )

    def _timed(self, stand: Shown) -> Record:
        """Savings of milliseconds and millijoules in each scenario, against the last tier alone."""
        replays = [self._last_alone, self._sent(stand.policy)]
        told: Record = {}
        for scenario in self.scenarios:
            whole, part = computing_table(replays, self._computing, [scenario])
            told[scenario.name] = {
                key: _rounded(1 - part[key] / whole[key]) for key in ("milliseconds", "millijoules")
            }
        return told

    def _sent(self, policy: Policy) -> Replay:
        """A policy's replay of the test rows, with the bytes of texts that tiers are sent."""
        stored = self.way.stored
        one = replay(policy, stored.test, self.deployment)
        if (texts := stored.test.extra.get(TEXT_BYTES)) is None:
            return one
        sent = [k for k, tier in enumerate(stored.card.tiers) if tier.sent == "text"]
        return replace(one, usage=one.usage.sending(texts, sent))

    @cached_property
    def _last_alone(self) -> Replay:
        router = SingleTierRouter(self.deployment.last)
        return self._sent(RouterPolicy(reference_name(self.deployment), router))

    @cached_property
    def _computing(self) -> Computing:
        test, card = self.way.stored.test, self.way.stored.card
        models = card.backbone if isinstance(card.backbone, Mapping) else {}
        known = [tier for tier in card.tiers if tier.source in models]
        return computing_by(
            test,
            self.deployment,
            shapes_by_tier(card) or {name: shape_of(card, name) for name in card.shapes},
            {tier.name: packaged_profile(models[tier.source]) for tier in known},
            {name: recorded_lengths(test, name) for name in self.deployment.names},
        )


def _rounded(value: Any) -> float | None:
    return None if value is None else round(float(value), _DIGITS) + 0.0
