"""Fit a run's policy under a contract, and keep what is needed to label and to fit again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dimec.base.errors import ConfigError, DataError, option
from dimec.base.progress import Progress
from dimec.base.storage import read_json, write_json
from dimec.policies.candidates import Candidate, inputs_of
from dimec.policies.registry import FitInputs, system, tagged
from dimec.policies.servable import servable
from dimec.runs.calibration import (
    SHARE,
    Calibration,
    check_share,
    joined,
    of_validation,
    parted,
    refuse_fitted,
)
from dimec.runs.contracting import Search, Wanted, cheapest, gathered, rows_to_label
from dimec.runs.deploying import Basis
from dimec.runs.fitting import DEFAULT_LAMBDA, ROUTER
from dimec.runs.out_of_fold import alone, guids_fitted_to, needs_data_map, usable, widened
from dimec.runs.system_fit import SystemFit, store
from dimec.runs.workspace import RunDirectory
from dimec.traces.trace import Trace

_ROWS = "rows.json"


def fit_contract(
    run: RunDirectory,
    basis: Basis,
    wanted: Wanted,
    policy: str | None,
    share: float | None,
    own: Calibration | None,
    progress: Progress,
) -> SystemFit:
    """Fit the cheapest policy that keeps a contract, and store it as the run's.

    Args:
        run: whose policy it becomes; its lock is held.
        basis: the validation rows, and the tiers.
        wanted: the contract.
        policy: a system to choose from alone; None for every one that can be served.
        share: of the validation split that calibrates; None for a half, for all where there are
            rows out of fold to fit to, or, beside rows of one's own, for none.
        own: calibration rows of a file.
        progress: where to report to.

    Raises:
        ContractRefusedError, ConfigError, DataError: see :meth:`dimec.runs.run.Run.fit_contract`.
    """
    if wanted.max_disagreement is not None and basis.trace.outcomes_only:
        raise ConfigError(
            f"{option('max_disagreement')} compares answers, and these traces only tell which were "
            f"right; promise {option('max_accuracy_drop')}"
        )
    names = _names(policy)
    seed = int(run.training()["seed"])
    more = None if needs_data_map(policy) else usable(run, progress.say)
    inputs, calibration = _parts(basis, share, own, seed, more)
    _check_rows(wanted, len(calibration))
    # A test of the drop takes the labels of rows on which answers differ; where a file has none at
    # all, each of these is taken for lost.
    search = Search(inputs, calibration, wanted, own is None or not own.unlabelled)
    candidates = gathered(names, inputs, seed, progress)
    if own is not None:
        _keep_rows(run, search, candidates, own)
    chosen, promise = cheapest(search, candidates, progress.say)
    lam = DEFAULT_LAMBDA if chosen.lam is None else chosen.lam
    return store(run, chosen.fitted, chosen.system, inputs, lam, promise.to_json())


def _names(policy: str | None) -> list[str]:
    """The systems to choose from.

    Raises:
        ConfigError: there is no such system.
    """
    if policy is None:
        return list(servable())
    if policy == ROUTER:  # the paper's, by both of its grids
        return [one.name for one in tagged("ours", "fixed")]
    return [system(policy).name]


def _parts(
    basis: Basis, share: float | None, own: Calibration | None, seed: int, more: Trace | None
) -> tuple[FitInputs, Calibration]:
    """The rows to fit to, and those to calibrate on; none is in both.

    Where there is more to fit to than the validation split, all of that calibrates by default.
    """
    whole = FitInputs(basis.trace, basis.deployment, DEFAULT_LAMBDA, basis.data_map)
    everything = np.arange(len(basis.trace), dtype=np.int64)
    if share is None and own is not None:
        inputs, parts = widened(whole, more), [own]
    elif share is None and more is not None:
        inputs, parts = (
            alone(whole, more),
            [of_validation(basis.trace, everything)],
        )
    else:
        fit, held = parted(len(basis.trace), check_share(SHARE if share is None else share), seed)
        inputs = widened(inputs_of(whole, fit), more)
        parts = [of_validation(basis.trace, held), *([] if own is None else [own])]
    calibration = joined(parts)
    refuse_fitted(calibration, guids_fitted_to(inputs.validation))
    return inputs, calibration


def _check_rows(wanted: Wanted, rows: int) -> None:
    """Refuse a calibration that could settle nothing, before the work.

    Raises:
        DataError: says how many rows it takes.
    """
    if wanted.max_cost is None:
        wanted.terms.check_rows(rows)


def rows_path(run: RunDirectory) -> Path:
    """Where a run keeps which rows of a file are worth a label."""
    return run.calibration_path / _ROWS


def _keep_rows(
    run: RunDirectory, search: Search, candidates: list[Candidate], own: Calibration
) -> None:
    """Keep which rows are worth a label, for ``dimec contract rows``; also where it is refused."""
    if search.wanted.max_accuracy_drop is None:
        return
    guids = search.calibration.trace.guids
    mine = set(own.trace.guids)
    unlabelled = {
        guid for guid, label in zip(guids, search.calibration.labels, strict=True) if label < 0
    }
    worth = [guids[row] for row in rows_to_label(search, candidates)]
    write_json(
        rows_path(run),
        {
            "model": own.trace.model,
            "text": str(own.file),
            "rows": [guid for guid in worth if guid in mine & unlabelled],
            "of": len(own),
        },
    )


def kept_rows(run: RunDirectory) -> dict[str, Any]:
    """What :func:`fit_contract` kept.

    Raises:
        MissingArtefactError: no contract was fitted with a file of texts.
        DataError: it is of another model.
    """
    again = f"dimec fit {run.typed} --max-accuracy-drop POINTS --calibration-text FILE"
    kept: dict[str, Any] = read_json(rows_path(run), again)
    if kept.get("model") != run.training()["model"]:
        raise DataError(f"{rows_path(run)} is of another model; fit again with: {again}")
    return kept
