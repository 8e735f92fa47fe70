"""Curves in words and numbers: the table of savings, the notes on it, and the contract."""

from __future__ import annotations

from dataclasses import asdict
from html import escape
from typing import TYPE_CHECKING, Any

from dimec.contract.promise import promise_in
from dimec.evaluation.curves import ALLOWED_DROP, Curve, CurvePoint, Curves
from dimec.report.blocks import Column
from dimec.report.style import Series
from dimec.report.wording import find_row, interval, minus, percent, setting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dimec.evaluation.ledger import Ledger

_DIGITS = 2  # of a drop: half a point is at stake
_NONE = "none"


def saving_title() -> str:
    """``Saving at a drop of at most 0.5 points, knob chosen on validation``."""
    return (
        f"Saving at a drop of at most {100 * ALLOWED_DROP:g} points, knob chosen on the "
        "validation split"
    )


def saving_note(curves: Curves) -> str:
    """What a reader must know of the table."""
    tiers = "" if len(curves.tiers) > 1 else " There is one tier, so that no policy has an area."
    return (
        "Each policy is fitted along its knob on the validation split, and set where it saves most "
        f"of all settings that lose at most {100 * ALLOWED_DROP:g} points there; drop and "
        "reduction are what that setting does on the test split, where the drop may be larger: "
        "this is no promise. Area: between the whole curve and the best mix of single tiers at the "
        f"same cost, in percent of the oracle's.{tiers}"
    )


def saving_columns(curves: Curves) -> list[Column]:
    """A row a curve: its knob, and what it does on the test split."""
    rows = [_cells(curves, curve) for curve in curves.curves]
    titles = ("\npolicy", "\nknob", "drop\npoints", "95 %\ninterval", "reduc-\ntion %")
    columns = zip((*titles, "95 %\ninterval", "area\n%"), zip(*rows, strict=True), strict=False)
    return [Column(title, cells, words=place < 2) for place, (title, cells) in enumerate(columns)]


def saving_html(curves: Curves) -> str:
    """The same as an HTML table."""
    columns = saving_columns(curves)
    titles = [one.title.replace("-\n", "").replace("\n", " ").strip() for one in columns]
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    body = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{escape(minus(cell))}</td>" for cell in cells)
        + "</tr>"
        for name, *cells in zip(*(one.cells for one in columns), strict=True)
    )
    return (
        f'<table class="ledger">\n<caption>{escape(saving_title())}.</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"
    )


def _cells(curves: Curves, curve: Curve) -> list[str]:
    share = curves.area_share(curve)
    area = "-" if share is None else percent(share)
    best = curve.chosen()
    if best is None:
        return [curve.policy, _NONE, "-", "-", "-", "-", area]
    return [
        curve.policy,
        knob_text(curve, best),
        percent(best.drop, _DIGITS),
        interval(best.drop_low, best.drop_high),
        percent(best.reduction),
        interval(best.reduction_low, best.reduction_high),
        area,
    ]


def knob_text(curve: Curve, point: CurvePoint) -> str:
    """``λ 0.01``, or ``threshold 0.9``."""
    if point.lam is not None:
        return f"λ {setting(point.lam)}"
    names = curve.knob.split(", ")
    return ", ".join(f"{name} {setting(point.settings.get(name))}" for name in names)


def with_curves(ledger: Series, curves: Curves) -> Series:
    """The ledger's records, and behind them one a point of a curve.

    Three columns are added: ``knob``, empty for records of the ledger; ``chosen``, 1 for the point
    of the table of savings; and drop and reduction on the validation split. Columns of the ledger
    that a point has not are empty.
    """
    points = [
        {
            **_numbers(point),
            "policy": curve.policy,
            "knob": knob_text(curve, point),
            "chosen": int(point is curve.chosen()),
        }
        for curve in curves.curves
        for point in curve.points
    ]
    count = len(next(iter(ledger.columns.values())))
    more = ("knob", "chosen", "validation_drop", "validation_reduction")
    names = [*ledger.columns, *(name for name in more if name not in ledger.columns)]
    return Series(
        {
            name: [*ledger.columns.get(name, [None] * count), *(one.get(name) for one in points)]
            for name in names
        }
    )


def _numbers(point: CurvePoint) -> dict[str, Any]:
    return {key: v for key, v in asdict(point).items() if key not in ("settings", "lam")}


def contract_sentence(context: Mapping[str, Any]) -> str:
    """What the fitted policy was accepted for; empty without a contract.

    Raises:
        CorruptArtefactError: the contract cannot be read.
    """
    promise = promise_in(context)
    if promise is None:
        return ""
    return (
        f"The fitted policy was accepted for a contract, {promise.told()}, on "
        f"{setting(promise.calibration.rows)} calibration rows. The rows of this test split had "
        "no part in that, and are a sample too: their drop may lie above the bound by chance."
    )


def contract_lines(ledger: Ledger) -> tuple[float | None, float | None]:
    """Lowest accuracy (a fraction) and highest cost (λ) that the contract allows, where it does.

    A share of different answers bounds the drop too: no answer can be lost that does not differ.

    Raises:
        CorruptArtefactError: the contract cannot be read.
    """
    promise = promise_in(ledger.context)
    if promise is None:
        return None, None
    points = promise.max_accuracy_drop
    if points is None:
        points = promise.max_disagreement
    reference = find_row(ledger, ledger.reference)
    if points is None or reference is None:
        return None, promise.max_cost
    return reference.accuracy - points / 100, promise.max_cost
