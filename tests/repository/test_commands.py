"""Every ``dimec`` command in README.md and docs/ is one that there is, with options that it has."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import typer

from dimec.cli import app
from dimec.cli.reproduce import GROUP

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", ROOT / "web" / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
# What may stand before the command in a line: a prompt, settings of the environment, a launcher.
BEFORE = re.compile(r"^(?:\$ )?(?:[A-Z_]+=\S+ )*(?:(?:torchrun|accelerate launch)\b.* -m )?")
LANGUAGES = {"", "console", "sh"}


def blocks(text: str) -> Iterator[str]:
    """The code of a page that may hold commands: fenced as such, and indented by four columns."""
    fence = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    for language, body in fence.findall(text):
        if language in LANGUAGES:
            yield body
    outside = fence.sub("", text)
    for block in re.findall(r"(?:^    \S.*\n(?:^      .*\n)*)+", outside, re.MULTILINE):
        yield re.sub(r"^    ", "", block, flags=re.MULTILINE)


def commands(text: str) -> list[list[str]]:
    """The words behind ``dimec`` of every command of a page, also of two that ``&&`` joins."""
    lines = (line for block in blocks(text) for line in block.replace("\\\n", " ").splitlines())
    found = []
    for line in lines:
        for part in line.split(" && "):
            bare = BEFORE.sub("", part.strip(), count=1)
            if re.match(r"dimec( |$)", bare):
                found.append(shlex.split(bare.removesuffix("&"), comments=True)[1:])
    return found


@cache
def command_line() -> Any:
    """``dimec`` itself."""
    return typer.main.get_command(app)


@cache
def reproduce() -> Any:
    """The command that ``dimec reproduce`` hands its words to: it is of the studies."""
    (found,) = entry_points(group=GROUP, name="reproduce")
    return typer.main.get_command(found.load())


def options(command: Any) -> set[str]:
    """The options of a command, ``--no-`` forms and those that come from settings too."""
    if hasattr(command, "complete"):
        command.complete()
    made = (name for option in command.params for name in (*option.opts, *option.secondary_opts))
    return {"--help", "-h", *(name for name in made if name.startswith("-"))}


def problems(words: list[str]) -> list[str]:
    """What is wrong with a command: names and options that there are not."""
    command = command_line()
    rest = list(words)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        if name not in command.commands:
            return [f"no command {name!r}"]
        command = command.commands[name] if name != "reproduce" else reproduce()
    known = options(command)
    given = [word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)]
    return [f"no option {option}" for option in given if option not in known]


@pytest.mark.parametrize("page", PAGES, ids=[str(p.relative_to(ROOT)) for p in PAGES])
def test_the_commands_of_a_page_are_there(page: Path) -> None:
    wrong = {
        f"dimec {shlex.join(words)}": found
        for words in commands(page.read_text("utf-8"))
        if (found := problems(words))
    }
    assert wrong == {}


def test_what_is_read_of_a_page() -> None:
    page = (
        "Text `dimec no`.\n\n    make demo\n    dimec fit RUN --policy x  # note\n      --json\n\n"
        "```console\n$ DIMEC_TRACES=x dimec traces list && dimec join \\\n  --out y &\nseen\n```\n"
        "```python\ndimec = 1\n```\n```sh\ntorchrun --n 2 -m dimec train --out z\n```\n"
    )
    assert commands(page) == [
        ["traces", "list"],
        ["join", "--out", "y"],
        ["train", "--out", "z"],
        ["fit", "RUN", "--policy", "x"],
    ]


def test_a_wrong_command_is_seen() -> None:
    assert problems(["fits", "x"]) == ["no command 'fits'"]
    assert problems(["trace", "show"]) == ["no command 'show'"]
    assert problems(["fit", "x", "--polcy=a", "--json"]) == ["no option --polcy"]
    assert problems(["evaluate", "--no-curves", "--seed", "-1"]) == []
    assert problems(["--version"]) == []


def test_many_pages_have_commands() -> None:
    counted = {page.name: len(commands(page.read_text("utf-8"))) for page in PAGES}
    assert counted["guide.md"] > 20
    how_to = {page.name for page in PAGES if page.parent.name == "howto"} - {"index.md"}
    assert {name for name in how_to if not counted[name]} == set()
