"""What settings say of how they are typed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest

from dimec.base.errors import ConfigError, typed_options
from dimec.settings.lists import layers_of
from dimec.settings.option import Option, settings_in
from dimec.settings.run import GROUPS, RunSettings


@dataclass
class Study:
    count: Annotated[int, Option("How many; default {default}.")] = 3
    rate: Annotated[float | None, Option("Such as {example}.", example="0.5")] = None
    step: Annotated[float, Option("Default {default}.")] = 5e-5
    start: Annotated[float, Option("Default {default}.")] = 0.0
    kind: Annotated[Literal["a", "b"], Option("a, or {b}.")] = "a"
    plain: Annotated[bool, Option("Plainly.")] = False
    coloured: Annotated[bool, Option("In grey.", spelling="--grey")] = True
    folder: Annotated[str | None, Option("A folder.", path=True)] = None
    at_layers: Annotated[
        tuple[int, ...] | None, Option("Layers.", example="1,2", parse=layers_of)
    ] = None
    untold: int = 0


SETTINGS = settings_in(Study)


def test_a_setting_that_says_nothing_of_itself_is_none_of_a_command() -> None:
    assert "untold" not in SETTINGS
    assert len(SETTINGS) == 9


def test_a_setting_without_a_panel_of_its_own_is_in_that_of_its_model() -> None:
    @dataclass
    class Server:
        panel: ClassVar[str | None] = "Server"
        name: Annotated[str, Option("A name.")] = "a"
        port: Annotated[int, Option("A port.", panel="Address")] = 1

    panels = {name: setting.panel for name, setting in settings_in(Server).items()}
    assert panels == {"name": "Server", "port": "Address"}


def test_what_is_typed_is_a_flag_a_number_a_path_or_a_text() -> None:
    kinds = [setting.kind for setting in SETTINGS.values()]
    assert kinds == [int, float, float, float, str, bool, bool, Path, str]


def test_a_help_text_has_the_default_and_the_example() -> None:
    told = [setting.help for setting in SETTINGS.values()][:5]
    assert told == [
        "How many; default 3.",
        "Such as 0.5.",
        "Default 5e-5.",
        "Default 0.",
        "a, or {b}.",
    ]


def test_a_spelling_is_the_name_but_where_it_differs() -> None:
    assert SETTINGS["at_layers"].spelling == "--at-layers"
    assert SETTINGS["coloured"].spelling == "--grey"


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [
        ("count", 4, 4),
        ("count", None, None),
        ("plain", True, True),
        ("plain", False, False),
        ("coloured", True, False),
        ("coloured", False, True),
        ("coloured", None, None),
        ("folder", Path("a//b/"), "a/b"),
        ("at_layers", "all", "all"),
        ("at_layers", "2,3", (2, 3)),
        ("at_layers", None, None),
    ],
)
def test_what_is_typed_becomes_a_value(name: str, typed: Any, value: Any) -> None:
    assert SETTINGS[name].read(typed) == value


def test_what_cannot_be_read_is_refused_with_the_example() -> None:
    with (
        typed_options({"at_layers": "--at-layers"}),
        pytest.raises(ConfigError, match="--at-layers: expected layers such as 1,2, got '2,x'"),
    ):
        SETTINGS["at_layers"].read("2,x")


def test_every_setting_of_a_run_says_how_it_is_typed() -> None:
    for group in GROUPS.values():
        assert settings_in(group).keys() == group.model_fields.keys()
    assert settings_in(RunSettings).keys() == RunSettings.model_fields.keys() - GROUPS.keys()


def test_an_example_in_a_setting_can_be_read() -> None:
    for setting in settings_in(*GROUPS.values(), RunSettings).values():
        if setting.option.parse is not None:
            assert setting.read(setting.option.example), setting.name
