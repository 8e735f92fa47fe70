"""Tables are well-formed, and figures are written as they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec_studies.markdown import (
    anchor,
    bounded,
    count,
    details,
    significant,
    sizes,
    span,
    spread,
    table,
)

LETTERS = st.characters(exclude_characters="\\", exclude_categories=["Cc", "Cs"])
WORDS = st.text(st.one_of(st.just("|"), LETTERS), max_size=12)


@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(WORDS, min_size=n, max_size=n))))
def test_whatever_the_cells_hold_every_line_has_as_many(rows: list[list[str]]) -> None:
    width = len(rows[0]) if rows else 3
    lines = table(["x"] * width, rows).split("\n")
    assert len(lines) == 2 + len(rows)
    for line in lines:
        assert line.replace("\\|", "").count("|") == width + 1


def test_a_bar_in_a_cell_is_kept_and_ends_no_cell() -> None:
    assert table(["a"], [["x|y"]]).endswith("| x\\|y |")


def test_numbers_stand_at_the_right_and_words_at_the_left() -> None:
    assert table(["a", "b", "c"], [["x", "1", "2"]], texts=2) == (
        "| a | b | c |\n| --- | --- | ---: |\n| x | 1 | 2 |"
    )


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 2 cells a row, got 1"):
        table(["a", "b"], [["1", "2"], ["3"]])


def test_intervals_and_deviations() -> None:
    told = {"mean": 0.01449, "low": -0.002, "high": 0.0301, "sd": 0.0042}
    assert bounded(told, digits=2) == "1.45 (-0.20 to 3.01)"
    assert spread(told, digits=1) == "1.4 ± 0.4"
    assert bounded({"mean": 0.5, "low": 0.5, "high": 0.5}) == "50.0"
    assert bounded({"mean": 0.5, "low": None, "high": None}) == "50.0"
    assert bounded(None) == ""
    assert spread({"mean": 0.5, "sd": None}) == "50.0"
    assert spread({"mean": 0.5, "sd": 0.0001}) == "50.0"
    assert bounded({"mean": -0.00001}) == "0.0"


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        (0, "0"),
        (1234.56, "1,230"),
        (999.6, "1,000"),
        (12.345, "12.3"),
        (0.00123456, "0.00123"),
        (-45.678, "-45.7"),
        (float("nan"), "n/a"),
    ],
)
def test_three_digits_without_an_exponent(figure: float, words: str) -> None:
    assert significant(figure) == words


@given(st.floats(1e-9, 1e9))
def test_three_digits_are_within_half_a_percent(figure: float) -> None:
    assert float(significant(figure).replace(",", "")) == pytest.approx(figure, rel=0.005)


def test_ranges_counts_and_sizes() -> None:
    assert span([0.3, 0.1], unit=" %") == "10.0 to 30.0 %"
    assert span([0.10001, 0.1], unit=" %") == "10.0 %"
    assert count(1, "seed") == "1 seed"
    assert count(1200, "seed") == "1,200 seeds"
    assert sizes([2000, 1060.0, 2000]) == "1,060 or 2,000"


def test_anchors_are_those_that_renderers_make() -> None:
    heading = "Where ours differ from the paper's, and why (small)"
    assert anchor(heading) == "where-ours-differ-from-the-papers-and-why-small"
    assert anchor("γ = 15λ") == "γ--15λ"


def test_markdown_inside_details_stands_between_blank_lines() -> None:
    assert details("more", "| a |") == ("<details>\n<summary>more</summary>\n\n| a |\n\n</details>")
