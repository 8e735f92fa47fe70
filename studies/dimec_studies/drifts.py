"""How soon the monitors of a contract speak on real traces that drift, and how often in vain.

Two drifts: texts become harder, as rows become likelier on which the tiers' exits disagree; or the
device becomes worse, as a share of the first tier's own answers turns into another class, with
nothing in its confidence to show it.

Rows of an audit are drawn independently, and a monitor sees of each only whether the answer differs
and D: so an audit is drawn from the shares of these among the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from dimec.base.arrays import BoolArray, FloatArray
from dimec.contract.losses import Drops, Losses
from dimec.contract.monitor import STAKES, bet, cash
from dimec.contract.registry import WITHOUT_LABELS, contract_test
from dimec_studies.populations import Population

WATCHED = ("differences", "drops", "either")
_QUANTILES = (0.1, 0.5, 0.9)
_BLOCK = 500  # rows that are drawn at once


class Audits(BaseModel):
    """What is drawn of audits.

    Attributes:
        fits: of the fits of a task those whose monitors are watched.
        streams: audits of each of these.
        rows: of the calibration that the watched policy has.
        peace, audited: audited rows before a drift, and after it at most.
        reweighted: how many times likelier rows become on which the tiers' exits disagree.
        flipped: shares of the first tier's answers that turn into another class.
        share: of texts that are audited.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fits: int = 4
    streams: int = 100
    rows: int = 2_000
    peace: int = 2_000
    audited: int = 20_000
    reweighted: tuple[float, ...] = (2.0, 4.0, 8.0)
    flipped: tuple[float, ...] = (0.02, 0.05, 0.1)
    share: float = 0.01


@dataclass(frozen=True)
class Mix:
    """Shares of rows, by what a monitor sees of them.

    Attributes:
        lost: only the last tier is right.
        won: only the policy is.
        other: the answers differ, and both are wrong.
    """

    lost: float
    won: float
    other: float

    @property
    def different(self) -> float:
        """The share of different answers."""
        return self.lost + self.won + self.other

    @property
    def drop(self) -> float:
        """The drop."""
        return self.lost - self.won


def drifts(
    populations: Sequence[Population], alpha: float, delta: float, seed: int, audits: Audits
) -> list[dict[str, Any]]:
    """A line for no drift, and for each drift and its strength.

    The policy that is watched is the cheapest of the path that keeps a drop of Δ in its population.
    As in ``dimec predict --audit``, each of the two monitors has α / 2; the bound on different
    answers is what one calibration gave, that on drops is Δ.

    Args:
        populations: a fit each.
        alpha: one minus the confidence.
        delta: Δ, a share.
        seed: of the calibrations and the audits.
        audits: what is drawn.
    """
    kinds = [("none", 0.0)]
    kinds += [("harder texts", strength) for strength in audits.reweighted]
    kinds += [("worse device", strength) for strength in audits.flipped]
    found: list[list[_Watched]] = [[] for _ in kinds]
    for fit, drawn in enumerate(populations[: audits.fits]):
        rng = np.random.default_rng((seed, fit))
        place = watched(drawn, delta, alpha, audits.rows)
        bounds = _bound(drawn, place, audits.rows, alpha, rng), delta
        before = mix_of(drawn, place)
        peace = Money.begun(audits.streams, bounds, alpha / 2).after(before, audits.peace, rng)
        for lines, (kind, strength) in zip(found, kinds, strict=True):
            after = mix_of(drawn, place, kind, strength)
            alarms = peace.after(after, audits.audited, rng).alarms
            lines.append(_Watched(before, after, bounds[0], alarms))
    return [
        _line(kind, strength, lines, audits)
        for (kind, strength), lines in zip(kinds, found, strict=True)
    ]


def watched(drawn: Population, delta: float, alpha: float, rows: int) -> int:
    """Position of the cheapest policy of the path that keeps Δ in the population.

    Where none does, the cheapest of all that do.
    """
    kept = drawn.true_drop <= delta
    for place in reversed(drawn.path(delta, alpha, rows)):
        if kept[place]:
            return place
    return int(np.where(kept, drawn.true_saving, -np.inf).argmax())


def mix_of(drawn: Population, place: int, kind: str = "none", strength: float = 0.0) -> Mix:
    """What a monitor sees of a policy's rows, after a drift.

    Args:
        drawn: the population.
        place: position of the policy.
        kind: ``"none"``, ``"harder texts"`` or ``"worse device"``.
        strength: how many times likelier rows become on which the exits disagree; the share of the
            first tier's answers that turn.
    """
    drop, different = drawn.drop[place], drawn.different[place]
    if kind == "harder texts":
        weights = np.where(drawn.parted, strength, 1.0)
        return _mix(drop, different, weights / weights.sum())
    even = np.full(len(drawn), 1 / len(drawn))
    calm = _mix(drop, different, even)
    if kind == "none":
        return calm
    turned = _mix(drawn.flipped[place], drawn.astray[place], even)
    return Mix(
        *(
            (1 - strength) * getattr(calm, part) + strength * getattr(turned, part)
            for part in ("lost", "won", "other")
        )
    )


def _mix(drop: Drops, different: BoolArray, weights: FloatArray) -> Mix:
    return Mix(
        float(weights @ (drop == 1)),
        float(weights @ (drop == -1)),
        float(weights @ (different & (drop == 0))),
    )


def _bound(
    drawn: Population, place: int, rows: int, alpha: float, rng: np.random.Generator
) -> float:
    """On different answers, of one calibration."""
    there = drawn.different[place][rng.integers(len(drawn), size=rows)]
    return contract_test(WITHOUT_LABELS).upper(Losses(None, there), alpha)


@dataclass(frozen=True, eq=False)
class Money:
    """Two monitors on each of S streams.

    Attributes:
        bounds: on different answers, and on the drop.
        alpha: of each monitor.
        seen: rows so far.
        invested: (S, K) of each monitor.
        alarms: (2, S) the row of each monitor's alarm; infinite where there is none.
    """

    bounds: tuple[float, float]
    alpha: float
    seen: int
    invested: tuple[FloatArray, FloatArray]
    alarms: FloatArray

    @classmethod
    def begun(cls, streams: int, bounds: tuple[float, float], alpha: float) -> Money:
        nothing = np.zeros((streams, STAKES))
        return cls(bounds, alpha, 0, (nothing, nothing), np.full((2, streams), np.inf))

    def after(self, mix: Mix, rows: int, rng: np.random.Generator) -> Money:
        """After so many more rows; fewer, where all monitors have spoken."""
        alarms, invested = self.alarms.copy(), list(self.invested)
        for done in range(0, rows, _BLOCK):
            u = rng.random(size=(min(_BLOCK, rows - done), alarms.shape[1]))
            won = np.where(u < mix.lost + mix.won, -1.0, 0.0)
            seen = np.where(u < mix.different, 1.0, 0.0), np.where(u < mix.lost, 1.0, won)
            for which, (values, bound) in enumerate(zip(seen, self.bounds, strict=True)):
                for row, each in enumerate(values, self.seen + done + 1):
                    if np.isfinite(alarms[which]).all():
                        break
                    invested[which] = bet(invested[which], row, each, bound, -which)
                    rich = invested[which].sum(axis=1) + cash(row) >= 1 / self.alpha
                    alarms[which] = np.where(rich, np.minimum(alarms[which], row), alarms[which])
        return Money(self.bounds, self.alpha, self.seen + rows, (invested[0], invested[1]), alarms)


@dataclass(frozen=True, eq=False)
class _Watched:
    """One fit's audits: shares before and after, the bound on differences, and (2, S) alarms."""

    before: Mix
    after: Mix
    bound: float
    alarms: FloatArray


def _line(kind: str, strength: float, lines: Sequence[_Watched], audits: Audits) -> dict[str, Any]:
    alarms = np.concatenate([one.alarms for one in lines], axis=1)
    rows = dict(zip(WATCHED, (*alarms, alarms.min(axis=0)), strict=True))
    means = {
        f"{what}_{when}": float(np.mean([getattr(getattr(one, when), what) for one in lines]))
        for what in ("different", "drop")
        for when in ("before", "after")
    }
    return {
        "kind": kind,
        "strength": strength,
        "streams": alarms.shape[1],
        **means,
        "bound": float(np.mean([one.bound for one in lines])),
        "monitors": {name: _speaks(each, audits.peace, kind) for name, each in rows.items()},
    }


def _speaks(alarms: FloatArray, peace: int, kind: str) -> dict[str, Any]:
    """How many speak in vain, how many after the drift, and after how many of its rows."""
    early = alarms <= peace if kind != "none" else np.isfinite(alarms)
    delays = np.where(early, np.inf, alarms - peace)
    quantiles = [float(np.quantile(delays, q, method="lower")) for q in _QUANTILES]
    return {
        "in_vain": float(early.mean()),
        "spoken": float(np.isfinite(delays).mean()),
        "delay": [int(one) if np.isfinite(one) else None for one in quantiles],
    }
