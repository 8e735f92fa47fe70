"""What is said of a data set before training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import pytest

from dimec.base.errors import ConfigError
from dimec.data import Dataset, Splits, split_dataset
from dimec.data.survey import (
    Doubles,
    Lengths,
    describe,
    describe_lengths,
    label_variants,
    measure,
    merge_labels,
    survey,
)

Row = tuple[str, str]


def dataset(
    rows: Sequence[Row], names: Sequence[str], pairs: Sequence[str] | None = None
) -> Dataset:
    return Dataset(
        task="csv:x.csv",
        texts=tuple(text for text, _ in rows),
        pairs=None if pairs is None else tuple(pairs),
        labels=np.array([names.index(label) for _, label in rows], np.int64),
        label_names=tuple(names),
        guids=tuple(f"row-{number}" for number in range(len(rows))),
    )


def splits(train: Sequence[Row], validation: Sequence[Row], test: Sequence[Row]) -> Splits:
    """Three splits whose labels are those of all of them."""
    names = sorted({label for rows in (train, validation, test) for _, label in rows})
    return Splits(*(dataset(rows, names) for rows in (train, validation, test)))


def words(texts: Sequence[str], pairs: Sequence[str] | None) -> list[int]:
    """A counter that takes each word for a token."""
    seconds = pairs or [""] * len(texts)
    return [len(f"{text} {pair}".split()) for text, pair in zip(texts, seconds, strict=True)]


CLEAN = splits([("a", "x"), ("b", "y"), ("c", "y")], [("d", "x")], [("e", "y")])


class TestSurvey:
    def test_rows_and_classes(self) -> None:
        found = survey(CLEAN)
        assert found.rows == {"train": 3, "validation": 1, "test": 1}
        assert found.classes == {"x": 2, "y": 3}
        assert (found.variants, found.left_out, found.lengths) == ((), 0, None)
        assert found.conflicts == found.shared == Doubles(0, 0, "")
        assert describe(found) == [
            "read 5 rows of csv:x.csv: train 3, validation 1, test 1",
            "2 classes: 'y' 3, 'x' 2",
        ]

    def test_rows_that_no_split_has_are_told(self) -> None:
        found = survey(CLEAN, 1005)
        assert found.left_out == 1000
        assert describe(found)[0].startswith("read 5 rows of csv:x.csv, 1,000 left out: ")

    def test_the_same_text_under_two_labels(self) -> None:
        rows = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "x"), ("c", "y"), ("a", "x"), ("d", "y")]
        found = survey(splits(rows, [("e", "x")], [("f", "y"), ("d", "x")]))
        assert found.conflicts == Doubles(2, 5, "a")  # three rows of a, two of d
        assert found.shared == Doubles(1, 2, "d")  # b comes twice, in one split
        text = "\n".join(describe(found))
        assert "2 texts (5 rows) are under more than one label, such as 'a'" in text
        assert "one text (2 rows) is in more than one split, such as 'd'" in text

    def test_a_text_that_validation_and_test_share(self) -> None:
        found = survey(splits([("a", "x"), ("b", "y")], [("c", "x")], [("c", "x")]))
        assert (found.shared, found.conflicts.texts) == (Doubles(1, 2, "c"), 0)

    def test_pairs_are_the_same_where_both_texts_are(self) -> None:
        one = dataset([("a", "x"), ("a", "y"), ("a", "x")], ["x", "y"], ["p", "q", "p"])
        other = dataset([("a", "y")], ["x", "y"], ["p"])
        found = survey(Splits(one, other, dataset([("a", "x")], ["x", "y"], ["r"])))
        assert found.conflicts == found.shared == Doubles(1, 3, "a | p")

    def test_many_classes_are_the_largest_few_and_a_count(self) -> None:
        rows = [(f"{name}-{i}", f"c{name:02d}") for name in range(1, 13) for i in range(name)]
        line = describe(survey(splits(rows, rows[-1:], rows[-1:])))[1]
        assert line == (
            "12 classes, the largest 'c12' 14, 'c11' 11, 'c10' 10, 'c09' 9, 'c08' 8; the smallest "
            "'c01' 1"
        )

    def test_it_is_kept_as_json(self) -> None:
        found = replace(survey(CLEAN), lengths=measure(CLEAN, words, 8))
        assert json.loads(json.dumps(asdict(found)))["lengths"]["limit"] == 8

    def test_examples_are_short_and_show_no_control_characters(self) -> None:
        text = "\x1b[2J" + "long " * 100
        found = survey(splits([(text, "x"), (text, "y")], [("b", "x")], [("c", "y\x1b")]))
        assert all(line.isprintable() and len(line) < 300 for line in describe(found))


class TestLabels:
    def test_case_spaces_and_spelling(self) -> None:
        sizes = {"Pos": 2, "neg": 5, "POS ": 2, "neg\u00a0": 1, "n eg": 7, "other": 9, "pos": 3}
        assert label_variants(sizes) == (("pos", "POS ", "Pos"), ("n eg", "neg", "neg\u00a0"))
        assert label_variants({"caf\u00e9": 1, "cafe\u0301": 2}) == (("cafe\u0301", "caf\u00e9"),)
        assert label_variants({"STRASSE": 2, "straße": 1}) == (("STRASSE", "straße"),)
        assert label_variants({"1": 5, "10": 5, "1.0": 5, "a-b": 1, "a_b": 1}) == ()

    def test_the_warning_names_them_with_their_sizes(self) -> None:
        rows = [("a", "neg"), ("b", "Neg"), ("c", "neg"), ("d", "pos")]
        warning = describe(survey(splits(rows, rows[3:], rows[3:])))[2]
        assert warning.startswith(
            "warning: 2 of the 3 classes differ from another in case or spaces only: 'neg' (2) and "
            "'Neg' (1); "
        )
        assert warning.endswith("make them one with merge_labels, or in the data")

    def test_merging(self) -> None:
        rows = [("a", "Neg"), ("b", "neg"), ("c", "POS"), ("d", "mid"), ("e", "neg"), ("f", "Pos")]
        merged = merge_labels(dataset(rows, ["Neg", "POS", "Pos", "mid", "neg"]))
        assert merged.label_names == ("POS", "mid", "neg")
        assert [merged.label_names[code] for code in merged.labels] == [
            "neg", "neg", "POS", "mid", "neg", "POS",
        ]  # fmt: skip
        with pytest.raises(ConfigError, match="merge_labels"):
            merge_labels(merged)


class TestLengths:
    # 20 texts of 1, 2, … 20 words: half have at most 10, 19 of 20 at most 19.
    ROWS = tuple((" ".join(["w"] * n), "xy"[n % 2]) for n in range(1, 21))

    def test_by_hand(self) -> None:
        parts = splits(self.ROWS[:15], self.ROWS[15:18], self.ROWS[18:])
        found = measure(parts, words, 17)
        assert found == Lengths(20, median=10, most=19, longest=20, limit=17, cut=3)
        assert describe_lengths(found, 20) == (
            "tokens a text: median 10, 95 of 100 have at most 19, longest 20; cut at 17 tokens are "
            "3 of 20 texts (15.0 %; the limit is max_tokens)"
        )
        whole = describe_lengths(measure(parts, words, 20), 20)
        assert whole.endswith("; none is cut at the limit of 20 (max_tokens)")

    def test_a_large_data_set_is_sampled_and_it_is_said(self) -> None:
        rows = [("w w w", "x")] * 1000 + [("w", "y")] * 1000
        counted: list[int] = []

        def count(texts: Sequence[str], pairs: Sequence[str] | None) -> list[int]:
            counted.append(sum(map(len, texts)))
            return words(texts, pairs)

        found = measure(splits(rows, rows[:1], rows[-1:]), count, 2, budget=601)
        # Every tenth: 101 of the long ones, 100 of the short.
        assert sum(counted) == 605
        assert (found.texts, found.cut) == (201, 101)
        assert "measured on 201 of 2,002; cut at 2 tokens are 101 of 201" in describe_lengths(
            found, 2002
        )

    def test_one_endless_text_does_not_hold_it_up(self) -> None:
        rows = [("w " * 1000, "x"), ("w", "y")]
        found = measure(splits(rows, rows[1:], rows[1:]), words, 8, clip=100)
        assert (found.longest, found.cut, found.clipped) == (50, 1, True)
        assert "longest over 50" in describe_lengths(found, 4)

    def test_pairs_count_together(self) -> None:
        part = dataset([("a b", "x"), ("c", "y")], ["x", "y"], ["d", "e f g"])
        assert measure(Splits(part, part, part), words, 9).longest == 4

    def test_few_are_not_shown_as_none(self) -> None:
        assert "1 of 5,000 texts (under 0.1 %" in describe_lengths(
            Lengths(5000, 1, 2, 9, 8, 1), 5000
        )


def test_what_a_split_leaves_out_is_not_surveyed() -> None:
    rows = [(f"t{i}", "xy"[i % 2]) for i in range(100)]
    whole = dataset(rows, ["x", "y"])
    found = survey(split_dataset(whole, max_train_rows=10), len(whole))
    assert (found.rows["train"], found.left_out) == (10, 70)
    assert sum(found.classes.values()) == 30
