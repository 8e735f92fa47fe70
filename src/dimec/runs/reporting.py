"""The report of a run: what it holds of its fit and of its evaluation, for the page to show."""

from __future__ import annotations

from pathlib import Path

from dimec.base.errors import MismatchError
from dimec.base.progress import Progress
from dimec.cartography import build_pools
from dimec.evaluation.curves import Curves
from dimec.evaluation.ledger import Ledger
from dimec.runs.evaluating import exit_accuracies
from dimec.runs.workspace import RunDirectory, fitted_deployment


def report_run(run: RunDirectory, seed: int, progress: Progress) -> Path:
    """Draw the figures and write the page; returns its path.

    Args:
        run: evaluated; its lock is held.
        seed: of the map of embeddings.
        progress: where to report to.

    Raises:
        ArtefactError: the run is not evaluated, or damaged.
        MissingExtraError: matplotlib or openTSNE is not installed.
    """
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
    inputs = ReportInputs(
        ledger=ledger,
        exit_accuracy=exit_accuracies(test),
        tiers=deployment.exits,
        seed=seed,
        names=deployment.names,
        sources=deployment.sources,
        curves=Curves.load(run.report_path) if Curves.stored(run.report_path) else None,
    )
    if "alpha" in fit:  # a router whose pools two thresholds make
        data_map = run.data_map(deployment.exits[0])
        assert data_map is not None  # the thresholds are of one
        inputs = PooledInputs(
            **vars(inputs),
            data_map=data_map,
            pools=build_pools(data_map, fit["alpha"], fit["beta"]),
            alpha=fit["alpha"],
            beta=fit["beta"],
            embeddings=run.trace("validation").embeddings,
        )
    return write_report(inputs, run.report_path, progress=progress.say)
