"""Fast yet Safe: early exit by a threshold of which the loss in accuracy is bounded.

At each exit in turn C = max softmax; the input leaves where C ≥ α. The risk is the performance gap:
the mean of D, 1 where only the last exit is right, -1 where only the exit taken is, and else 0. α
is the lowest threshold down to which every one has, at 95 % confidence, an upper bound of the risk
within ε, by the bound of Waudby-Smith and Ramdas. ε, the tolerance, is the method's knob; for the
ledger's λ the one of the highest reward on the validation split is taken, and it can be set. The
proof is of a tolerance that was set.

Exits and cost: see :mod:`dimec.policies.literature.exit_walk`; the path of thresholds:
:mod:`dimec.policies.literature.risk_control`.

Source: Jazbec et al., Fast yet Safe: Early-Exiting with Risk Control, NeurIPS 2024,
arXiv 2405.20915, with the performance gap risk of predictions and its bound of high probability.
Departures: D is in [-1, 1] as it is, and the stake of the bet is that of
:mod:`dimec.contract.betting`, which is more powerful for rare losses; calibration on the validation
split; and the exits past the first tier are those of the tiers.
"""

from __future__ import annotations

from collections.abc import Sequence

from dimec.base.arrays import FloatArray, IntArray
from dimec.contract import betting
from dimec.contract.losses import Losses
from dimec.policies.literature.cats import TOLERANCES
from dimec.policies.literature.exit_thresholds import ThresholdsPolicy
from dimec.policies.literature.exit_walk import Exit, Seen
from dimec.policies.literature.risk_control import fit_along
from dimec.policies.registry import FitInputs, Fitted, System, register

NAME = "fast-yet-safe"


def gap_risk(seen: Seen, ends: IntArray, tolerance: float) -> float:
    """p-value of "the drop in accuracy exceeds the tolerance".

    Args:
        seen: N samples.
        ends: (N,) position of the exit that answers.
        tolerance: ε.
    """
    right = seen.right[range(len(seen)), ends]
    return betting.p_value(Losses.of_right(right, seen.right[:, -1]), tolerance)


def _make(way: Sequence[Exit], thresholds: FloatArray) -> ThresholdsPolicy:
    return ThresholdsPolicy(NAME, way, thresholds)


def _along(inputs: FitInputs, lambdas: Sequence[float]) -> list[Fitted]:
    return fit_along(NAME, gap_risk, inputs, lambdas)


def _fit(inputs: FitInputs) -> Fitted:
    return _along(inputs, [inputs.lam])[0]


register(
    System(
        NAME,
        "Jazbec et al., Fast yet Safe, NeurIPS 2024, arXiv 2405.20915",
        _make,
        grid={"tolerance": TOLERANCES},
        fitter=_fit,
        along=_along,
    ),
    title="Fast yet Safe",
)
