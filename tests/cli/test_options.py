"""The options of commands that are made of settings."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
import typer

from dimec.cli import app
from dimec.runs.bottleneck import BottleneckSettings
from dimec.runs.compression import CompressionSettings
from dimec.serving.scaling import Scaling
from dimec.serving.settings import ServerSettings
from dimec.settings.data import DataSettings
from dimec.settings.option import Setting, settings_in
from dimec.settings.run import GROUPS, RunSettings
from support.tiny import environment

OF_A_RUN = settings_in(*GROUPS.values(), RunSettings)


def options_of(*names: str) -> dict[str, Any]:
    """Every option of a command, or of one in a group, by its parameter's name."""
    command: Any = typer.main.get_command(app)
    for name in names:
        command = dict(command.commands)[name]
    command.complete()
    return {param.name: param for param in command.params if param.param_type_name == "option"}


@pytest.mark.parametrize(
    ("command", "settings"),
    [
        ("train", OF_A_RUN),
        ("bottleneck", settings_in(BottleneckSettings)),
        ("compress", settings_in(CompressionSettings)),
        ("serve", settings_in(ServerSettings, Scaling)),
    ],
)
def test_every_setting_is_an_option_or_says_why_not(
    command: str, settings: Mapping[str, Setting]
) -> None:
    options = options_of(command)
    for name, setting in settings.items():
        assert (name in options) != bool(setting.option.python_only), name
        if name in options:
            assert options[name].opts == [setting.spelling]
            assert options[name].help == setting.help


def test_what_is_no_setting_is_about_the_run_and_not_in_it() -> None:
    others = options_of("train").keys() - OF_A_RUN.keys()
    assert others == {"out", "config", "grid", "overwrite", "track", "as_json"}


def test_an_option_over_a_file_has_no_default_of_its_own() -> None:
    options = options_of("train")
    assert {options[name].default for name in OF_A_RUN if name in options} == {None}


@pytest.mark.parametrize(
    ("command", "settings"),
    [
        ("bottleneck", BottleneckSettings),
        ("compress", CompressionSettings),
        ("serve", ServerSettings),
        ("serve", Scaling),
    ],
)
def test_an_option_with_no_file_behind_it_has_the_settings_default(
    command: str, settings: type
) -> None:
    options = options_of(command)
    for name, setting in settings_in(settings).items():
        several = setting.option.repeated and not setting.default  # none are typed as None
        # A flag says the contrary of its setting's default.
        default = False if setting.kind is bool else setting.default
        assert options[name].default == (None if several else default)


def test_what_a_server_has_no_option_for_are_its_time_limits_and_sizes() -> None:
    bare = ServerSettings.model_fields.keys() - settings_in(ServerSettings).keys()
    assert bare == {
        "max_header",
        "header_seconds",
        "body_seconds",
        "idle_seconds",
        "hang_seconds",
        "max_connections",
    }


def test_columns_are_said_to_every_command_in_the_same_words() -> None:
    trace, settings = options_of("trace", "record"), settings_in(DataSettings)
    shared = settings.keys() & trace.keys() - {"task"}
    assert shared >= {"text_column", "label_column", "delimiter", "header"}
    for name in shared:
        assert trace[name].help == settings[name].help


def test_the_list_of_commands_imports_no_models() -> None:
    code = (
        "import sys; sys.argv = ['dimec', '--help']\n"
        "from dimec.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {'pydantic', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment())
