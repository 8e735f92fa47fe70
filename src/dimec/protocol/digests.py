"""``Content-Digest`` (RFC 9530): a body that was altered on its way is told from the one sent."""

from __future__ import annotations

import base64
import hashlib

DIGEST_HEADER = "Content-Digest"
# In an answer: the digest of the request's body as it arrived. It is dimec's own, and needed where
# a request's digest and its body are both altered: the server then has nothing to hold against it.
RECEIVED_HEADER = "X-Request-Digest"

_HASHES = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}


def content_digest(body: bytes) -> str:
    """Value of the header ``Content-Digest`` for a body."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode('ascii')}:"


def states_digest(value: str) -> bool:
    """Whether a ``Content-Digest`` names an algorithm that is known here, so that it can fail."""
    return any(algorithm in _HASHES for algorithm, _ in _members(value))


def digest_matches(value: str, body: bytes) -> bool:
    """Whether a body is the one that a ``Content-Digest`` was made for.

    A value that names no algorithm known here says nothing, as if there were none: True. Where
    several are named, all that are known must match.
    """
    return all(
        _decoded(digest) == _HASHES[algorithm](body).digest()
        for algorithm, digest in _members(value)
        if algorithm in _HASHES
    )


def _members(value: str) -> list[tuple[str, str]]:
    """(algorithm, digest between colons) of each member of a structured dictionary."""
    pairs = (member.partition("=") for member in value.split(","))
    return [(algorithm.strip().lower(), digest.strip()) for algorithm, _, digest in pairs]


def _decoded(digest: str) -> bytes | None:
    if len(digest) < 2 or not digest.startswith(":") or not digest.endswith(":"):
        return None
    try:
        return base64.b64decode(digest[1:-1], validate=True)
    except ValueError:
        return None
