"""Fit the router: thresholds on the validation split, pools, centres (paper, section IV)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from dimec.base.errors import ConfigError, option
from dimec.base.storage import write_json
from dimec.cartography import DataMap, betas_of, pool_names
from dimec.cartography.thresholds import Grid, ThresholdSearch, grid_of
from dimec.evaluation.evaluate import evaluate
from dimec.evaluation.replay import standard_policies
from dimec.policies import RouterPolicy
from dimec.policies.dimec import fit_router
from dimec.policies.kinds import StoredPolicy
from dimec.routing import CentroidRouter
from dimec.runs.deploying import Basis
from dimec.runs.workspace import RunDirectory
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace

ROUTER = "dimec"  # the paper's router, which a run is fitted with where nothing else is wanted
DEFAULT_LAMBDA = 0.02
LAMBDAS = tuple(np.geomspace(0.0005, 0.1, 47).round(6).tolist())  # tried for a wanted drop

_POINT = 0.01  # of accuracy, which a tier or a router may lose to be advised
_NOTHING = 0.01  # of the cost: who saves less saves nothing


@dataclass(frozen=True)
class FitResult:
    """What a fit found, all of it on the validation split.

    Attributes:
        alpha: the threshold of confidence; None where there is one tier.
        beta: the threshold of variance: a number for three tiers, None for fewer, several for more.
        lam: λ, as given, or as solved for from the wanted drop.
        grid: which grid was searched.
        tiers: (m, n, l), or the exits of any number of tiers.
        names: of the tiers.
        reward: mean reward of the thresholds on the validation split.
        pools: number of samples in each tier's pool: the easy, the medium and the hard.
        empty: names of the empty pools (:func:`dimec.cartography.pool_names`); their tiers get no
            traffic.
        validation_drop, validation_reduction: of dimec-fixed on the validation split itself, where
            the router was fitted: an optimistic view.
        advice: what to try where the router saves nothing there, in sentences; else empty.
        sources: of the model behind each tier, "" where one model is cut into tiers.
    """

    alpha: float | None
    beta: float | tuple[float, ...] | None
    lam: float
    grid: str
    tiers: tuple[int, ...]
    names: tuple[str, ...]
    reward: float
    pools: tuple[int, ...]
    empty: tuple[str, ...]
    validation_drop: float
    validation_reduction: float
    advice: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class FittingProblem:
    """All that a fit depends on but λ.

    Attributes:
        trace: of the N validation samples.
        data_map: of the same samples, at the first tier's exit.
        deployment: the tiers at their prices.
        grid: which grid of thresholds to search.
        alphas, betas: values of their own in place of the grid's.
    """

    trace: Trace
    data_map: DataMap
    deployment: Deployment
    grid: Grid
    alphas: Sequence[float] | None = None
    betas: Sequence[float] | None = None

    @classmethod
    def of(
        cls,
        run: RunDirectory,
        basis: Basis,
        grid: Grid,
        alphas: Sequence[float] | None,
        betas: Sequence[float] | None,
    ) -> Self:
        """That of a run.

        Raises:
            ConfigError: its traces were recorded without a data map.
        """
        if basis.data_map is None:
            raise ConfigError(
                f"the traces of {run.path} have no data map at the first tier's exit, which "
                f"the paper's router is made from; fit another system, such as "
                f"{option('policy', 'cascade')}"
            )
        return cls(basis.trace, basis.data_map, basis.deployment, grid, alphas, betas)

    def fit(self, lam: float) -> tuple[FitResult, CentroidRouter, ThresholdSearch]:
        """Search α and β, build the pools, and take their centres.

        Raises:
            ConfigError: a negative λ, a grid without values, exits that the trace does not have.
        """
        deployment = self.deployment
        router, search = fit_router(
            self.trace, self.data_map, deployment, lam, self.grid, self.alphas, self.betas
        )
        sizes = router.counts.tolist()
        policy = RouterPolicy("dimec-fixed", router)
        row = evaluate(self.trace, [policy], deployment, draws=1).row(policy.name)
        own_values = self.alphas is not None or self.betas is not None
        result = FitResult(
            alpha=search.alpha,
            beta=search.beta,
            lam=lam,
            grid="custom" if own_values else self.grid,
            tiers=deployment.exits,
            names=deployment.names,
            reward=search.reward,
            pools=tuple(sizes),
            empty=tuple(
                name
                for name, size in zip(pool_names(deployment.names), sizes, strict=True)
                if not size
            ),
            validation_drop=row.drop,
            validation_reduction=row.reduction,
            sources=deployment.sources,
        )
        return result, router, search

    def cheapest_lambda(self, target_drop: float) -> float:
        """The λ of a fixed ladder whose router is the cheapest that loses at most ``target_drop``.

        Drop and reduction are those on the validation split, where the router is fitted. They do
        not move evenly with λ, since the router sees embeddings and not the data map; so every
        step of the ladder is tried. Ties go to the smaller λ.

        Raises:
            ConfigError: none keeps the drop; says how near the best came.
        """
        if not 0 <= target_drop < 1:
            raise ConfigError(
                f"the wanted drop must be a fraction from 0 to below 1, got {target_drop!r}"
            )
        if not (fitting := self._within(target_drop)):
            nearest = min(self._ladder, key=lambda result: result.validation_drop)
            raise ConfigError(
                f"no lambda from {LAMBDAS[0]:g} to {LAMBDAS[-1]:g} keeps the drop on the "
                f"validation split at {100 * target_drop:g} points; the nearest is "
                f"{100 * nearest.validation_drop:.2f} points at lambda {nearest.lam:g}; allow a "
                f"larger drop, or deepen the {self.deployment.names[0]}'s exit"
            )
        return max(fitting, key=_saving).lam

    def advice(self, result: FitResult) -> tuple[str, ...]:
        """What to try in place of a router that saves nothing on the validation split.

        That is the cheapest single tier and the cheapest router of the ladder that lose at most a
        point, or no more than the router itself; where no router of the ladder does, the one that
        loses least. No advice where the router saves something, or there is one tier.
        """
        if result.validation_reduction >= _NOTHING or len(self.deployment) == 1:
            return ()
        allowed = max(_POINT, result.validation_drop)
        return (*self._single_tier(allowed), self._other_lambda(allowed))

    def _single_tier(self, allowed: float) -> list[str]:
        names = self.deployment.names
        policies = standard_policies({}, names)
        ledger = evaluate(self.trace, policies, self.deployment, draws=1)
        rows = [(name, ledger.row(f"all-{name}")) for name in names[:-1]]
        fitting = [
            (name, row) for name, row in rows if row.drop <= allowed and row.reduction >= _NOTHING
        ]
        if not fitting:
            return []
        name, row = min(fitting, key=lambda pair: pair[1].cost)
        told = drop_and_reduction(row.drop, row.reduction)
        return [f"on the validation split the {name} tier alone, without a router, has {told}"]

    def _other_lambda(self, allowed: float) -> str:
        saving = [one for one in self._ladder if one.validation_reduction >= _NOTHING]
        lowest = min(grid_of(self.data_map, self.grid)[0] if self.alphas is None else self.alphas)
        if not saving and (highest := float(self.data_map.confidence.max())) < lowest:
            return (
                f"no sample's confidence reaches alpha {lowest:g}, the highest is {highest:.2g}; "
                "try smaller values with --alphas"
            )
        if not saving:
            return (
                f"no lambda from {LAMBDAS[0]:g} to {LAMBDAS[-1]:g} gives a router that saves "
                "anything on the validation split"
            )
        within = [one for one in saving if one.validation_drop <= allowed]
        best = (
            max(within, key=_saving)
            if within
            else min(saving, key=lambda one: (one.validation_drop, -one.validation_reduction))
        )
        points = max(1, math.ceil(round(1000 * best.validation_drop, 6)) / 10)
        told = drop_and_reduction(best.validation_drop, best.validation_reduction)
        return f"try --target-drop {points:g}: lambda {best.lam:g} has {told}"

    @cached_property
    def _ladder(self) -> tuple[FitResult, ...]:
        """What every λ of the ladder gives."""
        return tuple(self.fit(lam)[0] for lam in LAMBDAS)

    def _within(self, drop: float) -> list[FitResult]:
        """The results of the ladder that lose no more than ``drop`` on the validation split."""
        return [result for result in self._ladder if result.validation_drop <= drop]


def _saving(result: FitResult) -> tuple[float, float]:
    """What the best of several results has most of; ties go to the smaller λ."""
    return result.validation_reduction, -result.lam


def drop_and_reduction(drop: float, reduction: float) -> str:
    """Both in points and percent, for a reader."""
    return f"drop {100 * drop:.2f} points, reduction {100 * reduction:.1f} %"


def fit_run_router(
    run: RunDirectory, problem: FittingProblem, lam: float | None, target_drop: float | None
) -> FitResult:
    """Fit the router and store it as the run's policy, with the whole search in ``fit.json``.

    Args:
        run: whose policy it becomes; its lock is held.
        problem: what the fit depends on.
        lam, target_drop: as :meth:`dimec.runs.run.Run.fit` takes them.

    Raises:
        ConfigError: no λ keeps the wanted drop, and as :meth:`FittingProblem.fit`.
    """
    if target_drop is not None:
        lam = problem.cheapest_lambda(target_drop)
    result, router, search = problem.fit(DEFAULT_LAMBDA if lam is None else lam)
    result = replace(result, advice=problem.advice(result))
    model = problem.trace.model
    found = {key: getattr(result, key) for key in ("alpha", "beta", "lam", "grid")}
    on = fitted_on(model, found, problem.deployment)
    StoredPolicy(RouterPolicy(ROUTER, router), on).save(run.path)
    names = ("alphas", "betas", "rewards", "costs", "shares")
    table = {name: getattr(search, name).tolist() for name in names}
    write_json(run.fit_path, {**asdict(result), "model": model, "search": table})
    return result


def fitted_on(model: str, found: Mapping[str, Any], deployment: Deployment) -> dict[str, Any]:
    """What a stored policy says of its fit: the model, λ and what was found, tiers and prices."""
    costs, pricing = deployment.priced_by, deployment.pricing
    return {
        "model": model,
        **found,
        "tiers": deployment.to_json(),
        "costs": None if costs is None else asdict(costs),
        **({} if pricing is None else {"pricing": pricing.to_json()}),
    }


def told_exits(exits: Sequence[int], names: Sequence[str], sources: Sequence[str]) -> str:
    """The tiers' exits for a reader, by the tiers' names where these have a model each.

    Example:
        >>> told_exits((2, 6), ("phone", "cloud"), ("", ""))
        '2, 6'
        >>> told_exits((2, 6), ("phone", "cloud"), ("phone", "cloud"))
        'phone 2, cloud 6'
    """
    if not any(sources):
        return ", ".join(map(str, exits))
    return ", ".join(f"{name} {layer}" for name, layer in zip(names, exits, strict=True))


def describe_fit(result: FitResult) -> list[str]:
    """Lines for a reader: thresholds, pools, and which tiers get no traffic."""
    pools = pool_names(result.names)
    sizes = ", ".join(f"{size} {name}" for size, name in zip(result.pools, pools, strict=True))
    exits = told_exits(result.tiers, result.names, result.sources)
    lines = [
        f"exits {exits}; lambda {result.lam:g}; grid {result.grid}",
        ", ".join([*_thresholds(result), f"mean reward {result.reward:.4f}"]),
        f"pools: {sizes}",
    ]
    for name, tier in zip(pools, result.names, strict=True):
        if name in result.empty:
            lines.append(f"the {name} pool is empty: the {tier} tier gets no traffic")
    lines.append(
        "on the validation split that it was fitted on: "
        + drop_and_reduction(result.validation_drop, result.validation_reduction)
    )
    return [*lines, *result.advice]


def _thresholds(result: FitResult) -> list[str]:
    """``alpha 0.6`` and ``beta 0.02``, where there are such thresholds."""
    told = [] if result.alpha is None else [f"alpha {result.alpha:.4g}"]
    betas = betas_of(result.beta).tolist()
    return [*told, *([f"beta {' and '.join(f'{b:.4g}' for b in betas)}"] if betas else [])]
