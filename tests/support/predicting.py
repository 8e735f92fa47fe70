"""What ``dimec predict`` says, read, and what it is told through a pipe."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from support.tiny import Said, command, environment


def answers(said: Said) -> list[dict[str, Any]]:
    assert said.code == 0, said.err
    return [json.loads(line) for line in said.out.splitlines()]


def piped(content: bytes, *words: object) -> Said:
    done = subprocess.run(
        command("predict", *map(str, words)),
        input=content,
        capture_output=True,
        check=False,
        timeout=120,
        env=environment(),
    )
    return Said(done.returncode, done.stdout.decode(), done.stderr.decode())
