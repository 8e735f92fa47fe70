"""The report's sentences say what the numbers say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.evaluation.ledger import Ledger
from dimec.report.wording import (
    interval,
    join,
    ledger_notes,
    percent,
    pool_sentences,
    setting,
    single_tier_sentences,
    summary,
)

Change = Callable[..., Ledger]
ALL_EASY = np.zeros(4, dtype=np.int64)


def _first(ledger: Ledger) -> str:
    return summary(ledger, ALL_EASY)[0]


def test_a_clear_loss_and_a_clear_advantage_over_random(ledger: Ledger) -> None:
    assert _first(ledger) == (
        "dimec-fixed saves 34.1 % of the cost of sending everything to the cloud and loses 2.5 "
        "points of accuracy (95 % interval 1.2 to 3.8). Of the inputs, it answers 61.0 % on the "
        "mobile, 9.0 % at the edge and 30.0 % in the cloud. Random routing with the same shares "
        "loses 5.2 points, 2.7 points worse than the router (95 % interval 1.1 to 4.2)."
    )


def test_an_interval_around_zero_is_not_called_a_loss_that_was_shown(
    ledger: Ledger, change_row: Change
) -> None:
    text = _first(change_row(ledger, "dimec-fixed", drop=0.003, drop_low=-0.004, drop_high=0.011))
    assert "loses 0.3 points of accuracy (95 % interval -0.4 to 1.1)" in text
    assert "the interval includes 0, so these test rows do not show that accuracy changes" in text


def test_a_gain_is_told_as_a_gain_with_its_interval_turned(
    ledger: Ledger, change_row: Change
) -> None:
    text = _first(change_row(ledger, "dimec-fixed", drop=-0.01, drop_low=-0.02, drop_high=-0.005))
    assert "gains 1.0 points of accuracy (95 % interval 0.5 to 2.0)" in text
    assert "includes 0" not in text


@pytest.mark.parametrize(
    ("random_drop", "words"),
    [
        (0.025, "It does no better than random: random routing with the same shares loses 2.5"),
        (0.020, "It does worse than random: random routing with the same shares loses 2.0"),
        (0.034, "loses 3.4 points, 0.9 points worse than the router (95 % interval 1.1 to 4.2)"),
        (0.000, "random routing with the same shares loses nothing"),
        (-0.01, "random routing with the same shares gains 1.0 points"),
    ],
)
def test_the_comparison_with_random_falls_whichever_way_it_falls(
    ledger: Ledger, change_row: Change, random_drop: float, words: str
) -> None:
    assert words in _first(change_row(ledger, "random@dimec-fixed", drop=random_drop))


def test_an_advantage_whose_interval_includes_0_may_be_chance(
    ledger: Ledger, change_row: Change
) -> None:
    text = _first(change_row(ledger, "dimec-fixed", gain_low=-0.002))
    assert text.endswith(
        "2.7 points worse than the router (95 % interval -0.2 to 4.2); the interval includes 0, "
        "so the advantage may be chance."
    )


def test_the_notes_tell_the_gain_over_random(ledger: Ledger) -> None:
    gained = "dimec-fixed 2.7 (95 % interval 1.1 to 4.2)"
    told = f"Points gained over random with the same shares: {gained}."
    assert told in ledger_notes(ledger)


def test_a_loss_against_random_is_told_with_its_own_interval(
    ledger: Ledger, change_row: Change
) -> None:
    worse = change_row(ledger, "dimec-fixed", gain=-0.008, gain_low=-0.017, gain_high=0.001)
    gained = "dimec-fixed -0.8 (95 % interval -1.7 to 0.1)"
    assert f"Points gained over random with the same shares: {gained}." in ledger_notes(worse)
    better = change_row(worse, "random@dimec-fixed", drop=worse.row("dimec-fixed").drop - 0.008)
    assert "0.8 points better than the router (95 % interval -0.1 to 1.7)" in _first(better)


def test_a_ledger_without_gains_is_told_without_their_interval(
    ledger: Ledger, change_row: Change
) -> None:
    old = change_row(ledger, "dimec-fixed", gain=None, gain_low=None, gain_high=None)
    assert _first(old).endswith("2.7 points worse than the router.")
    assert not [note for note in ledger_notes(old) if note.startswith("Points gained")]


def test_a_router_that_costs_more_is_not_said_to_save(ledger: Ledger, change_row: Change) -> None:
    text = _first(change_row(ledger, "dimec-fixed", reduction=-0.031))
    assert "costs 3.1 % more than sending everything to the cloud" in text
    assert "saves" not in text


def test_a_router_that_uses_one_tier_routes_nothing(ledger: Ledger, change_row: Change) -> None:
    shares = {"share_mobile": 0.0, "share_edge": 0.0, "share_cloud": 1.0}
    values = {"drop": 0.0, "drop_low": 0.0, "drop_high": 0.0, "reduction": 0.0}
    text = _first(change_row(ledger, "dimec-fixed", **shares, **values))
    assert "costs as much as sending everything to the cloud" in text
    assert "neither loses nor gains accuracy." in text
    assert "answers every input in the cloud" in text
    assert "nothing is routed" in text


def test_the_oracle_is_told_apart_from_what_can_be_deployed(ledger: Ledger) -> None:
    assert (
        "An oracle that sees the labels, which no router can reach" in summary(ledger, ALL_EASY)[1]
    )


def test_an_empty_pool_is_reported_in_words() -> None:
    text = " ".join(pool_sentences(np.array([0, 0, 2])))
    assert "The 3 validation samples are 2 easy, 0 medium and 1 hard." in text
    assert "The medium pool is empty: the edge gets no traffic." in text
    assert "hard pool" not in text


def test_no_pool_is_called_empty_where_none_is() -> None:
    assert len(pool_sentences(np.array([0, 1, 2]))) == 1


def test_numbers_that_are_not_finite_break_no_sentence(ledger: Ledger, change_row: Change) -> None:
    nan = float("nan")
    text = _first(change_row(ledger, "dimec-fixed", drop=nan, drop_low=nan, drop_high=nan))
    assert "has no known accuracy" in text
    assert "nan" not in text


@given(st.floats(-2, 2))
def test_percent_is_within_half_a_digit_and_never_minus_zero(fraction: float) -> None:
    text = percent(fraction)
    assert abs(float(text) - 100 * fraction) <= 0.05 + 1e-9
    assert text != "-0.0"


def test_interval_and_settings_and_lists_as_people_write_them() -> None:
    assert interval(-0.012, 0.038) == "-1.2 to 3.8"
    assert interval(0.1, 0.1) == "-"
    assert interval(float("nan"), 0.1) == "n/a"
    assert [setting(v) for v in (8484, 0.011234567, [2, 3], True, None, "x")] == [
        "8,484",
        "0.01123",
        "2, 3",
        "yes",
        "none",
        "x",
    ]
    assert [join(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]


def test_a_single_tier_that_beats_a_router_is_said_first(
    ledger: Ledger, change_row: Change
) -> None:
    better = change_row(ledger, "all-edge", drop=0.025, metric=0.77)  # at 5.50 λ, the router's 5.93
    assert summary(better, ALL_EASY)[0] == (
        "No router is needed on these test rows: the edge alone (all-edge) is cheaper than "
        "dimec-fixed and at least as good. It costs 5.50 λ an answer in place of 5.93 λ, and loses "
        "2.5 points of accuracy (95 % interval 5.2 to 8.7)."
    )
    assert summary(better, ALL_EASY)[1:] == summary(ledger, ALL_EASY)


@pytest.mark.parametrize(
    "changed",
    [
        {"drop": 0.026, "metric": 0.9},  # worse in accuracy
        {"drop": 0.01, "metric": 0.76},  # worse by the task's own score
        {"drop": 0.01, "metric": 0.9, "cost": 5.93},  # not cheaper
        {"drop": float("nan"), "metric": 0.9},
    ],
)
def test_nothing_is_said_first_where_no_tier_is_both_cheaper_and_as_good(
    ledger: Ledger, change_row: Change, changed: dict[str, float]
) -> None:
    assert single_tier_sentences(change_row(ledger, "all-edge", **changed)) == []


def test_of_two_tiers_that_beat_a_router_the_cheaper_is_named(
    ledger: Ledger, change_row: Change
) -> None:
    better = change_row(ledger, "all-edge", drop=0.0, metric=0.9)
    better = change_row(better, "all-mobile", drop=0.02, metric=0.8)
    (told,) = single_tier_sentences(better)
    assert "the mobile alone (all-mobile)" in told
