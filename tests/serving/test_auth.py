from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError
from dimec.serving.auth import BearerAuth

TOKEN = "correct-horse-battery"


def test_without_a_token_everybody_may_ask() -> None:
    auth = BearerAuth(None)
    assert auth.allows(None)
    assert auth.allows(b"anything")


@pytest.mark.parametrize("value", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER  {TOKEN} "])
def test_the_token_opens(value: str) -> None:
    assert BearerAuth(TOKEN).allows(value.encode())


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"Bearer",
        b"Bearer ",
        TOKEN.encode(),
        b"Bearer " + TOKEN.encode()[:-1],
        b"Bearer " + TOKEN.encode() + b"x",
        b"Bearer " + TOKEN.upper().encode(),
        b"Basic " + TOKEN.encode(),
        b"Bearer\t" + TOKEN.encode(),
        b"Bearer " + TOKEN.encode() + b"\x00",
        "Bearer correct-hörse-battery".encode(),
        b"Bearer \xff\xfe",
        b"Bearer " + TOKEN.encode() + b" " + TOKEN.encode(),
    ],
)
def test_nothing_else_does(value: bytes | None) -> None:
    assert not BearerAuth(TOKEN).allows(value)


@given(st.binary(max_size=60))
def test_no_other_bytes_do(credentials: bytes) -> None:
    allowed = BearerAuth(TOKEN).allows(b"Bearer " + credentials)
    assert allowed == (credentials.strip(b" ") == TOKEN.encode())


@pytest.mark.parametrize("token", ["", " ", "two words", "naïve", "line\n", "\x00"])
def test_tokens_that_no_header_carries_are_refused_unseen(token: str) -> None:
    with pytest.raises(ConfigError, match="printable ASCII") as refused:
        BearerAuth(token)
    assert not token.strip() or token not in str(refused.value)
