from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dimec.data import load_task
from dimec.errors import ConfigError


@pytest.mark.parametrize(
    ("task", "guess"),
    [
        ("glue/sst3", "glue/sst2"),
        ("vader/movie", "vader/movies"),
        ("reviews.csv", "csv:reviews.csv"),
        ("data/reviews.jsonl.gz", "jsonl:data/reviews.jsonl.gz"),
    ],
)
def test_an_unknown_task_is_guessed(task: str, guess: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown task '{task}'; did you mean '{guess}'"):
        load_task(task)


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
        ("csv:a.csv", {"metric": "auc"}, "metric is 'auc'; use one of accuracy, matthews, f1"),
    ],
)
def test_options_that_do_not_go_with_the_task(
    task: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_task(task, **options)
