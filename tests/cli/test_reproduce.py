"""``dimec reproduce`` hands over to the studies, or says how to get them."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import pytest

from support.tiny import Said


def test_without_the_studies_one_line_says_how_to_get_them(
    cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("dimec.cli.reproduce")
    monkeypatch.setattr(module, "GROUP", "dimec.none-of-this-name")
    for words in (["--help"], ["table1", "--seeds", "0"], []):
        line = cli("reproduce", *words).complaint()
        assert "come with a checkout" in line
        assert "make setup" in line


def test_every_word_is_passed_on(cli: Callable[..., Said]) -> None:
    said = cli("reproduce", "--help")
    assert said.code == 0
    assert " reproduce [OPTIONS] {NAME...}" in said.out
    said = cli("reproduce", "fig1", "--none")
    assert said.code == 2
    assert "No such option: --none" in said.err


def test_the_list_of_commands_names_it(cli: Callable[..., Said]) -> None:
    assert "reproduce" in cli("--help").out
