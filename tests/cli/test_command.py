"""Errors name options as they are typed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dimec.cli.command import as_typed
from tiny import Said

OPTIONS = {
    "max_tokens": "--max-tokens",
    "epochs": "--epochs",
    "exits": "--exits",
    "lam": "--lambda",
    "text_column": "--text-column",
    "exit_learning_rate": "--exit-learning-rate",
    "learning_rate": "--learning-rate",
}


@pytest.mark.parametrize(
    ("message", "typed"),
    [
        ("model.max_tokens: at least 8 (got 2)", "--max-tokens: at least 8 (got 2)"),
        ("training.epochs: low; model.exits: bad", "--epochs: low; --exits: bad"),
        ("lower max_tokens, or more epochs", "lower --max-tokens, or more epochs"),
        ("exits must be layers 1 to 6", "--exits must be layers 1 to 6"),
        ("the exits must go up; the exits are 1", "--exits must go up; the exits are 1"),
        ("training: exit_learning_rate is of two", "--exit-learning-rate is of two"),
        ("got 'max_tokens' in text_column", "got 'max_tokens' in --text-column"),
        ("my/max_tokens/a.csv, max_tokens.csv", "my/max_tokens/a.csv, max_tokens.csv"),
        ("--max-tokens is there already", "--max-tokens is there already"),
    ],
)
def test_names_of_settings_become_options(message: str, typed: str) -> None:
    assert as_typed(message, OPTIONS) == typed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "--task", "csv:x.csv", "--max-tokens", "2"], "--max-tokens: input should be"),
        (["train", "--task", "csv:x.csv", "--epochs", "1"], "--epochs: input should be"),
        (["train", "--task", "csv:x.csv", "--exit-learning-rate", "1e-3"], "--exit-learning-rate"),
        (["train", "--task", "glue/sst2", "--text-column", "x"], "--text-column does not go with"),
    ],
)
def test_a_wrong_setting_is_named_as_it_was_typed(
    cli: Callable[..., Said], tmp_path: Path, words: list[str], said: str
) -> None:
    line = cli(*words, "--out", tmp_path / "run").complaint()
    assert line.startswith(said)


def test_a_setting_of_a_file_keeps_the_name_that_it_has_there(
    cli: Callable[..., Said], tmp_path: Path
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('[data]\ntask = "vader/movies"\n[model]\nmax_tokens = 2\n')
    words = ["train", "--config", settings, "--out", tmp_path / "run"]
    assert f"{settings}: model.max_tokens: " in cli(*words).complaint()
    assert "--max-tokens: " in cli(*words, "--max-tokens", "3").complaint()
