"""The choice for one text, as it stands in front of every step on a device: plain numbers.

It gives, to the last bit, what :mod:`dimec.policies.cascade.features` and
:class:`dimec.policies.cascade.choosing.Chooser` give for it among others, in less time:
of a few classes there is little to compute, and numpy's calls are what takes long. Logarithms and
exponentials are numpy's all the same, since those of the C library may differ in the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray
from dimec.policies.cascade.choosing import Chooser, sigmoid
from dimec.policies.cascade.features import FLOOR, MOST_CLASSES, features

# numpy adds up to so many numbers one after the other, and more of them in another order.
_IN_A_ROW = 7


def features_one(signal: Sequence[float], looks: Sequence[npt.NDArray[np.floating]]) -> FloatArray:
    """(F,) features of one text at a point.

    Args:
        signal: the 1 + P features of its signal.
        looks: of each exit seen, in order, (C,) probabilities.
    """
    if any(len(look) > min(_IN_A_ROW, MOST_CLASSES) for look in looks):
        row: FloatArray = features(np.array([signal]), [look[None] for look in looks])[0]
        return row
    rows = [look.tolist() for look in looks]
    ordered = [sorted(p if p > FLOOR else FLOOR for p in row) for row in rows]
    best = [row.index(max(row)) for row in rows]
    found, tops, place = list(signal), [], 0
    logs = _logs(ordered)
    for sizes, winner in zip(ordered, best, strict=True):
        top, margin = logs[place], logs[place + 1]
        place += 2
        entropy = 0.0
        for size in sizes:
            entropy += size * logs[place]
            place += 1
        is_class = [1.0 if winner == number else 0.0 for number in range(1, len(sizes))]
        found += [top, -entropy, *([margin] if len(sizes) > 2 else [])]
        found += [*is_class, *(each * top for each in is_class)]
        tops.append(top)
    found += [1.0 if winner == best[-1] else 0.0 for winner in best[:-1]]
    found += [top * top for top in tops]
    return np.array(found)


def _logs(ordered: Sequence[Sequence[float]]) -> list[float]:
    """Of each exit: the log-odds of its largest probability, the log of how far it leads, and those
    of all of them; in one call for all exits.
    """
    values: list[float] = []
    for sizes in ordered:
        first, second = sizes[-1], sizes[-2] if len(sizes) > 1 else FLOOR
        rest = 1 - first
        values += [first / (rest if rest > FLOOR else FLOOR), first / second, *sizes]
    logs: list[float] = np.log(values).tolist()
    return logs


def choose_one(chooser: Chooser, x: FloatArray) -> int:
    """As :meth:`dimec.policies.cascade.choosing.Chooser.choose`, of (F,) features."""
    values = np.vecdot(chooser.weights, x) + chooser.biases
    utilities = np.where(chooser.logistic, sigmoid(values), values) - chooser.costs
    return int(utilities.argmax()) + (not chooser.point.seen)
