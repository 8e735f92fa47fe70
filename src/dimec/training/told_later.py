"""What a tracker is told of a run after its training: whatever it does not know of it yet."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from dimec.base.errors import ArtefactError
from dimec.evaluation.ledger import Ledger
from dimec.runs.trackers import Told, check_tracker, home_of
from dimec.runs.workspace import RunDirectory, fitted_deployment
from dimec.training.prepare import make_accelerator
from dimec.training.stages import EpochRecord
from dimec.training.telling import (
    Values,
    ledger_text,
    values_of_fit,
    values_of_ledger,
    values_of_map,
    values_of_pools,
)
from dimec.training.tracking import KeptRun

_EPOCH = {field.name for field in fields(EpochRecord)}
_LEDGER_FILES = ("ledger.json", "ledger-context.json")


def tell_run(run: RunDirectory, kind: str) -> Told:
    """Tell a tracker of a trained run: settings, epochs, data map, fit and pools, ledger.

    It goes on in the run of the tracker that the training has there, of a grid that of its best
    point, or begins one. Where tiers have a model each, the trainings have runs of their own there,
    and the whole, with its fit and its ledger, another.

    Args:
        run: trained; its lock is not held.
        kind: of the tracker.

    Returns:
        What it knows now, and what it did not know.

    Raises:
        ArtefactError: the run is not trained, or damaged.
        ConfigError: recorded traces, which have no training, or an unknown tracker.
        MissingExtraError: the tracker's package is not installed.
    """
    check_tracker(kind)
    settings, training = run.settings(), run.training()
    with run.locked():
        kept = KeptRun(make_accelerator(), home_of(run), settings, kind, run.path)
        try:
            new = _tell(kept, run, training)
            return Told(kept.name, kept.epochs, kept.parts, tuple(new))
        finally:
            kept.close()


def _tell(kept: KeptRun, run: RunDirectory, training: dict[str, Any]) -> list[str]:
    told = []
    exits, metric = training["exits"], training.get("metric", "accuracy")
    if "own" not in training:
        records = [_record(epoch) for epoch in training["history"]]
        if sum(kept.tell_epoch(record, exits, metric) for record in records):
            told.append("epochs")
        if records and kept.tell("map", values_of_map(run.dynamics())):
            told.append("map")
    if run.policy_path.exists() and kept.tell("fit", _values_of_fit(run)):
        told.append("fit")
    if (run.report_path / _LEDGER_FILES[0]).exists():
        ledger = Ledger.load(run.report_path)
        files = [run.report_path / name for name in _LEDGER_FILES]
        if kept.tell("ledger", values_of_ledger(ledger), files, ledger_text(ledger)):
            told.append("ledger")
    return told


def _record(epoch: dict[str, Any]) -> EpochRecord:
    """An epoch of ``training.json``; that of a later version may say more."""
    known: dict[str, Any] = {key: value for key, value in epoch.items() if key in _EPOCH}
    return EpochRecord(**known)


def _values_of_fit(run: RunDirectory) -> Values:
    """Of the fit, and of the pools where the fitted policy has any."""
    stored = run.stored_policy()
    deployment, found = fitted_deployment(stored), stored.fitted_on
    try:
        values = values_of_fit(run.fit_record())
    except ArtefactError:
        values = {}  # a policy that came from elsewhere
    if "alpha" in found:
        data_map = run.data_map(deployment.exits[0])
        if data_map is not None:
            values |= values_of_pools(data_map, found["alpha"], found["beta"], deployment.names)
    return values
