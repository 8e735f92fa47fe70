"""Where a tier is reached, what it answers with, and why it may not."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import numpy.typing as npt

from dimec.base.errors import ConfigError, option, quoted

# Why a tier gave no answer, in :class:`dimec.base.errors.TierError`.
REASONS = (
    "not configured",  # the mobile was given no address of it
    "unreachable",  # no connection: name, refusal, reset, TLS
    "timeout",  # no answer within the deadline, its own or the server's
    "overloaded",  # it says that it has too much to do: 429, 503
    "refused",  # it does not take this request: no access, malformed, too large, moved
    "server error",  # it failed: any other 5xx
    "broken answer",  # what came is not an answer to what was asked, or was altered on its way
    "wrong version",  # it has another version of the model than the bundle
    "circuit open",  # it failed so often that it is left alone for a while
)

LONGEST_TIMEOUT = 3600.0


@dataclass(frozen=True, eq=False)
class TierAnswer:
    """What a tier answered.

    Attributes:
        probabilities: (B, C) float32, finite; every row sums to 1 within 1e-3.
        seconds: the whole call, from its start to its answer, with retries and pauses.
        attempts: requests that were started.
        bytes_sent: bytes of HTTP, headers included, of all attempts that ended in an HTTP answer;
            without what TLS and TCP add.
        bytes_received: likewise.
    """

    probabilities: npt.NDArray[Any]
    seconds: float
    attempts: int
    bytes_sent: int
    bytes_received: int


@dataclass(frozen=True)
class Endpoint:
    """Where a tier is reached, and how long that may take.

    Attributes:
        tier: ``edge`` or ``cloud``; also the name of the model that is asked for.
        url: ``http://`` or ``https://``, host, port, and a path where the server has a prefix.
        version: the version of the model, from the bundle's manifest.
        classes: C, the number of probabilities of a row.
        token: bearer token; never shown.
        ca: file with the certificates to trust in place of the system's.
        timeout: seconds for a whole call.
        retries: further attempts after the first one.
        insecure: send the token over plain HTTP to another machine all the same. It does not
            switch off the check of certificates; nothing does.

    Raises:
        ConfigError: a value that cannot work, or a token that would travel in the clear.
    """

    tier: str
    url: str
    version: str
    classes: int
    token: str | None = field(default=None, repr=False)
    ca: Path | None = None
    timeout: float = 1.0
    retries: int = 2
    insecure: bool = False

    def __post_init__(self) -> None:
        scheme, host = check_url(self.tier, self.url)
        if not (self.tier and self.version):
            raise ConfigError("an endpoint needs the names of a tier and of a version")
        if self.classes < 1 or self.retries < 0:
            raise ConfigError(
                f"{self.tier}: expected 1 class or more and 0 retries or more, got "
                f"{self.classes} and {self.retries}"
            )
        if not 0 < self.timeout <= LONGEST_TIMEOUT:
            raise ConfigError(
                f"{self.tier}: expected a timeout above 0 and up to {LONGEST_TIMEOUT:.0f} seconds, "
                f"got {self.timeout}"
            )
        if self.token is None:
            return
        if not (self.token and self.token.isascii() and self.token.isprintable()):
            raise ConfigError(
                f"{self.tier}: the token must be printable ASCII characters, and one or more"
            )
        if scheme == "http" and not _is_loopback(host) and not self.insecure:
            raise ConfigError(
                f"{self.tier}: the token would travel unencrypted to {host}; use an https:// "
                f"address, or allow it with {option('insecure')}"
            )

    @property
    def model_url(self) -> str:
        """Address of the model's version, without a slash at its end."""
        names = f"models/{quote(self.tier, safe='')}/versions/{quote(self.version, safe='')}"
        return f"{self.url.rstrip('/')}/v2/{names}"

    def tls_context(self) -> ssl.SSLContext:
        """The certificates to trust; none at all for a plain HTTP address.

        Raises:
            ConfigError: ``ca`` cannot be read or holds no certificate.
        """
        if urlsplit(self.url).scheme == "http":
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # reading the system's would cost time
        try:
            return ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"{self.tier}: cannot read certificates from {self.ca} ({error}); give a PEM file"
            ) from None


def check_url(tier: str, url: str) -> tuple[str, str]:
    """Scheme and host. A user's name and password are not repeated in the complaint."""
    try:
        parts = urlsplit(url)
        # Reading the port and encoding the host check them.
        host = (parts.hostname or "").encode("idna")
        sound = parts.scheme in ("http", "https") and host and parts.port != 0
    except ValueError:  # UnicodeError among them
        sound = False
    if not sound or not (url.isascii() and url.isprintable()) or " " in url or "\\" in url:
        got = quoted(url, 100) if "@" not in url else "one with a name or password"
        raise ConfigError(f"{tier}: expected an address such as http://127.0.0.1:8001, got {got}")
    if parts.username is not None or parts.password is not None:
        raise ConfigError(f"{tier}: an address must not hold a name or password; use a token")
    if parts.query or parts.fragment:
        raise ConfigError(f"{tier}: an address must end before '?' and '#', got {url!r}")
    return parts.scheme, str(parts.hostname)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
