"""Where the labelled text comes from: one source, and paths that hold from anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dimec.base.errors import ConfigError
from dimec.settings.data import DataSettings, absolute_data
from dimec.settings.run import RunSettings


class TestAbsoluteData:
    def test_paths_hold_from_any_directory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("DIMEC_DATA", "glue")
        here = tmp_path.resolve()
        table = absolute_data(DataSettings(task="csv:x/reviews.csv"))
        assert table.task == f"csv:{here / 'x' / 'reviews.csv'}"
        assert table.data_dir is None
        glue = absolute_data(DataSettings(task="glue/sst2"))
        assert (glue.task, glue.data_dir) == ("glue/sst2", str(here / "glue"))
        chosen = absolute_data(DataSettings(task="glue/sst2", data_dir="mine"))
        assert chosen.data_dir == str(here / "mine")
        snippets = DataSettings(task="vader/movies")
        assert absolute_data(snippets) == snippets
        assert absolute_data(table) == table
        monkeypatch.setenv("HOME", str(here / "home"))
        homely = DataSettings(task="csv:~/a.csv", train_rows="~/rows.jsonl")
        assert absolute_data(homely).task == f"csv:{here / 'home' / 'a.csv'}"
        assert absolute_data(homely).train_rows == str(here / "home" / "rows.jsonl")
        folder = absolute_data(DataSettings(task="glue/sst2", data_dir="~/glue"))
        assert folder.data_dir == str(here / "home" / "glue")
        rows = absolute_data(DataSettings(task="vader/movies", train_rows="rows.jsonl"))
        assert rows.train_rows == str(here / "rows.jsonl")

    def test_files_for_each_split_and_files_without_a_kind(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        here = tmp_path.resolve()
        data = absolute_data(DataSettings(train="a.csv", test="csv:b.txt"))
        assert data.source == {"train": str(here / "a.csv"), "test": f"csv:{here / 'b.txt'}"}
        assert data.predefined_splits
        assert absolute_data(data) == data
        assert absolute_data(DataSettings(task="x/a.csv")).source == str(here / "x" / "a.csv")

    @pytest.mark.parametrize(
        ("values", "problem"),
        [
            ({}, "expected task, or train with validation or test"),
            ({"train": "a.csv"}, "expected task, or train with validation or test"),
            ({"validation": "a.csv", "test": "b.csv"}, "expected task, or train with"),
            ({"task": "a.csv", "test": "b.csv"}, r"not both \(got test too\)"),
            (
                {"train": "a.csv", "test": "b.csv", "predefined_splits": False},
                "are predefined splits",
            ),
            ({"train": "a.csv", "test": "b.csv", "split_column": "s"}, "split_column does not go"),
        ],
    )
    def test_there_is_one_source(self, values: dict[str, Any], problem: str) -> None:
        with pytest.raises(ConfigError, match=problem):
            RunSettings.of({"data": values})

    def test_without_the_variable_nothing_is_made_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DIMEC_DATA", raising=False)
        assert absolute_data(DataSettings(task="glue/sst2")).data_dir is None
