"""Errors name options as they are typed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.tiny import Said


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
    assert cli(*words).complaint().startswith(f"{settings}: model.max_tokens: ")
    settings.write_text('[data]\ntask = "vader/movies"\n[training]\nrecipe = "two-stage"\n')
    assert cli(*words, "--max-tokens", "3").complaint().startswith("--max-tokens: ")
    # Of two that do not go together each has the name that it was given by.
    line = cli(*words, "--loss", "depth").complaint()
    assert line.endswith("; leave --loss and loss_weights out")
