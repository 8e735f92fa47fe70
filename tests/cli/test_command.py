"""Errors name options as they are typed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from dimec.cli.command import flowing
from support.tiny import Said, dimec


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


def test_help_is_broken_where_the_terminal_ends_and_nowhere_else() -> None:
    said = dimec("predict", "--help", COLUMNS="60")
    assert said.code == 0, said.err
    lines = [line.strip() for line in said.out.split("Examples:")[0].splitlines()]
    paragraph = lines[lines.index("") :]
    following = [pair for pair in pairwise(paragraph) if all(pair)]
    assert following
    for line, after in following:
        assert len(line) + 1 + len(after.split()[0]) > 58, (line, after)
    assert '    dimec predict bundles/mine "a moving film"' in said.out


def test_a_paragraph_flows_and_an_example_stays() -> None:
    text = "Train a\nmodel.\n\nExamples:\n\n    dimec train\n    --out runs\n\nOr\nnot."
    assert flowing(text) == (
        "Train a model.\n\nExamples:\n\n    dimec train\n    --out runs\n\nOr not."
    )
