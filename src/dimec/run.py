"""A run from Python: train, fit, evaluate, report. The command line does the same."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dimec.__about__ import __version__
from dimec.cartography import POOL_NAMES, build_pools, pool_sizes
from dimec.costs import TIER_NAMES, CostModel, check_tiers
from dimec.errors import ConfigError, MismatchError
from dimec.evaluation import Ledger, evaluate, standard_policies
from dimec.progress import NoProgress, Progress
from dimec.routing import CentroidRouter
from dimec.storage import write_json
from dimec.thresholds import Grid, search_thresholds
from dimec.trace import Trace
from dimec.workspace import RunDirectory

if TYPE_CHECKING:
    from dimec.config import RunSettings

DEFAULT_LAMBDA = 0.01
LAMBDAS = tuple(np.geomspace(0.0005, 0.1, 47).round(6).tolist())  # tried for a wanted drop


@dataclass(frozen=True)
class FitResult:
    """What :meth:`Run.fit` found.

    Attributes:
        alpha, beta: the thresholds.
        lam: λ, as given, or as solved for from the wanted drop.
        grid: which grid was searched.
        tiers: (m, n, l).
        reward: mean reward of the thresholds on the validation split.
        pools: number of samples in the easy, medium and hard pool.
        empty: names of the empty pools; their tiers get no traffic.
        validation_drop, validation_reduction: of dimec-fixed on the validation split itself, where
            the router was fitted: an optimistic view.
    """

    alpha: float
    beta: float
    lam: float
    grid: str
    tiers: tuple[int, int, int]
    reward: float
    pools: tuple[int, int, int]
    empty: tuple[str, ...]
    validation_drop: float
    validation_reduction: float


class Run(RunDirectory):
    """A trained run: its directory, and the steps that follow training.

    Example:
        >>> run = dimec.train(task="csv:reviews.csv", out="runs/mine")  # doctest: +SKIP
        >>> run.fit(lam=0.01)  # doctest: +SKIP
        >>> print(run.evaluate().row("dimec-fixed").reduction)  # doctest: +SKIP
    """

    def fit(
        self,
        *,
        lam: float | None = None,
        target_drop: float | None = None,
        grid: Grid = "quantile",
        alphas: Sequence[float] | None = None,
        betas: Sequence[float] | None = None,
        tiers: Sequence[int] | None = None,
        cost_model: CostModel | None = None,
    ) -> FitResult:
        """Choose α and β on the validation split, build the pools, and fit the router.

        Args:
            lam: λ, the weight of one unit of cost against confidence; 0.01 by default.
            target_drop: in place of ``lam``: the λ is taken whose router is the cheapest of those
                that lose at most this much accuracy (a fraction) against all-cloud on the
                validation split, where it is fitted.
            grid: ``"quantile"`` or ``"paper"``, see :func:`dimec.thresholds.grid_of`.
            alphas, betas: values of their own in place of the grid's.
            tiers: exits (m, n, l) in place of those of training.
            cost_model: the paper's by default.

        Raises:
            ConfigError: both ``lam`` and ``target_drop``, exits that the model does not have.
            ArtefactError: the run is not trained, or damaged.
        """
        with self.locked():
            return _fit(self, lam, target_drop, grid, alphas, betas, tiers, cost_model)

    def evaluate(self, *, draws: int = 1000, seed: int = 0) -> Ledger:
        """Replay every policy on the test trace; writes ``report/ledger.json``.

        Raises:
            ArtefactError: the run is not fitted, or damaged.
        """
        with self.locked():
            return _evaluate(self, draws, seed)

    def report(self, *, seed: int = 0, progress: Progress | None = None) -> Path:
        """Draw the figures and write ``report/report.html``; returns its path.

        Raises:
            ArtefactError: the run is not evaluated, or damaged.
            MissingExtraError: matplotlib or openTSNE is not installed.
        """
        with self.locked():
            return _report(self, seed, progress or NoProgress())


def train(
    *,
    task: str,
    out: Path | str,
    backbone: str = "minilm-l6",
    exits: Sequence[int] | str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    seed: int = 0,
    **options: Any,
) -> Run:
    """Train a multi-exit classifier and record its dynamics and traces.

    Args:
        task: ``glue/NAME``, ``vader/NAME``, or ``csv:PATH`` (tsv, jsonl, parquet alike).
        out: the run directory; an interrupted run goes on, a finished one is taken as it is.
        backbone: a folder, a hub name, or the packaged encoder ``minilm-l6``.
        exits: layers with a classifier, or ``"all"``; by default a third, a half and all layers.
        overwrite: discard what ``out`` holds.
        progress: where to report to, for example :class:`dimec.progress.RichProgress`.
        seed: of the split, the initialisation and the order.
        options: any other setting of :class:`dimec.config.DataSettings`,
            :class:`~dimec.config.ModelSettings` or :class:`~dimec.config.TrainingSettings`.

    Raises:
        DimecError: see :func:`dimec.training.train_run`.
    """
    values = {"task": task, "backbone": backbone, "exits": exits, **options}
    settings = settings_of(values, seed)
    from dimec.training import train_run

    return Run(train_run(settings, out, overwrite=overwrite, progress=progress).path)


def settings_of(values: dict[str, Any], seed: int) -> RunSettings:
    """Settings from flat names; None leaves a setting at its default.

    Raises:
        ConfigError: an unknown name, or a value that is out of range.
    """
    from pydantic import BaseModel

    from dimec.config import DataSettings, ModelSettings, RunSettings, TrainingSettings

    groups: dict[str, type[BaseModel]] = {
        "data": DataSettings,
        "model": ModelSettings,
        "training": TrainingSettings,
    }
    nested: dict[str, dict[str, Any]] = {name: {} for name in groups}
    for key, value in values.items():
        homes = [name for name, group in groups.items() if key in group.model_fields]
        if not homes:
            raise ConfigError(f"unknown setting {key!r}")
        if value is not None:
            nested[homes[0]][key] = value
    return RunSettings.of({**nested, "seed": seed})


def _fit(
    run: Run,
    lam: float | None,
    target_drop: float | None,
    grid: Grid,
    alphas: Sequence[float] | None,
    betas: Sequence[float] | None,
    tiers: Sequence[int] | None,
    cost_model: CostModel | None,
) -> FitResult:
    if lam is not None and target_drop is not None:
        raise ConfigError("give either lam or target_drop, not both: the one determines the other")
    training, trace, dynamics = run.training(), run.trace("validation"), run.dynamics()
    if dynamics.guids != trace.guids or not np.array_equal(dynamics.labels, trace.labels):
        raise MismatchError(f"the dynamics and the validation trace of {run.path} differ in rows")
    exits = check_tiers(trace.tiers if tiers is None else tiers)
    costs = cost_model or CostModel()
    data_map = dynamics.data_map(exits[0])
    confidences = trace.confidences[:, trace.columns(exits)]

    def fitted(value: float) -> tuple[FitResult, CentroidRouter, dict[str, Any]]:
        search = search_thresholds(
            data_map, confidences, costs, value, alphas, betas, exits=exits, grid=grid
        )
        pools = build_pools(data_map, search.alpha, search.beta)
        router = CentroidRouter().fit(trace.embeddings, pools)
        drop, reduction = _on_validation(trace, router, costs, exits)
        sizes = pool_sizes(pools)
        empty = tuple(name for name, size in zip(POOL_NAMES, sizes, strict=True) if not size)
        named = "custom" if alphas is not None or betas is not None else grid
        result = FitResult(
            search.alpha,
            search.beta,
            value,
            named,
            exits,
            search.reward,
            sizes,
            empty,
            drop,
            reduction,
        )
        table = {
            name: getattr(search, name).tolist()
            for name in ("alphas", "betas", "rewards", "costs", "shares")
        }
        return result, router, table

    value = DEFAULT_LAMBDA if lam is None else lam
    if target_drop is not None:
        value = _cheapest_lambda(lambda lam: fitted(lam)[0], target_drop)
    result, router, table = fitted(value)
    router.metadata = {
        "model": training["model"],
        "alpha": result.alpha,
        "beta": result.beta,
        "lam": result.lam,
        "grid": result.grid,
        "tiers": list(exits),
        "costs": asdict(costs),
    }
    router.save(run.router_path)
    write_json(run.fit_path, {**asdict(result), "model": training["model"], "search": table})
    return result


def _on_validation(
    trace: Trace, router: CentroidRouter, costs: CostModel, exits: tuple[int, int, int]
) -> tuple[float, float]:
    """Drop and reduction of the fixed router on the split that it was fitted on."""
    policies = [p for p in standard_policies({"dimec-fixed": router}) if p.name == "dimec-fixed"]
    row = evaluate(trace, policies, costs.tiers(exits), draws=1).row("dimec-fixed")
    return row.drop, row.reduction


def _cheapest_lambda(fit_at: Callable[[float], FitResult], target: float) -> float:
    """The λ of a fixed ladder whose router is the cheapest that loses at most ``target``.

    Drop and reduction are those on the validation split. They do not move evenly with λ, since the
    router sees embeddings and not the data map; so every step of the ladder is tried. Ties go to
    the smaller λ.

    Raises:
        ConfigError: none keeps the drop; says how near the best came.
    """
    if not 0 <= target < 1:
        raise ConfigError(f"the wanted drop must be a fraction from 0 to below 1, got {target!r}")
    results = [fit_at(lam) for lam in LAMBDAS]
    fitting = [result for result in results if result.validation_drop <= target]
    if not fitting:
        nearest = min(results, key=lambda result: result.validation_drop)
        raise ConfigError(
            f"no lambda from {LAMBDAS[0]:g} to {LAMBDAS[-1]:g} keeps the drop on the validation "
            f"split at {100 * target:g} points; the nearest is "
            f"{100 * nearest.validation_drop:.2f} points at lambda {nearest.lam:g}; allow a larger "
            "drop, or deepen the mobile's exit"
        )
    return max(fitting, key=lambda result: (result.validation_reduction, -result.lam)).lam


def _evaluate(run: Run, draws: int, seed: int) -> Ledger:
    training, trace, router = run.training(), run.trace("test"), run.router()
    fit = router.metadata
    exits, costs = check_tiers(fit["tiers"]), CostModel(**fit["costs"])
    tiers = costs.tiers(exits)
    routers = {
        "dimec-fixed": router.copy(adaptive=False),
        "dimec-adaptive": router.copy(adaptive=True),
    }
    context = {
        "task": training["task"],
        "source": training["source"],
        "backbone": training["backbone"],
        "exits": list(exits),
        "samples": len(trace),
        "train_rows": training["rows"]["train"],
        "validation_rows": training["rows"]["validation"],
        "epochs": len(training["history"]),
        "best_epoch": training["best_epoch"],
        "alpha": fit["alpha"],
        "beta": fit["beta"],
        "grid": fit["grid"],
        "lam": fit["lam"],
        "seed": training["seed"],
        "bootstrap_seed": seed,
        "draws": draws,
        "costs": fit["costs"],
        "cloud_charge": costs.charge(exits[2]),
        "prices": [tier.price for tier in tiers],
        "model": training["model"],
        "versions": {**training["versions"], "dimec": __version__},
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    policies = standard_policies(routers)
    ledger = evaluate(trace, policies, tiers, draws=draws, seed=seed, context=context)
    ledger.save(run.report_path)
    return ledger


def _report(run: Run, seed: int, progress: Progress) -> Path:
    from dimec.report import ReportInputs, write_report

    ledger = Ledger.load(run.report_path)
    router, trace, test = run.router(), run.trace("validation"), run.trace("test")
    fit = router.metadata
    if ledger.context.get("model") != fit["model"] or any(
        ledger.context.get(key) != fit[key] for key in ("alpha", "beta", "lam", "costs")
    ):
        raise MismatchError(
            f"the ledger in {run.report_path} is older than the fitted router; "
            f"draw it up again with: dimec evaluate {run.path}"
        )
    exits = check_tiers(fit["tiers"])
    data_map = run.dynamics().data_map(exits[0])
    accuracies = test.correct.mean(axis=0).tolist()
    inputs = ReportInputs(
        ledger=ledger,
        data_map=data_map,
        pools=build_pools(data_map, fit["alpha"], fit["beta"]),
        alpha=fit["alpha"],
        beta=fit["beta"],
        embeddings=trace.embeddings,
        exit_accuracy=dict(zip(test.exits, accuracies, strict=True)),
        tiers=exits,
        seed=seed,
    )
    return write_report(inputs, run.report_path, progress=progress.say)


def describe_fit(result: FitResult) -> list[str]:
    """Lines for a reader: thresholds, pools, and which tiers get no traffic."""
    m, n, l = result.tiers  # noqa: E741
    sizes = ", ".join(f"{size} {name}" for size, name in zip(result.pools, POOL_NAMES, strict=True))
    lines = [
        f"exits {m}, {n}, {l}; lambda {result.lam:g}; grid {result.grid}",
        f"alpha {result.alpha:.4g}, beta {result.beta:.4g}, mean reward {result.reward:.4f}",
        f"pools: {sizes}",
    ]
    for name, tier in zip(POOL_NAMES, TIER_NAMES, strict=True):
        if name in result.empty:
            lines.append(f"the {name} pool is empty: the {tier} tier gets no traffic")
    lines.append(
        f"on the validation split that it was fitted on: drop {100 * result.validation_drop:.2f} "
        f"points, reduction {100 * result.validation_reduction:.1f} %"
    )
    return lines
