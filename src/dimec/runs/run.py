"""A run from Python: train, fit, evaluate, report. The command line does the same."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from dimec.base.errors import ConfigError, option
from dimec.base.progress import NoProgress, Progress
from dimec.bundle.triton import Backend, check_repository
from dimec.cartography.thresholds import Grid, check_thresholds
from dimec.evaluation.bootstrap import check_bootstrap
from dimec.evaluation.ledger import Ledger
from dimec.runs.calibration import CalibrationFiles, WorthALabel
from dimec.runs.contract_fit import fit_contract, kept_rows
from dimec.runs.contracting import Wanted
from dimec.runs.deploying import Prices, basis_of
from dimec.runs.evaluating import evaluate_run, named_systems
from dimec.runs.fitting import (
    DEFAULT_LAMBDA,
    ROUTER,
    FitResult,
    FittingProblem,
    fit_run_router,
)
from dimec.runs.recorded import run_of
from dimec.runs.reporting import report_run
from dimec.runs.system_fit import SystemFit, check_options, fit_system
from dimec.runs.workspace import RunDirectory
from dimec.tiers.costs import CostModel, check_lambda
from dimec.tiers.names import check_tier_names
from dimec.tiers.pricing import OPERATIONS, PriceBy
from dimec.tiers.scenario_file import Scenarios
from dimec.traces.collection import find

if TYPE_CHECKING:
    from dimec.training.export.bundles import ExportReport


class Run(RunDirectory):
    """A trained run: its directory, and the steps that follow training.

    Example (not run, trains for minutes):
        >>> run = dimec.train(task="csv:reviews.csv", out="runs/mine")  # doctest: +SKIP
        >>> run.fit(lam=0.02)  # doctest: +SKIP
        >>> print(run.evaluate().row("dimec-fixed").reduction)  # doctest: +SKIP
    """

    @classmethod
    def of_trace(cls, name: str, out: Path | str | None = None) -> Self:
        """A run of recorded traces, which is fitted, evaluated and reported on like any other.

        Args:
            name: of traces of the collection (:func:`dimec.load_trace`, without the split), or the
                path of a folder that ``dimec trace import`` made.
            out: the run directory; by default ``runs/traces/NAME``.

        Raises:
            ConfigError: the directory holds another run.
            ArtefactError: no such traces, or damaged ones.
        """
        return cls(run_of(find(name), None if out is None else Path(out)).path)

    def fit_default(self) -> str:
        """Fit and name the paper's router, the cascade, or the last tier, as the traces allow."""
        trace = self.trace("validation")
        mapped = self.data_map(trace.tiers[0]) is not None
        name = ROUTER if mapped else "bert-cloud" if trace.answers_only else "cascade"
        self.fit(policy=name)
        return name

    @overload
    def fit(
        self,
        *,
        policy: Literal["dimec"] = ...,
        lam: float | None = ...,
        target_drop: float | None = ...,
        grid: Grid = ...,
        alphas: Sequence[float] | None = ...,
        betas: Sequence[float] | None = ...,
        tiers: Sequence[int] | Mapping[str, int] | None = ...,
        cost_model: CostModel | None = ...,
        tier_prices: Mapping[str, Prices] | None = ...,
        price_by: PriceBy = ...,
    ) -> FitResult: ...

    @overload
    def fit(
        self,
        *,
        policy: str,
        settings: Mapping[str, Any] | None = ...,
        lam: float | None = ...,
        tiers: Sequence[int] | Mapping[str, int] | None = ...,
        cost_model: CostModel | None = ...,
        tier_prices: Mapping[str, Prices] | None = ...,
        price_by: PriceBy = ...,
    ) -> FitResult | SystemFit: ...

    def fit(
        self,
        *,
        policy: str = ROUTER,
        settings: Mapping[str, Any] | None = None,
        lam: float | None = None,
        target_drop: float | None = None,
        grid: Grid = "quantile",
        alphas: Sequence[float] | None = None,
        betas: Sequence[float] | None = None,
        tiers: Sequence[int] | Mapping[str, int] | None = None,
        cost_model: CostModel | None = None,
        tier_prices: Mapping[str, Prices] | None = None,
        price_by: PriceBy = OPERATIONS,
    ) -> FitResult | SystemFit:
        """Fit the run's policy on the validation split: the paper's router, or another system.

        For the router α and β are chosen, the pools built, and their centres taken. Of any other
        system the settings are chosen by the rule that holds for all, see
        :meth:`dimec.policies.System.fit`; where the run was cross-fitted, on the training rows out
        of fold too, see :mod:`dimec.runs.out_of_fold`.

        Args:
            policy: ``"dimec"``, or a registered system (:func:`dimec.policies.systems`) that can be
                served. ``target_drop``, ``grid``, ``alphas`` and ``betas`` are the router's alone.
            settings: of that system, such as ``{"threshold": 0.9}``, which are not to be chosen.
            lam: λ, the weight of one unit of cost against confidence; 0.02 by default.
            target_drop: in place of ``lam``: the λ is taken whose router is the cheapest of those
                that lose at most this much accuracy (a fraction) against the last tier on the
                validation split, where it is fitted.
            grid: ``"quantile"`` or ``"paper"``, see :func:`dimec.cartography.thresholds.grid_of`.
            alphas, betas: values of their own in place of the grid's.
            tiers: exits in place of those of training: (m, n, l), those of one or two tiers, or a
                mapping of any number of names to exits, the nearest first. Where tiers have a model
                each, a mapping of their names to exits of these.
            cost_model: the paper's by default.
            tier_prices: of tiers by name, in place of those that ``cost_model`` makes: of a layer,
                of sending, and of a visit.
            price_by: ``"operations"`` or ``"layers"``, where tiers have a model each, see
                :mod:`dimec.tiers.pricing`.

        Raises:
            ConfigError: both ``lam`` and ``target_drop``, exits that the model does not have, a
                system that cannot be served or is not for these tiers, settings that are not its.
            ArtefactError: the run is not trained, or damaged.
        """
        if lam is not None and target_drop is not None:
            raise ConfigError(
                f"give either {option('lam')} or {option('target_drop')}, not both: the one "
                "determines the other"
            )
        router_options = {"target_drop": target_drop, "alphas": alphas, "betas": betas}
        check_options(policy, {**router_options, "grid": grid}, settings)
        check_lambda(DEFAULT_LAMBDA if lam is None else lam)
        check_thresholds(grid, alphas, betas)
        with self.locked():
            basis = basis_of(self, tiers, cost_model, tier_prices, price_by)
            if policy != ROUTER:
                known = DEFAULT_LAMBDA if lam is None else lam
                return fit_system(self, policy, basis, known, settings or {})
            problem = FittingProblem.of(self, basis, grid, alphas, betas)
            return fit_run_router(self, problem, lam, target_drop)

    def fit_contract(
        self,
        *,
        max_accuracy_drop: float | None = None,
        max_disagreement: float | None = None,
        max_cost: float | None = None,
        confidence: float = 0.95,
        bound: str | None = None,
        policy: str | None = None,
        calibration_share: float | None = None,
        calibration_text: Path | str | None = None,
        calibration_labels: Path | str | None = None,
        tiers: Sequence[int] | Mapping[str, int] | None = None,
        cost_model: CostModel | None = None,
        tier_prices: Mapping[str, Prices] | None = None,
        price_by: PriceBy = OPERATIONS,
        progress: Progress | None = None,
    ) -> SystemFit:
        """Fit the cheapest policy that is shown to keep a contract, see docs/contract.md.

        Exactly one of the first three is given. The policy is stored as :meth:`fit` stores one;
        where none keeps the contract, what was fitted before stays.

        Args:
            max_accuracy_drop: against the last tier alone, in points of accuracy.
            max_disagreement: share of answers that differ from the last tier's, in points.
            max_cost: mean cost of an answer, in λ; then the policy that loses least is taken.
            confidence: from 0.5 to 0.9999.
            bound: the test's name, see docs/contract.md.
            policy: a system to choose from alone, or ``"dimec"`` for the paper's router; every one
                that can be served by default.
            calibration_share: of the validation split that tests and fits nothing; a half by
                default, all of it where there are rows out of fold to fit to, and nothing of it
                where a file is given.
            calibration_text: a file of texts to calibrate on, with or without labels.
            calibration_labels: a file of labels for it, by ``id``.
            tiers, cost_model, tier_prices, price_by: as :meth:`fit` takes them.
            progress: where to report to.

        Raises:
            ContractRefusedError: no policy is shown to keep it; says how near the nearest came.
            ConfigError: not one promise, or one outside its range, or a system that cannot be
                served.
            DataError: too few calibration rows, rows that were fitted to, labels that do not fit.
            ArtefactError: the run is not trained, or damaged.
        """
        wanted = Wanted(max_accuracy_drop, max_disagreement, max_cost, confidence, bound)
        known = progress or NoProgress()
        with self.locked():
            basis = basis_of(self, tiers, cost_model, tier_prices, price_by)
            files = CalibrationFiles(calibration_text, calibration_labels)
            own = None
            if files.given:
                from dimec.training.calibration import read_calibration

                own = read_calibration(self, files, known)
            return fit_contract(self, basis, wanted, policy, calibration_share, own, known)

    def contract_rows(self, out: Path | str) -> WorthALabel:
        """Write the texts of ``calibration_text`` whose labels :meth:`fit_contract` asks for.

        Args:
            out: JSON lines with ``id``, the text, and an empty ``label``.

        Raises:
            ArtefactError: no contract was fitted with a file of texts.
            DataError: the file has changed since, or cannot be read.
        """
        with self.locked():
            from dimec.training.calibration import write_rows

            return write_rows(self, kept_rows(self), Path(out))

    def evaluate(
        self,
        *,
        draws: int = 1000,
        seed: int = 0,
        systems: Sequence[str] = (),
        scenarios: Scenarios | None = None,
        curves: bool = True,
        progress: Progress | None = None,
    ) -> Ledger:
        """Replay every policy on the test trace.

        Writes ``report/ledger.json``, in units of λ, ``report/scenarios.json``, the same policies
        in milliseconds, millijoules and money, and ``report/curves.json``, each policy with a knob
        along it (:meth:`dimec.evaluation.curves.Curves.load`).

        Args:
            draws, seed: of the bootstrap.
            systems: names of systems of the literature (:func:`dimec.policies.systems`), which
                are fitted on the validation split and replayed beside dimec's own routers;
                ``("all",)`` for each that needs no training of its own and can be fitted for
                these tiers.
            scenarios: those of the package by default.
            curves: fit the paper's router, the run's own policy and each of ``systems`` along their
                knobs as well.
            progress: told of each curve, and which systems were left out, and why.

        Raises:
            ArtefactError: the run is not fitted, or damaged.
            ConfigError: no such system, one that was named and cannot be fitted for these tiers,
                fewer than 1 draw, or a negative seed.
        """
        check_bootstrap(draws, seed)
        named_systems(systems)
        with self.locked():
            chosen = (scenarios or Scenarios.load()).all()
            told = progress or NoProgress()
            return evaluate_run(self, draws, seed, systems, chosen, told, curves=curves)

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
            return report_run(self, seed, progress or NoProgress())

    def export(
        self,
        out: Path | str,
        *,
        int8: Collection[str] = (),
        looks: Collection[int] | None = None,
        triton: Path | str | None = None,
        triton_backend: Backend = "onnxruntime",
        triton_instances: int = 1,
        executorch: Path | str | None = None,
        force: bool = False,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> ExportReport:
        """Export the fitted run to a bundle, a folder a tier.

        Args:
            out: the folder to write.
            int8: tiers with 8-bit weights; the others get fp32.
            looks: exits before the first tier's own at which a policy may stop; all by default.
            triton: where to write a Triton model repository as well.
            triton_backend: ``"python"`` for builds of Triton without the onnxruntime backend.
            triton_instances: copies of each model that Triton runs side by side.
            executorch: where to write the first tier as programs for a phone as well.
            force: take an int8 tier also where it differs from the model on more than 1 % of rows.
            overwrite: replace the bundle that is there.
            progress: where to report to.

        Raises:
            DimecError: see :func:`dimec.training.export.bundles.export_run`.
        """
        if triton is not None:
            check_repository(
                triton, backend=triton_backend, instances=triton_instances, overwrite=overwrite
            )
        # A run that is not fitted, or has no model, is refused before torch is loaded.
        self.require_model()
        check_tier_names(int8, option("int8"), self.deployment().names)
        if progress is not None:
            progress.say("loading torch")
        from dimec.training.export.bundles import export_run

        return export_run(
            self,
            out,
            int8=int8,
            looks=looks,
            triton=triton,
            triton_backend=triton_backend,
            triton_instances=triton_instances,
            executorch=executorch,
            force=force,
            overwrite=overwrite,
            progress=progress,
        )
