"""A second round of distillation, weighed towards the rows that a cascade sent the wrong way.

RouteNLP (2026, arXiv 2604.23577) distils its small models again from where its cascade fails, and
finds twice the gain of distilling again from everything. It groups failures by topic and draws
training texts from the groups; here every training row is at hand, so each is weighed by what the
cascade of the first round did with it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dimec.base.arrays import BoolArray, Float32Array, IntArray
from dimec.base.progress import Progress
from dimec.data import Dataset
from dimec.policies.registry import FitInputs, systems
from dimec.runs.workspace import RunDirectory
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace
from dimec.training.lesson import UnlabelledTexts
from dimec.training.own_finish import join_tiers
from dimec.training.transfer import record_rows

CASCADE = "cascade"
LAMBDA = 0.02  # of the cascade whose mistakes count: the one that is fitted by default
_MORE = 2.0  # a row that was sent the wrong way counts three times


def round_weights(answered: IntArray, agrees: BoolArray, tier: int) -> Float32Array:
    """(N,) how much each row counts in the second round of one tier's student; 1 on average.

    A row was sent the wrong way where the tier answered it and differs from the last tier, or where
    a later tier answered it although this one agrees with the last.

    Args:
        answered: (N,) position of the tier that answered.
        agrees: (N, K) whether each tier says what the last one says.
        tier: position of the student's.

    Example:
        >>> agrees = np.array([[True, True], [False, True], [True, True], [False, True]])
        >>> round_weights(np.array([0, 0, 1, 1]), agrees, 0).tolist()
        [0.5, 1.5, 1.5, 0.5]
    """
    wrong = np.where(answered == tier, ~agrees[:, tier], (answered > tier) & agrees[:, tier])
    weights = 1.0 + _MORE * wrong
    return np.asarray(weights / weights.mean(), np.float32)


def weights_of(
    tiers: Mapping[str, RunDirectory],
    validation: Dataset,
    rows: Dataset,
    unlabelled: UnlabelledTexts | None,
    progress: Progress,
) -> dict[str, Float32Array]:
    """(R,) weights of the training rows, and of texts without labels, for each student.

    Args:
        tiers: of the first round, by name; the last is the teacher.
        validation: the rows that the cascade is fitted on.
        rows: of the training split.
        unlabelled: texts without labels.
        progress: where to report to.
    """
    fit = _trace(tiers, validation, "validation", progress)
    names, layers = tuple(tiers), fit.tiers
    deployment = Deployment.paper(layers, names=names, sources=names)
    policy = systems()[CASCADE].fit(FitInputs(fit, deployment, LAMBDA)).policy
    trace = _trace(tiers, _with_unlabelled(rows, unlabelled), "train", progress)
    answered = policy.replay(trace, deployment).tiers.argmax(axis=1).astype(np.int64)
    said = trace.predictions[:, trace.columns(deployment.exits, deployment.sources)]
    agrees = said == said[:, -1:]
    return {name: round_weights(answered, agrees, k) for k, name in enumerate(names[:-1])}


def _trace(
    tiers: Mapping[str, RunDirectory], rows: Dataset, split: str, progress: Progress
) -> Trace:
    traces = {
        name: record_rows(one, rows, split=split, progress=progress) for name, one in tiers.items()
    }
    return join_tiers(traces, rows)


def _with_unlabelled(rows: Dataset, unlabelled: UnlabelledTexts | None) -> Dataset:
    """The training rows, and the texts behind them under a label that nobody looks at."""
    if unlabelled is None:
        return rows
    pairs = None
    if rows.pairs is not None:
        pairs = (*rows.pairs, *(unlabelled.pairs or ()))
    return Dataset(
        texts=(*rows.texts, *unlabelled.texts),
        pairs=pairs,
        labels=np.concatenate([rows.labels, np.zeros(len(unlabelled), np.int64)]),
        label_names=rows.label_names,
        guids=(*rows.guids, *(f"unlabelled-{k}" for k in range(len(unlabelled)))),
        task=rows.task,
        metric=rows.metric,
    )
