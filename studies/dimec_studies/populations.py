"""Rows of kept traces as a population whose drops are known, and the policies fitted beside it.

A part of the validation split fits the policies and gives the path. All other rows, of validation
and test, are the population: calibration rows are drawn from it with replacement, so the drop of
the population is the true drop of whatever is drawn, and whether a promise holds is known exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dimec.base.arrays import BoolArray, FloatArray, IntArray
from dimec.base.errors import ConfigError
from dimec.contract.losses import Drops
from dimec.policies.base import Policy
from dimec.policies.candidates import Candidate, candidates_of, inputs_of, single_tiers
from dimec.policies.ladder import LAMBDAS
from dimec.policies.registry import FitInputs, system
from dimec.policies.servable import servable
from dimec.runs.calibration import Calibration
from dimec.runs.contracting import Search, Wanted, way
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace
from dimec_studies.stored import Stored

_LAM = 0.02  # of the inputs; where λ is a knob it takes the values of the ladder


@dataclass(frozen=True, eq=False)
class Population:
    """P rows, and what each of C policies does with them.

    Attributes:
        name: of the task.
        inputs: what the policies were fitted to.
        candidates: (C,) the policies; the tiers alone are among them.
        drop: (C, P) D: 1 where only the last tier is right, -1 where only the policy is, else 0.
        different: (C, P) whether the answer is not the last tier's.
        saved: (C, P) 1 - cost / price of the last tier alone.
        flipped: (C, P) D if every answer of the first tier turned into the next class; that of
            ``drop`` where another tier answers.
        astray: (C, P) whether the answer would not be the last tier's then.
        parted: (P,) whether the tiers' exits answer different classes.
    """

    name: str
    inputs: FitInputs
    candidates: tuple[Candidate, ...]
    drop: Drops
    different: BoolArray
    saved: FloatArray
    flipped: Drops
    astray: BoolArray
    parted: BoolArray

    def __len__(self) -> int:
        return len(self.parted)

    @property
    def true_drop(self) -> FloatArray:
        """(C,) the drop, a share."""
        result: FloatArray = self.drop.mean(axis=1)
        return result

    @property
    def true_different(self) -> FloatArray:
        """(C,) the share of answers that differ from the last tier's."""
        result: FloatArray = self.different.mean(axis=1)
        return result

    @property
    def true_saving(self) -> FloatArray:
        """(C,) the mean saving, a share."""
        result: FloatArray = self.saved.mean(axis=1)
        return result

    def path(self, delta: float, alpha: float, rows: int, labelled: bool = True) -> list[int]:
        """Positions of the policies that are tried, as ``dimec fit`` would try them.

        Args:
            delta: Δ, a share: of the drop, or without labels of different answers.
            alpha: one minus the confidence.
            rows: of the calibration.
            labelled: whether the drop is tested.
        """
        points, sure = 100 * delta, 1 - alpha
        wanted = (
            Wanted(max_accuracy_drop=points, confidence=sure)
            if labelled
            else Wanted(max_disagreement=points, confidence=sure)
        )
        # Only their number is looked at here.
        trace = self.inputs.validation.take(np.arange(rows) % len(self.inputs.validation))
        search = Search(self.inputs, Calibration(trace, trace.labels, ""), wanted, labelled)
        place = {id(one): position for position, one in enumerate(self.candidates)}
        return [place[id(one)] for one in way(search, self.candidates)]


def population(
    stored: Stored, seed: int, most_fitted: int, names: Sequence[str] = ()
) -> Population:
    """Fit every policy to a part of the validation split; all other rows are the population.

    Args:
        stored: traces of a model.
        seed: of the part, and of the folds.
        most_fitted: rows that fit at most; else it is half of the split.
        names: of the systems; every one that can be served, where none is given.
    """
    order = np.random.default_rng(seed).permutation(len(stored.validation))
    size = min(len(order) // 2, most_fitted)
    inputs = inputs_of(stored.inputs(_LAM), np.sort(order[:size]))
    candidates = single_tiers(inputs)
    for name in names or servable():
        try:
            # Every third λ of the ladder: fits of the cascade are most of the time.
            candidates += candidates_of(system(name), inputs, seed, LAMBDAS[::3])
        except ConfigError:  # it cannot be served here
            continue
    parts = (stored.validation.take(np.sort(order[size:])), stored.test)
    done = [[_done(one.policy, trace, stored.deployment) for one in candidates] for trace in parts]
    told = [
        np.concatenate([np.stack([each[field] for each in part]) for part in done], axis=1)
        for field in range(5)
    ]
    parted = np.concatenate([_parted(trace, stored.deployment) for trace in parts])
    drop, different, saved, flipped, astray = told
    return Population(
        stored.name, inputs, tuple(candidates), drop, different, saved, flipped, astray, parted
    )


def _done(
    policy: Policy, trace: Trace, deployment: Deployment
) -> tuple[Drops, BoolArray, FloatArray, Drops, BoolArray]:
    """(N,) each: D, difference, saving, and the first two if the first tier's answers turned."""
    outcome = policy.replay(trace, deployment)
    exits: IntArray = outcome.answers.argmax(axis=1)
    answers = trace.predictions[np.arange(len(trace)), exits]
    first, last = deployment.tiers[0], deployment.tiers[-1]
    reference = trace.predictions[:, trace.column(last.layer, last.source)]
    of_first = [layer for layer in trace.exits_of(first.source) if layer <= first.layer]
    local = np.isin(exits, trace.columns(of_first, [first.source] * len(of_first)))
    other = np.where(local, (answers + 1) % len(trace.label_names), answers)
    right = (reference == trace.labels).astype(np.int8)
    return (
        right - (answers == trace.labels),
        answers != reference,
        1 - outcome.cost / deployment.prices[-1],
        right - (other == trace.labels),
        other != reference,
    )


def _parted(trace: Trace, deployment: Deployment) -> BoolArray:
    """(N,) whether the tiers' exits answer different classes."""
    columns = [trace.column(tier.layer, tier.source) for tier in deployment.tiers]
    predictions = trace.predictions[:, columns]
    result: BoolArray = (predictions != predictions[:, :1]).any(axis=1)
    return result
