"""Origins of pages, as a browser sends them: ``https://app.example`` (RFC 6454, section 6.1).

A browser's ``Origin`` is compared with what is listed character by character; so what no browser
sends would be listed in vain, and is refused.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from dimec.base.errors import quoted

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]")
_EXPECTED = "expected an origin such as https://app.example or http://127.0.0.1:8080"


def check_origin(text: str) -> None:
    """Refuse what no page's origin is.

    Raises:
        ValueError: says what is wrong, and, where that can be told, what was meant.

    Example:
        >>> check_origin("https://app.example")
        >>> check_origin("https://App.example:443/page")
        Traceback (most recent call last):
            ...
        ValueError: expected an origin such as https://app.example or http://127.0.0.1:8080, got \
'https://App.example:443/page'; give https://app.example
    """
    if text == "*":
        raise ValueError(
            f"{_EXPECTED}, got '*': every page of the web that somebody opens could ask this "
            "server; list the origins of your own pages"
        )
    meant = _origin_in(text)
    if meant == text:
        return
    hint = "scheme, host and port, in ASCII" if meant is None else f"give {meant}"
    raise ValueError(f"{_EXPECTED}, got {quoted(text, 80)}; {hint}")


def _origin_in(text: str) -> str | None:
    """The origin of an address; None where it has none."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    if parts.scheme not in _PORTS or not _HOST.fullmatch(host):
        return None
    return f"{parts.scheme}://{host}" + ("" if port in (None, _PORTS[parts.scheme]) else f":{port}")
