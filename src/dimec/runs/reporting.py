"""Report on a run: what its evaluation and its fit left behind, drawn on one page."""

from __future__ import annotations

from pathlib import Path

from dimec.base.errors import MismatchError
from dimec.base.progress import Progress
from dimec.cartography import build_pools
from dimec.evaluation.ledger import Ledger
from dimec.runs.workspace import RunDirectory, fitted_deployment


def report_run(run: RunDirectory, seed: int, progress: Progress) -> Path:
    """See :meth:`dimec.runs.run.Run.report`, which holds the run's lock meanwhile."""
    from dimec.report import PooledInputs, ReportInputs, write_report

    ledger = Ledger.load(run.report_path)
    stored, test = run.stored_policy(), run.trace("test")
    fit = stored.fitted_on
    if any(ledger.context.get(key) != fit[key] for key in fit):
        raise MismatchError(
            f"the ledger in {run.report_path} is older than the fitted policy; "
            f"draw it up again with: dimec evaluate {run.typed}"
        )
    deployment = fitted_deployment(stored)
    accuracies = test.correct.mean(axis=0).tolist()
    inputs = ReportInputs(
        ledger=ledger,
        exit_accuracy=dict(zip(test.exits, accuracies, strict=True)),
        tiers=deployment.exits,
        seed=seed,
        names=deployment.names,
    )
    if "alpha" in fit:  # a router whose pools two thresholds make
        data_map = run.dynamics().data_map(deployment.exits[0])
        inputs = PooledInputs(
            **vars(inputs),
            data_map=data_map,
            pools=build_pools(data_map, fit["alpha"], fit["beta"]),
            alpha=fit["alpha"],
            beta=fit["beta"],
            embeddings=run.trace("validation").embeddings,
        )
    return write_report(inputs, run.report_path, progress=progress.say)
