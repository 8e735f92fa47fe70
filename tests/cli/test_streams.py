"""Standard output that lacks λ and more: what it cannot show is replaced, and nothing fails."""

from __future__ import annotations

import errno
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dimec.cli.streams import json_text, refused_by_system, replace_what_cannot_be_shown
from support.tiny import Said, command, environment

LONG = "x" * 300  # no file can be called so

# By PYTHONIOENCODING, and by a locale that Python does not put right by itself.
NARROW = {
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "C": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
}

_EVERY_HELP = """
import sys
import typer
from dimec.cli import app, main
def pages(group, words):
    yield words
    for name, command in getattr(group, "commands", {}).items():
        yield from pages(command, [*words, name])
for words in pages(typer.main.get_command(app), []):
    sys.argv = ["dimec", *words, "--help"]
    try:
        main()
    except SystemExit as stop:
        assert stop.code == 0, words
"""
_MANY = """
import json, os, sys
from dimec.cli import main
for words in json.loads(sys.argv[1]):
    sys.argv = ["dimec", *(os.fsdecode(word.encode()) for word in words)]
    try:
        main()
    except SystemExit as stop:
        assert not stop.code, words
    print("=====", flush=True)
"""


def _decoded(case: str) -> str:
    return "ascii" if case == "C" else case


def _output(case: str, *words: str, given: bytes = b"") -> str:
    """What a process prints on such a stream; it must end well and print no traceback."""
    done = subprocess.run(
        words,
        capture_output=True,
        check=False,
        timeout=240,
        input=given,
        env=environment(**NARROW[case]),
    )
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    done.stderr.decode(_decoded(case))
    return done.stdout.decode(_decoded(case))


@pytest.mark.parametrize("case", NARROW)
def test_every_help_page_is_shown(case: str) -> None:
    pages = _output(case, sys.executable, "-c", _EVERY_HELP)
    for word in ("dimec train ", "dimec map select ", "--lambda", "--target-drop", "--scenario"):
        assert word in pages


@pytest.mark.parametrize("case", NARROW)
def test_results_are_shown(
    case: str, finished_run: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    run = tmp_path / "π"
    run.symlink_to(finished_run)
    words = [
        ["evaluate", str(run), "--draws", "10", "--scenario", "phone-4g"],
        ["fit", str(run)],
        ["inspect", str(tiny_bundle / "edge")],
        ["predict", str(tiny_bundle), "a moving film", "--state", ":memory:"],
    ]
    said = _output(case, sys.executable, "-c", _MANY, json.dumps(words))
    ledger, fitted, inspected, answered, _ = said.split("=====\n")
    for text, word in ((ledger, "oracle"), (fitted, "pools:"), (inspected, "edge")):
        assert word in text
    assert "?" in ledger  # λ
    assert "film" in answered


def test_json_loses_nothing(finished_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "π"
    run.symlink_to(finished_run)
    said = json.loads(_output("ascii", *command("report", run, "--json")))
    assert Path(said["report"]) == run / "report" / "report.html"


def test_the_prompt_answers_where_the_price_cannot_be_shown(tiny_bundle: Path) -> None:
    words = command("up", tiny_bundle, "--state", ":memory:", "--timeout", "30")
    answer = _output("ascii", *words, given=b"a moving film\n")
    assert "answered by" in answer
    assert answer.endswith(" ?\n")


def _stream(monkeypatch: pytest.MonkeyPatch, encoding: str) -> io.BytesIO:
    """What is printed from now on, in that encoding."""
    printed = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(printed, encoding))
    return printed


def test_json_is_escaped_as_a_whole_only_where_the_stream_lacks_a_character(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _stream(monkeypatch, "cp1252")
    assert json_text({"é": 1}) == '{"é": 1}'
    escaped = json_text({"é": "λ \N{GRINNING FACE}"})
    assert escaped.isascii()
    assert json.loads(escaped) == {"é": "λ \N{GRINNING FACE}"}


def test_a_path_that_is_no_text_is_json_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    _stream(monkeypatch, "utf-8")
    assert json.loads(json_text({"file": "caf\udce9"})) == {"file": "caf\udce9"}


def test_what_cannot_be_shown_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = _stream(monkeypatch, "cp1252")
    replace_what_cannot_be_shown()
    print("é λ", end="", flush=True)
    assert printed.getvalue() == "é ?".encode("cp1252")


@pytest.mark.parametrize("words", [["--version"], ["traces", "list"]])
def test_standard_output_without_room_is_one_line(words: list[str]) -> None:
    """Also what is met only when the buffer is written at the end."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command(*words), stdout=full, stderr=subprocess.PIPE, check=False, env=environment()
        )
    assert done.returncode == 2
    expected = b"dimec: cannot write standard output: No space left on device; send it where"
    assert done.stderr == expected + b" there is room\n"


@pytest.mark.parametrize(
    "words",
    [
        ["inspect", LONG],
        ["fit", LONG],
        ["predict", LONG, "a text"],
        ["serve", LONG],
        ["export", LONG, "out"],
        ["train", "--task", "vader/movies", "--out", LONG],
    ],
    ids=lambda words: words[0],
)
def test_a_name_too_long_is_one_line(cli: Callable[..., Said], words: list[str]) -> None:
    line = cli(*words).complaint()
    assert "File name too long" in line


def test_what_is_no_refusal_of_the_system_stays_a_fault() -> None:
    assert refused_by_system(OSError(errno.EBADF, "Bad file descriptor")) is None
    refusal = refused_by_system(PermissionError(errno.EACCES, "Permission denied", "a\nb"))
    assert refusal == "a\\nb: Permission denied; check the path"
