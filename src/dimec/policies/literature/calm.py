"""CALM: leave at the first exit that is sure, by a threshold that keeps nearly all answers.

At each exit in turn C = max softmax; the input leaves where C ≥ α. α is the lowest threshold of
which Learn then Test proves, at 95 % confidence, that the share of inputs whose answer differs from
the last exit's is at most δ. No label is looked at for that. δ, the tolerance, is the method's
knob; for the ledger's λ the one of the highest reward on the validation split is taken, and it can
be set. The proof is of a tolerance that was set.

Exits and cost: see :mod:`dimec.policies.literature.exit_walk`; the path of thresholds:
:mod:`dimec.policies.literature.risk_control`.

Source: Schuster et al., Confident Adaptive Language Modeling, NeurIPS 2022, arXiv 2207.07061, with
its softmax response and its textual consistency. Departures: a class in place of tokens, so that
the softmax response is the largest probability, not the gap of the first two, and the threshold
does not decay over positions; the loss is 0 or 1, so the exact binomial tail is the p-value, which
is never above their Hoeffding bound; calibration on the validation split; and the exits past the
first tier are those of the tiers.
"""

from __future__ import annotations

from collections.abc import Sequence

from dimec.base.arrays import FloatArray, IntArray
from dimec.contract import disagreement
from dimec.contract.losses import Losses
from dimec.policies.literature.cats import TOLERANCES
from dimec.policies.literature.exit_thresholds import ThresholdsPolicy
from dimec.policies.literature.exit_walk import Exit, Seen
from dimec.policies.literature.risk_control import fit_along
from dimec.policies.registry import FitInputs, Fitted, System, register

NAME = "calm"


def difference_risk(seen: Seen, ends: IntArray, tolerance: float) -> float:
    """p-value of "the answers differ on a larger share than the tolerance".

    Args:
        seen: N samples.
        ends: (N,) position of the exit that answers.
        tolerance: δ.
    """
    answers = seen.predictions[range(len(seen)), ends]
    losses = Losses.of_answers(answers, seen.predictions[:, -1])
    return disagreement.p_value(losses, tolerance)


def _make(way: Sequence[Exit], thresholds: FloatArray) -> ThresholdsPolicy:
    return ThresholdsPolicy(NAME, way, thresholds)


def _along(inputs: FitInputs, lambdas: Sequence[float]) -> list[Fitted]:
    return fit_along(NAME, difference_risk, inputs, lambdas)


def _fit(inputs: FitInputs) -> Fitted:
    return _along(inputs, [inputs.lam])[0]


register(
    System(
        NAME,
        "Schuster et al., CALM, NeurIPS 2022, arXiv 2207.07061",
        _make,
        grid={"tolerance": TOLERANCES},
        fitter=_fit,
        along=_along,
    ),
    title="CALM",
)
