"""Rows of cross-fitting that policies are fitted to, beside those of the validation split.

What models of cross-fitting say of training rows stands for what the final model would say of new
ones, where the two are alike (:mod:`dimec.traces.likeness`). Then every system is fitted to both:
the rows of the validation split and, behind them, the training rows out of fold. Two kinds of fit
keep to the validation split: those of the data map (the paper's router, and dimec's systems), whose
training dynamics are of that split alone; and any, where the models are not alike. The test of a
contract never sees a row out of fold: it is of the final model, and asks that itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from dimec.base.arrays import FloatArray
from dimec.policies.registry import FitInputs, find_system
from dimec.runs.fitting import ROUTER
from dimec.runs.paths import OUT_OF_FOLD
from dimec.runs.workspace import RunDirectory
from dimec.traces.stacking import stack
from dimec.traces.trace import Trace

FOLD = "fold"  # extra column: the part of the training rows that a row out of fold is in
_UNLIKE = (
    "not fitted to rows out of fold: the models that speak of them are not like the final one, see "
    "cross_fit in training.json"
)
_UNMAPPED = "not fitted to rows out of fold: the data map is of the validation split alone"


def usable(run: RunDirectory, say: Callable[[str], None] | None = None) -> Trace | None:
    """The rows out of fold of a run, for policies to be fitted to; None where there are none.

    Args:
        run: trained.
        say: told of rows that are there and are not alike.

    Raises:
        ArtefactError: cross-fitting was not finished, or its trace is missing or damaged.
    """
    record = run.cross_fit()
    if record is None:
        return None
    if not record["alike"]:
        if say is not None:
            say(_UNLIKE)
        return None
    return run.out_of_fold()


def widened(inputs: FitInputs, more: Trace | None, name: str | None = None) -> FitInputs:
    """The same with rows out of fold behind those of the validation split, and no data map.

    Args:
        inputs: of the validation split, or some of its rows.
        more: rows out of fold, if any.
        name: of the system that is fitted; one that needs the data map gets the inputs as they are.
    """
    if more is None or needs_data_map(name):
        return inputs
    return replace(inputs, validation=stack([inputs.validation, more]), data_map=None)


def alone(inputs: FitInputs, more: Trace) -> FitInputs:
    """The same of rows out of fold alone: all of the validation split is left for other things."""
    none = inputs.validation.take(np.arange(0))
    return replace(inputs, validation=stack([none, more]), data_map=None)


def needs_data_map(name: str | None) -> bool:
    """Whether a system is fitted to the data map: dimec's own, the paper's router among them."""
    one = None if name in (None, ROUTER) else find_system(str(name))
    return name == ROUTER or (one is not None and "ours" in one.tags)


def kinds_of_rows(run: RunDirectory, fitted_to: Trace) -> dict[str, Any]:
    """What ``fit.json`` says of the rows of a fit; nothing for a run without cross-fitting.

    Args:
        run: whose policy was fitted.
        fitted_to: the rows.

    Returns:
        ``fitted_rows``, how many there were of each kind; and ``left_out``, why there were none
        out of fold, empty where there were some.
    """
    record = run.cross_fit()
    if record is None:
        return {}
    beyond = int(np.isfinite(_folds(fitted_to)).sum())
    rows = {"validation": len(fitted_to) - beyond, OUT_OF_FOLD: beyond}
    why = "" if beyond else _UNMAPPED if record["alike"] else _UNLIKE
    return {"fitted_rows": rows, "left_out": why}


def told_rows(rows: Mapping[str, int]) -> str:
    """What a fit was to, in words.

    Args:
        rows: number of rows by kind, as :func:`kinds_of_rows` counts them; empty for the split.

    Example:
        >>> told_rows({"validation": 407, "out-of-fold": 3261})
        'the 407 validation and 3,261 out-of-fold rows'
        >>> told_rows({})
        'the validation split'
    """
    if not rows.get(OUT_OF_FOLD):
        return "the validation split"
    return f"the {' and '.join(f'{count:,} {kind}' for kind, count in rows.items() if count)} rows"


def guids_fitted_to(trace: Trace) -> dict[str, str]:
    """guid → the split that its row is of, for :func:`dimec.runs.calibration.refuse_fitted`."""
    splits = np.where(np.isnan(_folds(trace)), "validation split", "training split").tolist()
    return dict(zip(trace.guids, splits, strict=True))


def _folds(trace: Trace) -> FloatArray:
    """(N,) the part that each row is in, NaN for those that are in none."""
    return trace.extra.get(FOLD, np.full(len(trace), np.nan))
