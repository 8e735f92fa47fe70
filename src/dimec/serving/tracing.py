"""Names that tie a request's log lines together: request ids, and W3C trace contexts."""

from __future__ import annotations

import re
import uuid

# One field of a log line and of a header: printable ASCII without spaces.
_PLAIN_ID = re.compile(rb"[!-~]{1,128}\Z")
_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?\Z")


def plain_id(value: bytes | None) -> str | None:
    """A request id that can go into logs and headers as it is, or None."""
    if value is None or not _PLAIN_ID.match(value):
        return None
    return value.decode("ascii")


def new_id() -> str:
    """A request id that no other request has."""
    return uuid.uuid4().hex


def trace_id(traceparent: bytes | None) -> str | None:
    """The trace id of a ``traceparent`` header, or None where the header is not valid.

    Source: W3C Trace Context, section 3.2. Versions above 00 may have further parts; version ff
    and ids of zeros only are not valid.
    """
    if traceparent is None or len(traceparent) > 512:
        return None
    if not (match := _TRACEPARENT.match(traceparent)):
        return None
    version, trace, parent, more = match.groups()
    if version == b"ff" or (version == b"00" and more is not None):
        return None
    if not trace.strip(b"0") or not parent.strip(b"0"):
        return None
    return trace.decode("ascii")
