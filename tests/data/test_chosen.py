from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import DataError
from dimec.data import Dataset, Splits, split_dataset
from dimec.data.chosen import ChosenRows, keep_training_rows, read_chosen


def _splits(rows: int = 40, classes: int = 2, seed: int = 0) -> Splits:
    dataset = Dataset(
        task="csv:made.csv",
        texts=tuple(f"text {row}" for row in range(rows)),
        pairs=None,
        labels=np.arange(rows, dtype=np.int64) % classes,
        label_names=tuple(f"class {code}" for code in range(classes)),
        guids=tuple(f"row-{row}" for row in range(rows)),
    )
    return split_dataset(dataset, seed=seed)


def _file(path: Path, *records: Any) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


def _chosen(*guids: str) -> ChosenRows:
    return ChosenRows(Path("chosen.jsonl"), guids, None)


class TestReading:
    def test_only_the_guid_has_to_be_there(self, tmp_path: Path) -> None:
        path = _file(tmp_path / "a.jsonl", {"guid": "b"}, {"guid": "a", "label": "x"})
        assert read_chosen(path) == ChosenRows(path, ("b", "a"), None)
        path = _file(
            tmp_path / "b.jsonl", {"guid": "b", "text": "é\u2028"}, {"text": "", "guid": "a"}
        )
        assert read_chosen(path).texts == ("é\u2028", "")

    @pytest.mark.parametrize(
        ("content", "word"),
        [
            ("", "names no rows"),
            ('{"id": "a"}\n', "expected a column 'guid'"),
            ('{"guid": "a"}\n{"guid": 7}\n', "line 2: expected a string as guid, got 7"),
            ('{"guid": "a"}\n{"text": "x"}\n', "line 2: expected a string as guid"),
            ('{"guid": "a"}\n\n{"guid": "a"}\n', "line 3: the guid 'a' stands in line 1"),
            ('{"guid": "a"\n', "line 1: not valid JSON"),
        ],
    )
    def test_what_names_no_rows_is_refused(self, tmp_path: Path, content: str, word: str) -> None:
        path = tmp_path / "chosen.jsonl"
        path.write_text(content)
        with pytest.raises(DataError, match=word) as caught:
            read_chosen(path)
        assert str(path) in str(caught.value)

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"none\.jsonl does not exist"):
            read_chosen(tmp_path / "none.jsonl")


class TestKeeping:
    @given(st.data())
    def test_the_chosen_rows_train_in_their_old_order_and_the_rest_stays(
        self, data: st.DataObject
    ) -> None:
        splits = _splits()
        guids = data.draw(st.permutations(splits.train.guids))
        chosen = guids[: data.draw(st.integers(1, len(guids)))]
        labels = {splits.train.labels[splits.train.guids.index(guid)] for guid in chosen}
        if len(labels) < 2:
            with pytest.raises(DataError, match="which no training row has"):
                keep_training_rows(splits, _chosen(*chosen))
            return
        kept = keep_training_rows(splits, _chosen(*chosen))
        expected = [
            (guid, text, label)
            for guid, text, label in zip(
                splits.train.guids, splits.train.texts, splits.train.labels.tolist(), strict=True
            )
            if guid in chosen
        ]
        train = kept.train
        assert list(zip(train.guids, train.texts, train.labels.tolist(), strict=True)) == expected
        assert (kept.validation, kept.test) == (splits.validation, splits.test)

    def test_rows_that_are_not_for_training_are_refused_by_name(self) -> None:
        splits = _splits()
        known = splits.train.guids[:4]
        for name in ("validation", "test"):
            guid = getattr(splits, name).guids[0]
            with pytest.raises(
                DataError, match=f"'{guid}' is not in the training .* but in {name}"
            ):
                keep_training_rows(splits, _chosen(*known, guid))
        with pytest.raises(DataError, match=r"chosen\.jsonl: 'row-99' is not in .*made\.csv;"):
            keep_training_rows(splits, _chosen(*known, "row-99"))

    def test_rows_with_another_text_come_from_other_data(self) -> None:
        splits = _splits()
        guids, texts = tuple(splits.train.guids[:6]), tuple(splits.train.texts[:6])
        assert len(keep_training_rows(splits, ChosenRows(Path("c"), guids, texts)).train) == 6
        wrong = (*texts[:5], "another")
        with pytest.raises(DataError, match=f"the text of '{guids[5]}' is not the one"):
            keep_training_rows(splits, ChosenRows(Path("c"), guids, wrong))
