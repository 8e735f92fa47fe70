"""A run from Python: train, fit, evaluate, report. The command line does the same."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dimec.__about__ import __version__
from dimec.base.errors import ConfigError, MismatchError, option
from dimec.base.progress import NoProgress, Progress
from dimec.base.storage import read_json, write_json
from dimec.bundle.triton import Backend, check_repository
from dimec.cartography import build_pools
from dimec.cartography.thresholds import Grid, check_thresholds
from dimec.evaluation.evaluate import (
    check_bootstrap,
    draw_up,
    reference_replay,
    replay_all,
    standard_policies,
)
from dimec.evaluation.ledger import Ledger
from dimec.policies import FitInputs, Fitted, system
from dimec.policies import systems as known_systems
from dimec.runs.fitting import DEFAULT_LAMBDA, FitResult, FittingProblem
from dimec.runs.workspace import RunDirectory
from dimec.tiers.costs import CostModel, check_lambda, check_tier_names, check_tiers
from dimec.tiers.latency import ModelShape
from dimec.tiers.scenarios import Scenarios, scenario_table
from dimec.tiers.usage import Deployment

if TYPE_CHECKING:
    from dimec.settings.config import RunSettings
    from dimec.training.export.bundles import ExportReport


class Run(RunDirectory):
    """A trained run: its directory, and the steps that follow training.

    Example:
        >>> run = dimec.train(task="csv:reviews.csv", out="runs/mine")  # doctest: +SKIP
        >>> run.fit(lam=0.02)  # doctest: +SKIP
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
            lam: λ, the weight of one unit of cost against confidence; 0.02 by default.
            target_drop: in place of ``lam``: the λ is taken whose router is the cheapest of those
                that lose at most this much accuracy (a fraction) against all-cloud on the
                validation split, where it is fitted.
            grid: ``"quantile"`` or ``"paper"``, see :func:`dimec.cartography.thresholds.grid_of`.
            alphas, betas: values of their own in place of the grid's.
            tiers: exits (m, n, l) in place of those of training.
            cost_model: the paper's by default.

        Raises:
            ConfigError: both ``lam`` and ``target_drop``, exits that the model does not have.
            ArtefactError: the run is not trained, or damaged.
        """
        if lam is not None and target_drop is not None:
            raise ConfigError(
                f"give either {option('lam')} or {option('target_drop')}, not both: the one "
                "determines the other"
            )
        check_lambda(DEFAULT_LAMBDA if lam is None else lam)
        check_thresholds(grid, alphas, betas)
        with self.locked():
            trace, dynamics = self.trace("validation"), self.dynamics()
            same_labels = np.array_equal(dynamics.labels, trace.labels)
            if dynamics.guids != trace.guids or not same_labels:
                raise MismatchError(
                    f"the dynamics and the validation trace of {self.path} differ in rows"
                )
            exits = check_tiers(trace.tiers if tiers is None else tiers)
            data_map, costs = dynamics.data_map(exits[0]), cost_model or CostModel()
            problem = FittingProblem(trace, data_map, exits, costs, grid, alphas, betas)
            return _fit(self, problem, lam, target_drop)

    def evaluate(
        self,
        *,
        draws: int = 1000,
        seed: int = 0,
        systems: Sequence[str] = (),
        scenarios: Scenarios | None = None,
    ) -> Ledger:
        """Replay every policy on the test trace.

        Writes ``report/ledger.json``, in units of λ, and ``report/scenarios.json``, the same
        policies in milliseconds, millijoules and money.

        Args:
            draws, seed: of the bootstrap.
            systems: names of systems of the literature (:func:`dimec.policies.systems`), which
                are fitted on the validation split and replayed beside dimec's own routers;
                ``("all",)`` for each that needs no training of its own.
            scenarios: those of the package by default.

        Raises:
            ArtefactError: the run is not fitted, or damaged.
            ConfigError: no such system, fewer than 1 draw, or a negative seed.
        """
        check_bootstrap(draws, seed)
        _named_systems(systems)
        with self.locked():
            return _evaluate(self, draws, seed, systems, scenarios or Scenarios.load())

    def shape(self) -> ModelShape:
        """Widths of the encoder's layers, which tell how many operations a layer takes."""
        encoder = read_json(self.model_path / "config.json", f"dimec train --out {self.typed}")
        encoder = encoder["encoder"]
        width = int(encoder.get("hidden_size") or encoder["dim"])  # dim: DistilBERT's word for it
        inner = encoder.get("intermediate_size") or encoder.get("hidden_dim") or 4 * width
        return ModelShape(width=width, intermediate=int(inner))

    def report(self, *, seed: int = 0, progress: Progress | None = None) -> Path:
        """Draw the figures and write ``report/report.html``; returns its path.

        Raises:
            ArtefactError: the run is not evaluated, or damaged.
            ConfigError: a negative seed.
            MissingExtraError: matplotlib or openTSNE is not installed.
        """
        if seed < 0:
            raise ConfigError(f"{option('seed')} must be at least 0, got {seed}")
        with self.locked():
            return _report(self, seed, progress or NoProgress())

    def export(
        self,
        out: Path | str,
        *,
        int8: Collection[str] = (),
        triton: Path | str | None = None,
        triton_backend: Backend = "onnxruntime",
        triton_instances: int = 1,
        force: bool = False,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> ExportReport:
        """Export the fitted run to a bundle: ``mobile/``, ``edge/`` and ``cloud/``.

        Args:
            out: the folder to write.
            int8: tiers with 8-bit weights; the others get fp32.
            triton: where to write a Triton model repository as well.
            triton_backend: ``"python"`` for builds of Triton without the onnxruntime backend.
            triton_instances: copies of each model that Triton runs side by side.
            force: take an int8 tier also where it differs from the model on more than 1 % of rows.
            overwrite: replace the bundle that is there.
            progress: where to report to.

        Raises:
            DimecError: see :func:`dimec.training.export.bundles.export_run`.
        """
        check_tier_names(int8, "int8")
        if triton is not None:
            check_repository(
                triton, backend=triton_backend, instances=triton_instances, overwrite=overwrite
            )
        self.router()  # a run that is not fitted is refused before torch is loaded
        if progress is not None:
            progress.say("loading torch")
        from dimec.training.export.bundles import export_run

        return export_run(
            self,
            out,
            int8=int8,
            triton=triton,
            triton_backend=triton_backend,
            triton_instances=triton_instances,
            force=force,
            overwrite=overwrite,
            progress=progress,
        )


def train(
    *,
    out: Path | str,
    task: Any = None,
    backbone: str = "minilm-l6",
    exits: Sequence[int] | str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    seed: int = 0,
    **options: Any,
) -> Run:
    """Train a multi-exit classifier and record its dynamics and traces.

    Args:
        out: the run directory; an interrupted run goes on, a finished one is taken as it is.
        task: ``glue/NAME``, ``vader/NAME``, a file (``csv:PATH``; tsv, jsonl, json, parquet alike),
            or files for each split: ``{"train": "a.csv", "test": "b.csv"}``, which the options
            ``train``, ``validation`` and ``test`` name as well. Or a table in memory, or a mapping
            of splits to tables (:func:`dimec.load_task`): the run directory keeps its rows.
        backbone: a folder, a hub name, or a packaged encoder: ``minilm-l6``, ``mpnet-base``.
        exits: layers with a classifier, or ``"all"``; by default a third, a half and all layers.
        overwrite: discard what ``out`` holds.
        progress: where to report to, for example :class:`dimec.base.progress.RichProgress`.
        seed: of the split, the initialisation and the order.
        options: any other setting of ``DataSettings``, ``ModelSettings`` or ``TrainingSettings``
            in :mod:`dimec.settings.config`.

    Raises:
        DimecError: see :func:`dimec.training.train_run`.
    """
    values: dict[str, Any] = {"backbone": backbone, "exits": exits, **options}
    intake = None
    if isinstance(task, Mapping) and all(isinstance(part, str | Path) for part in task.values()):
        values |= {str(split): str(file) for split, file in task.items()}
    elif task is None or isinstance(task, str | Path):
        values["task"] = None if task is None else str(task)
    else:
        from dimec.runs.intake import take_in_table

        progress = progress or NoProgress()
        settings, intake = take_in_table(
            task, values, seed, RunDirectory(out), progress, settings_of
        )
    if intake is None:
        settings = settings_of(values, seed)
    from dimec.training import train_run

    run = train_run(settings, out, overwrite=overwrite, progress=progress, intake=intake)
    return Run(run.path)


def settings_of(values: dict[str, Any], seed: int) -> RunSettings:
    """Settings from flat names; None leaves a setting at its default.

    Raises:
        ConfigError: an unknown name, or a value that is out of range.
    """
    from dimec.settings.config import GROUPS, RunSettings

    nested: dict[str, dict[str, Any]] = {name: {} for name in GROUPS}
    for key, value in values.items():
        homes = [name for name, group in GROUPS.items() if key in group.model_fields]
        if not homes:
            raise ConfigError(f"unknown setting {key!r}")
        if value is not None:
            nested[homes[0]][key] = value
    return RunSettings.of({**nested, "seed": seed})


def _fit(
    run: Run, problem: FittingProblem, lam: float | None, target_drop: float | None
) -> FitResult:
    if target_drop is not None:
        lam = problem.cheapest_lambda(target_drop)
    result, router, search = problem.fit(DEFAULT_LAMBDA if lam is None else lam)
    result = replace(result, advice=problem.advice(result))
    model = problem.trace.model
    router.metadata = {
        "model": model,
        "alpha": result.alpha,
        "beta": result.beta,
        "lam": result.lam,
        "grid": result.grid,
        "tiers": list(result.tiers),
        "costs": asdict(problem.costs),
    }
    names = ("alphas", "betas", "rewards", "costs", "shares")
    table = {name: getattr(search, name).tolist() for name in names}
    router.save(run.router_path)
    write_json(run.fit_path, {**asdict(result), "model": model, "search": table})
    return result


def _evaluate(
    run: Run, draws: int, seed: int, systems: Sequence[str], scenarios: Scenarios
) -> Ledger:
    training, trace, router = run.training(), run.trace("test"), run.router()
    fit = router.metadata
    exits, costs = check_tiers(fit["tiers"]), CostModel(**fit["costs"])
    deployment = Deployment(exits, costs)
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
        "cloud_charge": deployment.charge,
        "prices": [tier.price for tier in deployment.tiers],
        "model": training["model"],
        "versions": {**training["versions"], "dimec": __version__},
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    *standard, oracle = standard_policies(routers)
    rows = {policy.name for policy in standard}
    rivals = [
        one
        for one in fit_systems(run, systems, deployment, fit["lam"])
        if one.policy.name not in rows
    ]
    context["systems"] = {one.policy.name: dict(one.settings) for one in rivals}
    policies = [*standard, *(one.policy for one in rivals), oracle]
    replays = replay_all(trace, policies, deployment)
    ledger = draw_up(
        replays,
        reference_replay(trace, deployment),
        metric=trace.metric,
        draws=draws,
        seed=seed,
        context=context,
    )
    ledger.save(run.report_path)
    table = scenario_table(replays, trace.lengths, run.shape(), scenarios.all())
    write_json(run.report_path / "scenarios.json", table)
    return ledger


def fit_systems(run: Run, names: Sequence[str], deployment: Deployment, lam: float) -> list[Fitted]:
    """Systems of the literature, fitted on the validation split of a run.

    Args:
        run: trained.
        names: of systems, or ``all`` for each that is neither dimec itself, which the run's own
            router stands for, nor in need of a training of its own.
        deployment: exits and costs.
        lam: the weight of one unit of cost.

    Raises:
        ConfigError: no such system.
    """
    chosen = _named_systems(names)
    if not chosen:
        return []
    data_map = run.dynamics().data_map(deployment.exits[0])
    inputs = FitInputs(run.trace("validation"), deployment, lam, data_map)
    return [system(name).fit(inputs) for name in dict.fromkeys(chosen)]


def _named_systems(names: Sequence[str]) -> list[str]:
    """Names of systems with ``all`` spelt out; ConfigError where there is none of a name."""
    chosen: list[str] = []
    for name in names:
        everything = [one for one in known_systems() if _replays_any_trace(one)]
        chosen += everything if name == "all" else [system(name).name]
    return chosen


def _replays_any_trace(name: str) -> bool:
    # dimec itself and the reference, which is all-cloud, are in every ledger already.
    return not (system(name).tags & {"ours", "reference"} or system(name).needs)


def _report(run: Run, seed: int, progress: Progress) -> Path:
    from dimec.report import ReportInputs, write_report

    ledger = Ledger.load(run.report_path)
    router, trace, test = run.router(), run.trace("validation"), run.trace("test")
    fit = router.metadata
    rests_on = {**ledger.context, "tiers": ledger.context.get("exits")}
    if any(rests_on.get(key) != fit[key] for key in fit):
        raise MismatchError(
            f"the ledger in {run.report_path} is older than the fitted router; "
            f"draw it up again with: dimec evaluate {run.typed}"
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
