"""Where a tier is: addresses and tokens that cannot work, or that would travel in the clear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError
from dimec.client.judging import Fixed
from dimec.client.tier_client import Endpoint

TOKEN = "s3cret-token"


def make(url: str = "http://127.0.0.1:8001", **changes: Any) -> Endpoint:
    """An endpoint, with changes."""
    options: dict[str, Any] = {"tier": "edge", "version": "12", "classes": 2, **changes}
    return Endpoint(url=url, **options)


@pytest.mark.parametrize(
    ("url", "model"),
    [
        ("http://127.0.0.1:8001", "http://127.0.0.1:8001/v2/models/edge/versions/12"),
        ("http://127.0.0.1:8001/", "http://127.0.0.1:8001/v2/models/edge/versions/12"),
        ("https://host.example/a/b/", "https://host.example/a/b/v2/models/edge/versions/12"),
        ("http://[::1]:80", "http://[::1]:80/v2/models/edge/versions/12"),
    ],
)
def test_addresses(url: str, model: str) -> None:
    assert make(url).model_url == model


@pytest.mark.parametrize(
    "url",
    [
        *("", "127.0.0.1:8001", "ftp://host", "http://", "http:///path", "http://host:99999"),
        *("http://host:port", "http://host:0", "http://[::1", "//host", "http://ho st", "HTTP"),
        *("http://host\r\nX: y", "http://hôst", "http://host\\@other", "file:///etc/passwd"),
        *("http://a..b", f"http://{'x' * 70}"),
    ],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ConfigError, match="expected an address such as http"):
        make(url)


@given(st.text(), st.sampled_from(["", "http://", "https://[", "http://a:1/", "http://a%"]))
def test_any_address_is_one_or_is_refused(text: str, start: str) -> None:
    try:
        fixed = Fixed.of(make(start + text))
    except ConfigError:
        return
    assert fixed.infer.host


@pytest.mark.parametrize("url", ["http://me:pass@host", "http://me@host", "http://me:pass@host:x"])
def test_a_password_in_an_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match="name or password") as caught:
        make(url)
    assert "pass@" not in str(caught.value)
    assert "me" not in str(caught.value).replace("name", "")


@pytest.mark.parametrize("url", ["http://host/?a=1", "http://host/#there"])
def test_an_address_ends_before_its_query(url: str) -> None:
    with pytest.raises(ConfigError, match="must end before"):
        make(url)


def test_the_token_is_never_shown() -> None:
    endpoint = make(token=TOKEN)
    assert TOKEN not in f"{endpoint!r} {endpoint}"
    assert endpoint.token == TOKEN


@pytest.mark.parametrize(
    "url",
    [
        *("http://host.example", "http://10.0.0.1:8001", "http://127.0.0.1.example"),
        *("http://localhost.example", "http://0.0.0.0", "http://[fe80::1]"),
    ],
)
def test_a_token_does_not_travel_in_the_clear(url: str) -> None:
    with pytest.raises(ConfigError, match="the token would travel unencrypted") as caught:
        make(url, token=TOKEN)
    assert TOKEN not in str(caught.value)
    assert make(url, token=TOKEN, insecure=True).token == TOKEN
    assert make(url.replace("http:", "https:"), token=TOKEN).token == TOKEN
    assert make(url).token is None


@pytest.mark.parametrize(
    "url", ["http://localhost:1", "http://127.9.9.9", "http://[::1]:8001", "http://LOCALHOST"]
)
def test_a_token_may_go_to_this_machine(url: str) -> None:
    assert make(url, token=TOKEN).token == TOKEN


@pytest.mark.parametrize("token", ["", "a\nb", "tökén", "a\x00"])
def test_tokens_that_are_no_header(token: str) -> None:
    with pytest.raises(ConfigError, match="the token must be printable ASCII") as caught:
        make(token=token)
    assert len(token) < 2 or token not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"timeout": 0.0}, "expected a timeout above 0"),
        ({"timeout": -1.0}, "expected a timeout above 0"),
        ({"timeout": float("nan")}, "expected a timeout above 0"),
        ({"timeout": float("inf")}, "up to 3600 seconds, got inf"),
        ({"retries": -1}, "0 retries or more"),
        ({"classes": 0}, "expected 1 class or more"),
        ({"tier": ""}, "the names of a tier and of a version"),
        ({"version": ""}, "the names of a tier and of a version"),
    ],
)
def test_settings_that_cannot_work(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make(**changes)


def test_certificates_that_cannot_be_read(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate")
    for path in (empty, tmp_path / "missing.pem", tmp_path):
        endpoint = make("https://localhost", ca=path)
        with pytest.raises(ConfigError, match=r"cannot read certificates from .*give a PEM file"):
            endpoint.tls_context()
