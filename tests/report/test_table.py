"""The ledger in the terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from dimec.evaluation.ledger import Ledger
from dimec.report import ledger_tables, ledger_text
from dimec.report.wording import percent


def _line(text: str, policy: str) -> list[str]:
    return next(line for line in text.splitlines() if line.startswith(f"{policy} ")).split()


def test_policies_stand_in_the_ledgers_order(ledger: Ledger) -> None:
    policies = {row.policy for row in ledger.rows}
    firsts = [line.split()[0] for line in ledger_text(ledger, width=120).splitlines() if line]
    assert [word for word in firsts if word in policies] == [row.policy for row in ledger.rows]
    [table] = ledger_tables(ledger, width=120)
    assert table.row_count == len(ledger.rows)


def test_wide_rows_hold_every_number_in_percent_points_and_lambda(ledger: Ledger) -> None:
    row = _line(ledger_text(ledger, width=120), "dimec-fixed")
    assert row[1:] == [
        "88.7",
        "2.5",
        "1.2",
        "to",
        "3.8",
        "5.93",
        "34.1",
        "32.3",
        "to",
        "36.0",
        "61.0",
        "9.0",
        "30.0",
    ]


def test_narrow_rows_hold_the_same_numbers_with_intervals_below(ledger: Ledger) -> None:
    text = ledger_text(ledger, width=80)
    assert _line(text, "dimec-fixed")[1:] == ["88.7", "2.5", "5.93", "34.1", "61.0", "9.0", "30.0"]
    assert "1.2 to 3.8" in text
    assert "32.3 to 36.0" in text


def test_a_value_that_no_draw_changes_has_a_dash_for_an_interval(ledger: Ledger) -> None:
    row = _line(ledger_text(ledger, width=120), "all-cloud")
    assert row[1:] == ["91.2", "0.0", "-", "9.00", "0.0", "-", "0.0", "0.0", "100"]


@pytest.mark.parametrize("metric", ["accuracy", "matthews", "f1"])
@pytest.mark.parametrize("width", [24, 40, 60, 70, 80, 100, 120])
def test_nothing_overflows_or_is_cut(ledger: Ledger, metric: str, width: int) -> None:
    text = ledger_text(replace(ledger, metric_name=metric), width=width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for row in ledger.rows:
        for value in (row.accuracy, row.drop, row.reduction, *row.shares.values()):
            assert percent(value).replace("100.0", "100") in text.split()
        assert f"{row.cost:.2f}" in text.split()


def test_columns_that_do_not_fit_stand_in_a_table_below(ledger: Ledger) -> None:
    text = ledger_text(ledger, width=40)
    rows = [line.split()[1:] for line in text.splitlines() if line.startswith("all-cloud ")]
    assert len(rows) > 1
    assert " ".join(map(" ".join, rows)) == "91.2 0.0 9.00 0.0 0.0 0.0 100"


def test_a_single_tier_that_beats_the_router_is_said_above(
    ledger: Ledger, change_row: Callable[..., Ledger]
) -> None:
    text = ledger_text(change_row(ledger, "all-edge", drop=0.01, metric=0.9), width=120)
    assert text.startswith("No router is needed on these test rows: the edge alone (all-edge)")
    assert ledger_text(ledger, width=120).startswith(" ")


def test_the_metric_has_a_column_only_where_it_is_not_accuracy(ledger: Ledger) -> None:
    [plain] = ledger_tables(ledger, width=120)
    [matthews] = ledger_tables(replace(ledger, metric_name="matthews"), width=120)
    assert len(matthews.columns) == len(plain.columns) + 1
    text = ledger_text(replace(ledger, metric_name="matthews"), width=120)
    assert "Matthews" in text
    assert _line(text, "dimec-fixed")[2] == "0.770"


def test_the_notes_say_whose_choice_the_charge_is_and_how_intervals_were_made(
    ledger: Ledger,
) -> None:
    text = " ".join(ledger_text(ledger, width=120).split())
    assert "γ = 6 λ is dimec's choice, not the paper's" in text
    assert "8,484 training rows and 1,061 test rows" in text
    assert "exits 2, 3, 6" in text
    assert "α 0.6; β 0.02; λ 0.01; grid quantile" in text
    assert "95 % paired bootstrap intervals over 1,000 draws" in text
    assert "random@dimec-fixed: random routing with the same tier shares" in text
    assert "expected value" in text
    assert "oracle sees the labels" in text


def test_values_that_are_not_finite_are_said_so(
    ledger: Ledger, change_row: Callable[..., Ledger]
) -> None:
    nan = float("nan")
    changed = change_row(ledger, "oracle", drop_low=nan, drop_high=nan, cost=nan)
    assert _line(ledger_text(changed, width=120), "oracle")[1:5] == ["96.2", "-5.0", "n/a", "n/a"]


def test_markup_in_a_policys_name_is_text(
    ledger: Ledger, change_row: Callable[..., Ledger]
) -> None:
    changed = change_row(ledger, "oracle", policy="[bold]x[/bold]")
    assert "[bold]x[/bold]" in ledger_text(changed, width=120)


def test_an_empty_ledger_without_context_is_a_table_without_rows() -> None:
    assert "policy" in ledger_text(Ledger((), "accuracy", {}), width=80)
