"""The choice for one text, as it stands in front of every step on a device: plain numbers.

It gives, to the last bit, what :mod:`dimec.policies.cascade.features` and
:class:`dimec.policies.cascade.choosing.Chooser` give for it among others, in less time: of a few
classes there is little to compute, and right after layers have run, calls into numpy take long, for
the layers have pushed what they need out of the processor's caches. So what can be computed before
layers run is kept: the features so far, and what they add to the next point's choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np
import numpy.typing as npt

from dimec.policies.cascade.choosing import Begun, Chooser
from dimec.policies.cascade.exactly import sigmoid_of
from dimec.policies.cascade.features import FLOOR, MOST_CLASSES, features

# numpy adds up to so many numbers one after the other, and more of them in another order.
_IN_A_ROW = 7
MOST = min(_IN_A_ROW, MOST_CLASSES)  # classes


class Sofar:
    """What is known of one text on its way: its signal, and the exits that have spoken so far.

    Args:
        signal: the 1 + P features of its signal.

    Attributes:
        signal: the same.
        looks: how many exits have spoken.
    """

    __slots__ = ("_begun", "_best", "_chooser", "_found", "_squares", "looks", "signal")

    def __init__(self, signal: Sequence[float]) -> None:
        self.signal, self.looks = signal, 0
        self._found = [*signal]
        self._squares: list[float] = []
        self._best: list[int] = []
        self._chooser: Chooser | None = None
        self._begun: Sequence[Begun] = ()

    def see(self, probabilities: Sequence[float]) -> None:
        """One more exit has spoken, of at most :data:`MOST` classes."""
        if len(probabilities) == 2:
            top, entropy, winner = _of_two(*probabilities)
            is_second = 1.0 if winner else 0.0
            self._found += (top, entropy, is_second, is_second * top)
        else:
            top, shape, winner = _of_some(probabilities)
            is_class = [1.0 if winner == one else 0.0 for one in range(1, len(probabilities))]
            self._found += [top, *shape, *is_class, *(each * top for each in is_class)]
        self.looks += 1
        self._squares.append(top * top)
        self._best.append(winner)

    def features(self) -> list[float]:
        """F features at the point where these exits have spoken."""
        best = self._best
        if len(best) < 2:
            return [*self._found, *self._squares]
        last = best[-1]
        agree = [1.0 if winner == last else 0.0 for winner in best[:-1]]
        return [*self._found, *agree, *self._squares]

    def ahead(self, chooser: Chooser) -> None:
        """Add up, for each choice of the next point, what is known by now."""
        found, known = self._found, len(self._found)
        begun = []
        for value, weights, bias, logistic, cost in chooser.plain:
            for feature, weight in zip(found, weights, strict=False):
                value += feature * weight
            begun.append((value, weights[known:], bias, logistic, cost))
        self._chooser, self._begun = chooser, begun

    def choose(self, chooser: Chooser) -> int:
        """As :meth:`dimec.policies.cascade.choosing.Chooser.choose`."""
        x = self.features()
        if chooser is not self._chooser:
            return choose_one(chooser, x)
        begun = self._begun
        return _best(begun, x[-len(begun[0][1]) :])


def features_one(signal: Sequence[float], looks: Sequence[npt.NDArray[np.floating]]) -> list[float]:
    """F features of one text at a point.

    Args:
        signal: the 1 + P features of its signal.
        looks: of each exit seen, in order, (C,) probabilities.
    """
    if any(len(look) > MOST for look in looks):
        row: list[float] = features(np.array([signal]), [look[None] for look in looks])[0].tolist()
        return row
    sofar = Sofar(signal)
    for look in looks:
        sofar.see(look.tolist())
    return sofar.features()


def choose_one(chooser: Chooser, x: Sequence[float]) -> int:
    """As :meth:`dimec.policies.cascade.choosing.Chooser.choose`, of F features."""
    return _best(chooser.plain, x) + (not chooser.point.seen)


def _best(choices: Sequence[Begun], x: Sequence[float]) -> int:
    """The choice of the highest utility; of two alike the first."""
    best, most = 0, float("-inf")
    for number, (value, weights, bias, logistic, cost) in enumerate(choices):
        for feature, weight in zip(x, weights, strict=True):
            value += feature * weight
        value += bias
        utility = (sigmoid_of(value) if logistic else value) - cost
        if utility > most:
            best, most = number, utility
    return best


def _of_two(first: float, second: float) -> tuple[float, float, int]:
    """Of two classes the log-odds of the larger probability, the entropy, and which is larger."""
    winner = 1 if second > first else 0
    low, high = (first, second) if winner else (second, first)
    if low < FLOOR:
        low = FLOOR
    if high < FLOOR:
        high = FLOOR
    rest = 1 - high
    top = log(high / (rest if rest > FLOOR else FLOOR))
    return top, -(low * log(low) + high * log(high)), winner


def _of_some(given: Sequence[float]) -> tuple[float, list[float], int]:
    """Likewise of any number of classes, with the margin where there are more than two."""
    winner = given.index(max(given))
    sizes = sorted(p if p > FLOOR else FLOOR for p in given)
    first = sizes[-1]
    rest = 1 - first
    top = log(first / (rest if rest > FLOOR else FLOOR))
    entropy = 0.0
    for size in sizes:
        entropy += size * log(size)
    shape = [-entropy]
    if len(sizes) > 2:
        shape.append(log(first / sizes[-2]))
    return top, shape, winner
