"""The choice for one text, as it stands in front of every step on a device: plain numbers.

It gives, to the last bit, what :mod:`dimec.policies.cascade.features` and
:class:`dimec.policies.cascade.choosing.Chooser` give for it among others, in less time: of a few
classes there is little to compute, and right after layers have run, calls into numpy take long, for
the layers have pushed what they need out of the processor's caches.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np
import numpy.typing as npt

from dimec.policies.cascade.choosing import Chooser
from dimec.policies.cascade.exactly import sigmoid_of
from dimec.policies.cascade.features import FLOOR, MOST_CLASSES, features

# numpy adds up to so many numbers one after the other, and more of them in another order.
_IN_A_ROW = 7


def features_one(signal: Sequence[float], looks: Sequence[npt.NDArray[np.floating]]) -> list[float]:
    """F features of one text at a point.

    Args:
        signal: the 1 + P features of its signal.
        looks: of each exit seen, in order, (C,) probabilities.
    """
    if any(len(look) > min(_IN_A_ROW, MOST_CLASSES) for look in looks):
        row: list[float] = features(np.array([signal]), [look[None] for look in looks])[0].tolist()
        return row
    found, tops, best = list(signal), [], []
    for look in looks:
        given = look.tolist()
        winner = given.index(max(given))
        sizes = sorted(p if p > FLOOR else FLOOR for p in given)
        first = sizes[-1]
        rest = 1 - first
        top = log(first / (rest if rest > FLOOR else FLOOR))
        entropy = 0.0
        for size in sizes:
            entropy += size * log(size)
        found += [top, -entropy]
        if len(sizes) > 2:
            found.append(log(first / sizes[-2]))
        is_class = [1.0 if winner == number else 0.0 for number in range(1, len(sizes))]
        found += is_class
        found += [each * top for each in is_class]
        tops.append(top)
        best.append(winner)
    found += [1.0 if winner == best[-1] else 0.0 for winner in best[:-1]]
    found += [top * top for top in tops]
    return found


def choose_one(chooser: Chooser, x: Sequence[float]) -> int:
    """As :meth:`dimec.policies.cascade.choosing.Chooser.choose`, of F features."""
    best, most = 0, float("-inf")
    for number, (weights, bias, logistic, cost) in enumerate(chooser.plain):
        value = 0.0
        for feature, weight in zip(x, weights, strict=True):
            value += feature * weight
        value += bias
        utility = (sigmoid_of(value) if logistic else value) - cost
        if utility > most:
            best, most = number, utility
    return best + (not chooser.point.seen)
