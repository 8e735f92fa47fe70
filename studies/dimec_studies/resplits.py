"""How often a contract is broken, and what it costs, over many resplits of real traces.

Policies are fitted a few times, each time to another part of the validation split; beside each fit
calibrations are drawn many times, with replacement, from all other rows
(:mod:`dimec_studies.populations`). A contract is broken where a policy is accepted whose drop in
that population is over Δ. The draws of a fit are independent, and each breaks its contract with a
probability of at most α whatever was fitted: so few more of them do than of a binomial number.

Rows are drawn once for all policies of a fit, so their losses depend on each other as they do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from dimec.base.arrays import BoolArray, FloatArray, IntArray
from dimec.base.progress import Progress
from dimec.contract import binomial
from dimec.contract.losses import Terms
from dimec.contract.registry import TESTS
from dimec_studies.calibrations import Draws, accepted, passes
from dimec_studies.drifts import Audits, drifts
from dimec_studies.nested import nested
from dimec_studies.plan import Plan
from dimec_studies.populations import Population, population
from dimec_studies.resplit_tables import tables
from dimec_studies.stored import Stored

__all__ = ["ResplitPlan", "compute", "tables"]

NOTHING, KNOWN = "nothing", "known"  # no promise at all; the best, were every drop known
_EVEN = 1e-12  # drops nearer to each other than this are equal


class ResplitPlan(BaseModel):
    """What is drawn. Shares, not points.

    Attributes:
        seed: of all that is drawn.
        alpha: one minus the confidence.
        fits: how often the policies are fitted.
        resplits: calibrations drawn beside each fit.
        most_fitted: rows that fit at most; else half of the validation split.
        max_drops: Δ.
        rows: sizes of the calibration.
        boundary: Δ for which the path is learnt of which a policy is then put on the boundary.
        simulated: calibrations drawn for each simulation.
        sizes: of the calibration in simulations.
        systems: to fit; every one that can be served, where none is given.
        audits: of the monitors.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 0
    alpha: float = 0.05
    fits: int = 10
    resplits: int = 100
    most_fitted: int = 1_000
    max_drops: tuple[float, ...] = (0.005, 0.01, 0.02)
    rows: tuple[int, ...] = (500, 1_000, 2_000, 4_000)
    boundary: float = 0.01
    simulated: int = 2_000
    sizes: tuple[int, ...] = (1_000, 4_000)
    systems: tuple[str, ...] = ()
    audits: Audits = Audits()


def compute(
    stored: Sequence[Stored], plan: Plan, progress: Progress, how: ResplitPlan | None = None
) -> dict[str, Any]:
    """Everything about the contract on real traces, and the simulations beside it.

    Args:
        stored: traces, of one task each.
        plan: the profile that they were made by.
        progress: a step for each fit.
        how: what is drawn.

    Returns:
        JSON values: ``how``, ``tasks``, ``resplits``, ``boundary``, ``nested`` and ``drift``.
    """
    how = how or ResplitPlan()
    result: dict[str, Any] = {
        "profile": plan.name,
        "how": how.model_dump(mode="json"),
        **{part: [] for part in ("tasks", "resplits", "boundary", "drift")},
        "nested": nested(how.simulated, how.alpha, how.seed, how.sizes),
    }
    progress.start("resplits under the contract", len(stored) * how.fits)
    for one in stored:
        draws = []
        for fit in range(how.fits):
            drawn = population(one, how.seed + fit, how.most_fitted, how.systems)
            draws.append(Draws.of(drawn, how.resplits, max(how.rows), (how.seed, fit)))
            progress.advance(1, one.name)
        populations = [each.population for each in draws]
        result["tasks"].append(_told(populations))
        for part, lines in (
            ("resplits", lines_of(draws, how)),
            ("boundary", _boundary(draws, how)),
            ("drift", drifts(populations, how.alpha, how.boundary, how.seed, how.audits)),
        ):
            result[part] += [{"task": one.name, **line} for line in lines]
    progress.end()
    return result


def _told(populations: Sequence[Population]) -> dict[str, Any]:
    first = populations[0]
    return {
        "task": first.name,
        "fitted": len(first.inputs.validation),
        "rows": len(first),
        "policies": round(float(np.mean([len(one.candidates) for one in populations])), 1),
    }


# --- Resplits ------------------------------------------------------------------------------------


def lines_of(
    draws: Sequence[Draws], how: ResplitPlan, tests: Sequence[str] = tuple(TESTS)
) -> Iterator[dict[str, Any]]:
    """A line for each Δ, size of the calibration, and way to choose.

    Args:
        draws: of each fit.
        how: what is drawn.
        tests: by which something is chosen, beside no test at all and every drop known.
    """
    for n in how.rows:
        times = [one.times(n) for one in draws]
        for delta in how.max_drops:
            if n < Terms(delta, how.alpha).fewest_rows():
                continue
            setting = {"max_drop": delta, "rows": n}
            for test in tests:
                parts = [
                    _chosen(one, each, n, delta, how.alpha, test)
                    for one, each in zip(draws, times, strict=True)
                ]
                yield {**setting, "test": test, **_sum(parts)}
            parts = [
                _unpromised(one, each, n, delta) for one, each in zip(draws, times, strict=True)
            ]
            yield {**setting, "test": NOTHING, **_sum(parts)}
            yield {**setting, "test": KNOWN, **_sum([_known(one, delta) for one in draws])}


Part = tuple[BoolArray, BoolArray, FloatArray]  # (R,) broken, accepted, saved


def _chosen(draws: Draws, times: FloatArray, n: int, delta: float, alpha: float, test: str) -> Part:
    """What is accepted by a test, along the path that it would be asked to try."""
    drawn, labelled = draws.population, TESTS[test].labels
    places = drawn.path(delta, alpha, n, labelled)
    counts = draws.counts(times, places)
    passed = passes(test, draws, places, counts, n, (delta, alpha))
    number = accepted(passed, len(draws.rows), len(places))
    lost = drawn.true_drop if labelled else drawn.true_different
    took = np.array(places)[number - 1]  # that of none is not looked at
    any_: BoolArray = number > 0
    broken: BoolArray = any_ & (lost[took] > delta + _EVEN)
    return broken, any_, np.where(any_, drawn.true_saving[took], 0.0)


def _unpromised(draws: Draws, times: FloatArray, n: int, delta: float) -> Part:
    """The cheapest of all policies whose drop on the calibration rows is at most Δ."""
    drawn = draws.population
    counts = draws.counts(times, range(len(drawn.candidates)))
    saved = times @ drawn.saved.T
    within = counts.plus - counts.minus <= n * delta + _EVEN
    took: IntArray = np.where(within, saved, -np.inf).argmax(axis=1)
    broken: BoolArray = drawn.true_drop[took] > delta + _EVEN
    return broken, np.ones(len(took), bool), drawn.true_saving[took]


def _known(draws: Draws, delta: float) -> Part:
    """The cheapest of all policies that keep the contract in the population."""
    drawn, resplits = draws.population, len(draws.rows)
    best = drawn.true_saving[drawn.true_drop <= delta + _EVEN].max()
    return np.zeros(resplits, bool), np.ones(resplits, bool), np.full(resplits, best)


def _sum(parts: Sequence[Part]) -> dict[str, Any]:
    broken, any_, saved = (np.concatenate(column) for column in zip(*parts, strict=True))
    return {
        **rate(int(broken.sum()), len(broken)),
        "accepted": float(any_.mean()),
        "saved": float(saved.mean()),
    }


def rate(broken: int, resplits: int) -> dict[str, Any]:
    """A share with its Clopper-Pearson interval at 95 %.

    Example:
        >>> rate(0, 100)
        {'resplits': 100, 'broken': 0, 'low': 0.0, 'high': 0.0362}
    """
    low, high = binomial.lower(broken, resplits, 0.025), binomial.upper(broken, resplits, 0.025)
    return {
        "resplits": resplits,
        "broken": broken,
        "low": round(low, 4),
        "high": round(high, 4),
    }


# --- Exactly on the boundary ---------------------------------------------------------------------


def _boundary(draws: Sequence[Draws], how: ResplitPlan) -> Iterator[dict[str, Any]]:
    """A line for each size and test: how often a policy is accepted whose drop is Δ exactly.

    Of each fit's path a policy is taken that loses more than those before it, the one whose drop in
    the population is the nearest to the Δ that the path was learnt for; and Δ is set to that drop.
    """
    for n in how.rows:
        places = [_brink(one.population, how, n) for one in draws]
        for test in [name for name, one in TESTS.items() if one.labels]:
            alone = along = resplits = 0
            for one, path in zip(draws, places, strict=True):
                if not path:
                    continue
                delta = float(one.population.true_drop[path[-1]])
                counts = one.counts(one.times(n), path)
                passed = passes(test, one, path, counts, n, (delta, how.alpha))
                size = len(one.rows)
                alone += sum(passed(r, len(path) - 1) for r in range(size))
                along += int((accepted(passed, size, len(path)) == len(path)).sum())
                resplits += size
            if resplits:
                yield {
                    "rows": n,
                    "test": test,
                    "fits": sum(map(bool, places)),
                    "alone": rate(alone, resplits),
                    "along": rate(along, resplits),
                }


def _brink(drawn: Population, how: ResplitPlan, n: int) -> list[int]:
    """The path up to the policy that is put on the boundary; empty where none can be."""
    places = drawn.path(how.boundary, how.alpha, n)
    drops = drawn.true_drop[places]
    ends = [
        k
        for k, drop in enumerate(drops.tolist())
        if drop > max(0.0, *drops[:k].tolist(), 0.0) and n >= Terms(drop, how.alpha).fewest_rows()
    ]
    if not ends:
        return []
    return places[: min(ends, key=lambda k: abs(float(drops[k]) - how.boundary)) + 1]
