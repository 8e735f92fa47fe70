from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dimec.base.errors import ConfigError, DataError, typed_options
from dimec.data import load_task


@pytest.mark.parametrize(
    ("task", "guess"),
    [
        ("glue/sst3", "glue/sst2"),
        ("vader/movie", "vader/movies"),
        ("ndjson:reviews.ndjson", "jsonl:reviews.ndjson"),
    ],
)
def test_an_unknown_task_is_guessed(task: str, guess: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown task '{task}'; did you mean '{guess}'"):
        load_task(task)


@pytest.mark.parametrize(
    "name", ["reviews.csv", "data/reviews.jsonl.gz", "Reviews.NDJSON", "reviews.json"]
)
def test_a_files_ending_tells_its_kind(name: str) -> None:
    with pytest.raises(DataError, match=f"^{name} does not exist"):
        load_task(name)


def test_an_unknown_task_without_a_guess_lists_them_all() -> None:
    with pytest.raises(ConfigError, match=r"unknown task 'xml:a'; tasks are glue/sst2, .*csv:PATH"):
        load_task("xml:a")


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("glue/sst2", {"text_column": "t"}, "text_column does not go with the task 'glue/sst2'"),
        ("vader/movies", {"split_column": "s"}, "split_column does not go with"),
        ("vader/movies", {"data_dir": "d"}, "data_dir does not go with"),
        ("csv:a.csv", {"data_dir": Path("d")}, "data_dir does not go with"),
        ("glue/sst2", {"delimiter": ";"}, "delimiter does not go with the task"),
        ("vader/movies", {"encoding": "utf-8"}, "encoding does not go with"),
        ("vader/movies", {"header": False}, "header=False does not go with"),
        ("tsv:a.tsv", {"delimiter": ";"}, "delimiter is of csv, a tsv file .* read it as csv"),
        ("json:a.json", {"delimiter": ";"}, "delimiter is of csv, a json file has none"),
        ("parquet:a.parquet", {"encoding": "utf-8"}, "encoding is of text files"),
        ("jsonl:a.jsonl", {"header": False}, "header=False is of csv and tsv"),
        ("csv:a.csv", {"delimiter": "::"}, "delimiter: expected one character, .* got '::'"),
        ("csv:a.csv", {"encoding": "ascii-art"}, "encoding: unknown encoding 'ascii-art'"),
        ("csv:a.csv", {"encoding": "hex"}, "encoding: unknown encoding 'hex'"),
        ("csv:a.csv", {"metric": "auc"}, "metric is 'auc'; use one of accuracy, matthews, f1"),
    ],
)
def test_options_that_do_not_go_with_the_task(
    task: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_task(task, **options)


def test_options_are_named_as_their_reader_gives_them() -> None:
    typed = typed_options({"text_column": "--text-column"})
    with typed, pytest.raises(ConfigError, match=r"^--text-column does not go with"):
        load_task("glue/sst2", text_column="t")
    typed = typed_options({"no_header": "--no-header"})
    with typed, pytest.raises(ConfigError, match=r"^--no-header is of csv and tsv"):
        load_task("jsonl:a.jsonl", header=False)
    with pytest.raises(ConfigError, match=r"^text_column does not go with"):
        load_task("glue/sst2", text_column="t")


def test_a_home_folder_inside_a_task_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.csv").write_text("text,label\ngood,1\nbad,0\n")
    assert len(load_task("csv:~/a.csv")) == 2
