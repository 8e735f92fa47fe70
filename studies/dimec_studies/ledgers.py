"""The whole ledger of every run of a plan, fitted in each of the ways that the plan lists."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from dimec.evaluation.curves import ALLOWED_DROP, Curves
from dimec.runs.run import Run
from dimec_studies.plan import Plan
from dimec_studies.runs import RunSpec, Workshop
from dimec_studies.study import deployment_of, header


def ledger(workshop: Workshop) -> dict[str, Any]:
    """Train, fit and evaluate; a record with the ledger of every task, seed and fit."""
    plan = workshop.plan
    specs = [RunSpec(task, "joint", seed) for task in plan.tasks for seed in plan.seeds]
    runs = workshop.train(specs)
    record = header("ledger", plan, deployment_of(plan, runs[0]), runs)
    record["runs"] = [
        {
            "task": spec.task,
            "seed": spec.seed,
            "training": run.training(),
            "fits": _fits(run, plan),
        }
        for spec, run in zip(specs, runs, strict=True)
    ]
    return record


def _fits(run: Run, plan: Plan) -> list[dict[str, Any]]:
    fits = []
    for one in plan.fits_or_default():
        fit = run.fit(grid=one.grid, lam=one.lam, cost_model=plan.cost_model())
        made = run.evaluate(draws=plan.draws, systems=one.systems or ())
        fits.append(
            {
                "name": one.name,
                "fit": asdict(fit),
                "context": dict(made.context),
                "ledger": made.to_dicts(),
                "allowed": ALLOWED_DROP,
                "within": _within(Curves.load(run.report_path)),
            }
        )
    return fits


def _within(curves: Curves) -> list[dict[str, Any]]:
    """Of each policy the point of its curve that is chosen on validation rows."""
    found = []
    for curve in curves.curves:
        best = curve.chosen(ALLOWED_DROP)
        point = None if best is None else asdict(best)
        found.append({"policy": curve.policy, "title": curve.title, "point": point})
    return found
