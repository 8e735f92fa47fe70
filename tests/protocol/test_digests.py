"""``Content-Digest``: the published examples, and values of strangers."""

from __future__ import annotations

import hashlib
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.protocol import content_digest, digest_matches, states_digest

HELLO = b'{"hello": "world"}\n'
# RFC 9530, appendix A: the digests of that body.
SHA256 = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
SHA512 = "sha-512=:" + b64encode(hashlib.sha512(HELLO).digest()).decode() + ":"


def test_the_digest_of_the_standard() -> None:
    assert content_digest(HELLO) == SHA256
    assert digest_matches(SHA256, HELLO)
    assert digest_matches(SHA512, HELLO)


@given(st.binary(max_size=200), st.integers(0, 10**6), st.integers(0, 7))
def test_one_altered_bit_is_seen(body: bytes, place: int, bit: int) -> None:
    digest = content_digest(body)
    assert digest_matches(digest, body)
    if body:
        altered = bytearray(body)
        altered[place % len(body)] ^= 1 << bit
        assert not digest_matches(digest, bytes(altered))
    assert not digest_matches(digest, body + b"\0")


@pytest.mark.parametrize(
    ("value", "matches"),
    [
        ("", True),
        ("md5=:AAAA:", True),
        ("unknown", True),
        (f"md5=:AAAA:, {SHA256}", True),
        (f"{SHA512},{SHA256}", True),
        (SHA256.replace("sha-256", "SHA-256"), True),
        (f"sha-512=:AAAA:, {SHA256}", False),
        (f"{SHA256}, {SHA256.replace('RK', 'KR')}", False),
        ("sha-256", False),
        ("sha-256=", False),
        ("sha-256=:", False),
        ("sha-256=::", False),
        ("sha-256=:not base64:", False),
        ("sha-256=:é:", False),
        ("sha-256=:AAA:", False),
        (SHA256.replace(":", ""), False),
        (SHA256[:-1], False),
    ],
)
def test_values_of_strangers(value: str, matches: bool) -> None:
    assert digest_matches(value, HELLO) is matches


@pytest.mark.parametrize(
    ("value", "states"),
    [
        *((SHA256, True), (SHA512, True), ("Sha-256=nonsense", True), ("md5=::, sha-512=", True)),
        *(("", False), ("md5=:AAAA:", False), ("sha-257=:AAAA:", False), (",=,", False)),
    ],
)
def test_whether_a_value_can_fail(value: str, states: bool) -> None:
    assert states_digest(value) is states


@given(st.text(max_size=60))
def test_any_value_is_understood_or_not(value: str) -> None:
    assert isinstance(digest_matches(value, HELLO), bool)
    assert isinstance(digest_matches(f"sha-256=:{value}:", HELLO), bool)
