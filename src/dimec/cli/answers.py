"""How the command line shows answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from dimec.base.errors import shown

if TYPE_CHECKING:
    from dimec.mobile import Mobile, Prediction
    from dimec.mobile.core import Text
    from dimec.report.blocks import Columns

_LONGEST = 48  # characters of a text in a table


def answer_line(prediction: Prediction) -> str:
    """One answer on one line."""
    p = prediction
    return (
        f"{shown(p.label)} {p.probability:.3f} · route {_route(p)} (margin {_margin(p)}) · "
        f"answered by {_answered(p)} · {p.milliseconds:.1f} ms · {p.cost:g} λ{_unrecorded(p)}"
    )


def answer_table(texts: Iterable[Text], predictions: Iterable[Prediction]) -> Columns:
    """Some texts and their answers."""
    from rich import box

    from dimec.report.blocks import Column, Columns

    given = tuple(predictions)
    return Columns(
        [
            Column("text", [_shown(text) for text in texts], words=True),
            Column("label", [shown(p.label) for p in given], words=True),
            Column("prob-\nability", [f"{p.probability:.3f}" for p in given]),
            Column("route", [_route(p) for p in given], words=True),
            Column("margin", [_margin(p) for p in given]),
            Column("answered by", [_answered(p) + _unrecorded(p) for p in given], words=True),
            Column("ms", [f"{p.milliseconds:.1f}" for p in given]),
            Column("cost\nλ", [f"{p.cost:g}" for p in given]),
        ],
        gap=1,
        box=box.SIMPLE_HEAD,
    )


class Tally:
    """What a command's own answers add up to."""

    def __init__(self) -> None:
        self._answered: Counter[str] = Counter()
        self._fallbacks: Counter[str] = Counter()
        self._cost = 0.0
        self._unrecorded = 0

    def add(self, prediction: Prediction) -> None:
        """Count an answer."""
        self._answered[prediction.answered_by] += 1
        self._cost += prediction.cost
        self._unrecorded += not prediction.recorded
        if prediction.fallback_reason is not None:
            self._fallbacks[prediction.fallback_reason] += 1

    def lines(self, mobile: Mobile) -> list[str]:
        """The sums, in words."""
        answers = self._answered.total()
        if not answers:
            return ["no text was left to answer"]
        last, mean = mobile.engine.deployment.tiers[-1], self._cost / answers
        by = ", ".join(f"{tier} {count}" for tier, count in self._answered.most_common())
        lines = [f"{answers} answers: {by}; mean cost {mean:.2f} λ, {last.name} {last.price:g} λ"]
        lines += [
            f"{count} fell back, {reason}" for reason, count in self._fallbacks.most_common(5)
        ]
        if self._unrecorded:
            lines.append(f"{self._unrecorded} were given and not recorded at once: no room")
        return lines


def missing_tiers(served: Iterable[str], urls: Mapping[str, str]) -> str | None:
    """A note on those of the served tiers that no address was given for."""
    missing = [tier for tier in served if tier not in urls]
    if not missing:
        return None
    return (
        f"no address of the {' and the '.join(missing)} was given: texts routed there are answered "
        "by the next best tier (not configured)"
    )


def _margin(prediction: Prediction) -> str:
    return "-" if prediction.margin is None else f"{prediction.margin:.3f}"


def _route(prediction: Prediction) -> str:
    """Where the policy sent it, and what it passed on the way to the answer."""
    way = [stay.tier for stay in prediction.path]
    return " → ".join(way) if len(way) > 1 else prediction.route


def _answered(prediction: Prediction) -> str:
    reason = prediction.fallback_reason
    return prediction.answered_by if reason is None else f"{prediction.answered_by} ({reason})"


def _unrecorded(prediction: Prediction) -> str:
    return "" if prediction.recorded else ", not recorded"


def _shown(text: Text) -> str:
    whole = " / ".join(text) if isinstance(text, tuple) else text
    return shown(" ".join(whole.split()), _LONGEST)
