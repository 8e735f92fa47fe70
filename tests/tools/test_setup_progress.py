"""The set-up's progress lines."""

from __future__ import annotations

import io

import pytest

from setup_progress import StepProgress


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def test_packages_are_counted_as_pip_collects_them() -> None:
    progress = StepProgress("packages", 3, io.StringIO())
    for line in ("Collecting b-c==2 (from x)\n", "  Downloading b-c\n"):
        progress.hear(line)
    assert progress.line() == "set-up: packages: fetching 1 of 3, b-c, 0 s"
    progress.hear("Processing /wheels/a-1-py3-none-any.whl\n")
    assert progress.line() == "set-up: packages: fetching 2 of 3, a-1-py3-none-any.whl, 0 s"
    progress.hear("Installing collected packages: a, b-c\n")
    assert progress.line() == "set-up: packages: unpacking and compiling, 0 s"


def test_a_log_gets_whole_lines_and_a_terminal_one_line() -> None:
    log, terminal = io.StringIO(), Terminal()
    for stream in (log, terminal):
        with StepProgress("step", stream=stream):
            pass
    assert log.getvalue() == "set-up: step: 0 s\nset-up: step: done, 0 s\n"
    assert terminal.getvalue().count("\n") == 1
    assert terminal.getvalue().endswith("set-up: step: done, 0 s\n")


def test_a_failure_is_said() -> None:
    stream = io.StringIO()
    with pytest.raises(RuntimeError), StepProgress("step", stream=stream):
        raise RuntimeError
    assert stream.getvalue().endswith("set-up: step: failed, 0 s\n")
