"""The paths of N inputs through the tiers, and what they take.

A path is the visits of one input, in order: a tier, and the layers that ran there. The paths of N
inputs are legs: the j-th leg is a visit to one tier by those inputs that made it. Usage, and with
it λ, milliseconds, joules, money and bytes, is derived here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray
from dimec.base.errors import DataError
from dimec.tiers.deployment import Deployment
from dimec.tiers.usage import Usage, text_bytes


@dataclass(frozen=True, eq=False)
class Leg:
    """A visit to one tier by some of N inputs. Each array is (N,) float64.

    Where lots are drawn, ``taken`` and ``ends`` are probabilities.

    Attributes:
        tier: its position among the tiers.
        start: layers that had run when the input arrived: 0 where it came as text.
        stop: the layer up to which the tier ran it, from ``start`` on.
        taken: whether the input made this visit.
        ends: whether the path ends here.
        payload: bytes that were sent to the tier for it.
    """

    tier: int
    start: FloatArray
    stop: FloatArray
    taken: FloatArray
    ends: FloatArray
    payload: FloatArray


def leg(
    size: int,
    tier: int,
    stop: npt.ArrayLike,
    *,
    start: npt.ArrayLike = 0.0,
    taken: npt.ArrayLike = 1.0,
    ends: npt.ArrayLike | None = None,
    payload: npt.ArrayLike = 0.0,
) -> Leg:
    """A leg of ``size`` inputs; a number holds for all, and what is taken ends here by default.

    Example:
        >>> leg(2, 0, stop=[2, 4]).stop
        array([2., 4.])
    """

    def column(values: npt.ArrayLike) -> FloatArray:
        return np.zeros(size) + np.asarray(values, np.float64)

    made = column(taken)
    last = made if ends is None else column(ends)
    return Leg(tier, column(start), column(stop), made, last, column(payload))


def tier_legs(
    deployment: Deployment, lengths: npt.NDArray[np.integer], weights: npt.NDArray[np.floating]
) -> list[Leg]:
    """The paths of sending sample i, as text, to tier k with probability ``weights[i, k]``.

    Nothing runs before the tier is chosen (equation 5): λ_m·m, λ_e·n + o_e, or o_c + γ.

    Args:
        deployment: whose K tiers are chosen among.
        lengths: (N,) tokens of each sample.
        weights: (N, K).
    """
    payload = text_bytes(lengths)
    return [
        leg(len(lengths), k, tier.layer, taken=weights[:, k], payload=payload)
        for k, tier in enumerate(deployment.tiers)
    ]


def usage_of(legs: Sequence[Leg], deployment: Deployment) -> Usage:
    """What the paths of these legs take of a deployment's tiers.

    A visit runs the layers from ``start`` to ``stop``, is a sending wherever it is not to the
    first tier, and is charged stop / layer of the tier's visit: in full where it runs to the
    tier's own exit, its share where it stops early.

    Args:
        legs: of N inputs each.
        deployment: whose tiers they visit.

    Raises:
        DataError: no leg, or one to a tier that there is not.
    """
    if not legs or not all(one.tier in range(len(deployment)) for one in legs):
        raise DataError(f"expected legs to the tiers 0 to {deployment.last}, got {legs!r:.100}")
    shape = (len(legs[0].stop), len(deployment))
    layers, sent, charges, payload = (np.zeros(shape) for _ in range(4))
    for one in legs:
        k = one.tier
        layers[:, k] += (one.stop - one.start) * one.taken
        charges[:, k] += one.stop / deployment.tiers[k].layer * one.taken
        if k:
            sent[:, k] += one.taken
            payload[:, k] += one.payload * one.taken
    return Usage(layers, sent, charges, payload)


def ends_of(legs: Sequence[Leg], tiers: int) -> FloatArray:
    """(N, K) probability that each tier was the last that an input visited."""
    table = np.zeros((len(legs[0].ends), tiers))
    for one in legs:
        table[:, one.tier] += one.ends
    return table
