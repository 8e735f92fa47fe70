"""Policies of a ladder with figures that were written by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dimec.evaluation.curves import CurvePoint
from dimec.policies.candidates import Did
from dimec_studies.ladders import Rung


def rung_of(
    told: str,
    *,
    validation: tuple[float, float] = (0.0, 0.0),
    test: tuple[float, float] = (0.0, 0.0),
    seen: Sequence[bool] = (True,),
    cost: float = 1.0,
) -> Rung:
    """A policy.

    Args:
        told: its name.
        validation, test: drop and saving there, as fractions.
        seen: whether it is right on each validation row, whose label is 1.
        cost: of every answer, λ.
    """
    drop, reduction = test
    point = CurvePoint(
        accuracy=1 - drop,
        cost=cost,
        drop=drop,
        drop_low=drop,
        drop_high=drop,
        reduction=reduction,
        reduction_low=reduction,
        reduction_high=reduction,
        validation_drop=validation[0],
        validation_reduction=validation[1],
    )
    there = Did(np.array(seen, np.int64), np.full(len(seen), cost))
    return Rung(told, there, np.array(seen, bool), there, point)
