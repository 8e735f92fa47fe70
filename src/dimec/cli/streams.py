"""Standard output and error that cannot show every character, and JSON on them."""

from __future__ import annotations

import io
import json
import re
import sys
from typing import Any

# DEL and C1 controls, and what breaks lines or turns their direction.
_CONTROLS = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def replace_what_cannot_be_shown() -> None:
    """From now on a character that a stream's encoding does not have is replaced there.

    Standard error does so by itself.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")


def json_text(value: Any, *, indent: int | None = None) -> str:
    """JSON for standard output, safe on a terminal.

    Where its encoding lacks a character, escapes stand for them: nothing of an answer is lost to a
    replacement, whatever the locale. Control characters beyond ASCII are escaped in any case.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    # The escapes are json's own for the same characters.
    text = _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return text
