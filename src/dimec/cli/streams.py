"""Standard output and error that cannot show every character, and JSON on them."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import sys
import warnings
from contextlib import suppress
from typing import Any

from dimec.base.errors import shown

# DEL and C1 controls, and what breaks lines or turns their direction.
_CONTROLS = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def replace_what_cannot_be_shown() -> None:
    """From now on a character that a stream's encoding does not have is replaced there.

    Standard error does so by itself.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")


def tell_warnings_in_a_line() -> None:
    """From now on a warning about a plug-in is a line on standard error, without its place."""
    usual = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if category.__name__ == "PluginWarning":
            print(f"warning: {message}", file=sys.stderr)
        else:
            usual(message, category, *place, **more)

    warnings.showwarning = show


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


def flush_output() -> None:
    """Write what waits for standard output: when the interpreter ends it is too late to complain.

    Raises:
        OSError: there is no room for it.
    """
    if sys.stdout is not None:  # None where it was closed from the start
        with suppress(BrokenPipeError, ValueError):  # whoever reads has enough
            sys.stdout.flush()


def refused_by_system(error: OSError) -> str | None:
    """One line on what the system refused, whichever command met it; None where it is a fault.

    That is a path that cannot be (its name too long, a folder not to be entered), or no room for
    what goes to standard output.
    """
    if error.filename is not None:
        return f"{shown(os.fsdecode(error.filename), 120)}: {error.strerror}; check the path"
    if error.errno not in _FULL:
        return None
    # What is left in the buffer must not fail a second time when Python ends.
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return f"cannot write standard output: {error.strerror}; send it where there is room"
