"""How far an exported tier is from the trained model, and whether that will do."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dimec.base.errors import ParityError
from dimec.bundle.manifest import Precision

TOLERANCE = 1e-4  # of a probability or an embedding's component, in fp32
AGREEMENT = 0.99  # share of rows with the same label, and route, in int8
SHOWN = 0.98  # the lower bound of that share's interval
_Z = 1.6448536  # one-sided 95 % of the normal distribution


@dataclass(frozen=True)
class ExitParity:
    """How far a tier's answers at one exit are from the trained model's.

    Attributes:
        exit: the layer.
        difference, agreement: as of a :class:`Parity`.
    """

    exit: int
    difference: float
    agreement: float


@dataclass(frozen=True)
class Parity:
    """How far a tier's graphs are from the trained model.

    Attributes:
        rows: texts that were compared.
        difference: the largest difference of a class probability, at any of its exits.
        agreement: share of the answers with the model's label; of those given to a row by itself
            and those given in a batch, and of the exits, whichever is lowest.
        routes: share of the rows that the policy sends the same way first, on the first tier;
            None elsewhere. Where it goes on depends on the answers, which are compared themselves.
        embedding: the largest difference of a pooled embedding's component; None elsewhere.
        made_up: how many of the rows are not of the run's data: the longest text, and texts of
            added tokens.
        exits: the same for each exit at which the tier may answer, ascending.
    """

    rows: int
    difference: float
    agreement: float
    routes: float | None = None
    embedding: float | None = None
    made_up: int = 1
    exits: tuple[ExitParity, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {**asdict(self), "exits": [asdict(each) for each in self.exits]}


def require_parity(tier: str, precision: Precision, parity: Parity, force: bool) -> None:
    """Refuse a tier whose answers are not the trained model's.

    Raises:
        ParityError: in fp32 a difference above 1e-4 or another route; in int8, unless forced,
            another label or route on more than 1 % of the rows, or on so many of so few rows that
            98 % is not below the interval of the share that is the same (:func:`lower_bound`).
    """
    share = min(parity.agreement, 1.0 if parity.routes is None else parity.routes)
    if not (np.isfinite(parity.difference) and np.isfinite(parity.embedding or 0)):
        raise ParityError(
            f"the exported {precision} {tier} tier gives values that are not finite, where the "
            "trained model's are; this is an error of the export"
        )
    if precision == "fp32":
        worst = max(parity.difference, parity.embedding or 0.0)
        if worst > TOLERANCE or parity.routes not in (None, 1.0):
            raise ParityError(
                f"the exported {tier} tier differs from the trained model by {worst:.1e} on "
                f"{parity.rows:,} rows, expected at most {TOLERANCE:.0e} and the same routes; "
                "this is an error of the export, not of the run"
            )
        return
    low = lower_bound(share, parity.rows)
    if (share < AGREEMENT or low < SHOWN) and not force:
        raise ParityError(
            f"the {tier} tier in int8 agrees with the trained model on {100 * share:.1f} % of "
            f"{parity.rows:,} rows (labels {_labels(parity)}, routes "
            f"{_percent(parity.routes)}), which shows {100 * low:.1f} %; expected "
            f"{100 * AGREEMENT:.0f} %, and {100 * SHOWN:.0f} % shown; leave it out of --int8, "
            "have more rows, or take it with --force"
        )


def lower_bound(share: float, rows: int) -> float:
    """What a share of so many rows shows: the lower end of its one-sided 95 % Wilson interval.

    With p the share, n the rows and z = 1.645:
    (p + z²/2n − z·√(p(1 − p)/n + z²/4n²)) / (1 + z²/n) (Wilson 1927). Where all rows agree it is
    n / (n + z²): 133 rows show 98 %.
    """
    part = _Z**2 / rows
    spread = math.sqrt(share * (1 - share) / rows + part / (4 * rows))
    return (share + part / 2 - _Z * spread) / (1 + part)


def _labels(parity: Parity) -> str:
    """The share of the same labels; where a tier has several exits, at each of them."""
    if len(parity.exits) < 2:
        return _percent(parity.agreement)
    return ", ".join(f"{_percent(each.agreement)} at layer {each.exit}" for each in parity.exits)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
