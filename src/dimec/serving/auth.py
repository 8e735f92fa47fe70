"""Bearer tokens (RFC 6750): who may ask."""

from __future__ import annotations

import hashlib
import hmac

from dimec.base.errors import ConfigError


class BearerAuth:
    """Compares what a client shows with the token, in constant time.

    Args:
        token: printable ASCII without spaces; None lets everybody in.

    Raises:
        ConfigError: a token that no header can carry.
    """

    def __init__(self, token: str | None) -> None:
        self._digest: bytes | None = None
        if token is None:
            return
        if not token or not all("!" <= char <= "~" for char in token):
            raise ConfigError(
                "the token: expected printable ASCII characters without spaces, got something "
                "else; make one with: openssl rand -hex 32"
            )
        self._digest = _digest(token.encode("ascii"))

    @property
    def required(self) -> bool:
        return self._digest is not None

    def allows(self, authorization: bytes | None) -> bool:
        """Whether the value of an ``Authorization`` header shows the token."""
        if self._digest is None:
            return True
        if authorization is None:
            return False
        scheme, _, credentials = authorization.partition(b" ")
        # Digests are of one length, so that the time taken does not tell the token's.
        same = hmac.compare_digest(_digest(credentials.strip(b" ")), self._digest)
        return same and scheme.lower() == b"bearer"


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()
