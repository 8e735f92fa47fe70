"""Standard output and error that cannot show every character, and JSON on them."""

from __future__ import annotations

import io
import json
import sys
from typing import Any


def replace_what_cannot_be_shown() -> None:
    """From now on a character that a stream's encoding does not have is replaced there.

    Standard error does so by itself.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")


def json_text(value: Any, *, indent: int | None = None) -> str:
    """JSON for standard output: where its encoding lacks a character, escapes stand for them.

    So nothing of an answer is lost to a replacement, whatever the locale.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return text
