"""The commands of docs/tutorial.md, and what they print.

    .venv/bin/python tests/support/tutorial.py [FOLDER]

runs the page as it stands, in a folder (``runs/tutorial``), with its real encoder, and puts what is
printed into it. That takes about half an hour; a training that was stopped goes on.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tutorial.md"

_CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Step(NamedTuple):
    """A command of the page, and what it prints there."""

    line: str
    shown: str

    @property
    def words(self) -> list[str]:
        """The command's, without ``dimec``."""
        first, *rest = shlex.split(self.line.removesuffix("&").replace("\\\n", " "))
        assert first == "dimec", self.line
        return rest

    @property
    def stays(self) -> bool:
        """Whether it is started in the background."""
        return self.line.endswith("&")


def code(page: str) -> list[str]:
    """The blocks of Python of a page."""
    return _PYTHON.findall(page)


def steps(page: str) -> Iterator[Step]:
    """The commands of a page's console blocks, in order."""
    for block in _CONSOLE.findall(page):
        yield from _steps_of(block)


def _steps_of(block: str) -> Iterator[Step]:
    """The commands of one block; a command goes on after a backslash at the end of its line."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        found = re.match(r"((?:[^\n]*\\\n)*[^\n]*)\n?(.*)", part, re.DOTALL)
        assert found is not None
        yield Step(found[1], found[2])


def filled(page: str, printed: Callable[[Step], str]) -> str:
    """The page with what each command prints now in place of what it printed before."""

    def block(match: re.Match[str]) -> str:
        made = (f"$ {step.line}\n{printed(step)}" for step in _steps_of(match[1]))
        return f"```console\n{''.join(made)}```"

    return _CONSOLE.sub(block, page)


def worth_showing(out: str, err: str) -> str:
    """What a reader should see: all of the output, of the notes those that are no progress."""
    notes = [
        line for line in err.splitlines() if not re.match(r"  epoch \d+(?! of \d+: loss)", line)
    ]
    notes = [line for line in notes if not re.search(r": [\d,]+/[\d,]+ ", line + " ")]
    lines = [line.rstrip() for line in (*notes, *out.splitlines())]
    return "".join(f"{line}\n" for line in lines if line or out)


def main() -> None:
    """Run the page and write it anew."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "runs" / "tutorial").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    known = {
        **os.environ,
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "XDG_STATE_HOME": str(folder / "state"),
    }
    page = PAGE.read_text(encoding="utf-8")
    for block in code(page):
        subprocess.run([sys.executable, "-c", block], cwd=folder, env=known, check=True)
    with ExitStack() as running:

        def printed(step: Step) -> str:
            print(f"$ {step.line}", flush=True)
            command = [sys.executable, "-m", "dimec", *step.words]
            pipe = subprocess.PIPE
            if step.stays:
                server = subprocess.Popen(command, cwd=folder, env=known, stdout=pipe, text=True)
                running.callback(server.terminate)
                assert server.stdout is not None
                server.stdout.readline()  # it is ready
                return ""
            done = subprocess.run(
                command, cwd=folder, env=known, stdout=pipe, stderr=pipe, text=True, check=False
            )
            if done.returncode:
                sys.exit(done.stderr)
            return worth_showing(done.stdout, done.stderr).replace(f"{folder}{os.sep}", "")

        page = filled(page, printed)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
