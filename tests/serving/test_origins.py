from __future__ import annotations

import pytest

from dimec.base.errors import ConfigError
from dimec.serving.settings import ServerSettings


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example",
        "http://localhost:5173",
        "http://127.0.0.1",
        "http://[::1]:8000",
        "https://xn--bcher-kva.example:8443",
    ],
)
def test_what_a_browser_sends_is_an_origin(origin: str) -> None:
    assert ServerSettings.of(cors_origins=[origin, origin]).cors_origins == (origin,)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("https://app.example/", "give https://app.example"),
        ("https://App.example:443/page?q=1#top", "give https://app.example"),
        ("http://user:word@app.example:80", "give http://app.example"),
        ("https://app.example\n", "give https://app.example"),
        ("app.example", "scheme, host and port"),
        ("//app.example", "scheme, host and port"),
        ("app.example:443", "scheme, host and port"),
        ("ftp://app.example", "scheme, host and port"),
        ("file://", "scheme, host and port"),
        ("null", "scheme, host and port"),
        ("", "scheme, host and port"),
        ("https://*.example", "scheme, host and port"),
        ("https://a b.example", "scheme, host and port"),
        ("https://b\u00fccher.example", "in ASCII"),
        ("https://app.example:99999", "scheme, host and port"),
        ("https://[::1", "scheme, host and port"),
        ("*", "every page of the web"),
    ],
)
def test_what_no_browser_sends_is_refused_in_a_line(text: str, hint: str) -> None:
    with pytest.raises(ConfigError) as refused:
        ServerSettings.of(cors_origins=["https://app.example", text])
    message = str(refused.value)
    assert message.startswith("cors_origins: ")
    assert "expected an origin such as https://app.example" in message
    assert hint in message
    assert "\n" not in message
