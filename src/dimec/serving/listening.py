"""What a tier server listens with, a bound socket and the keys of TLS, and how it says so."""

from __future__ import annotations

import json
import os
import socket
import ssl
from typing import TYPE_CHECKING

from dimec.base.errors import ConfigError, ServerError
from dimec.serving.settings import ServerSettings

if TYPE_CHECKING:
    from dimec.bundle.manifest import TierManifest
    from dimec.serving.logs import JsonLog


def bind(host: str, port: int) -> socket.socket:
    """A socket that is bound and does not listen yet.

    Raises:
        ServerError: no such address, or it is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ServerError(f"cannot listen on {host}: {error.strerror}; check --host") from None
    try:
        if os.name == "posix":  # elsewhere it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, OverflowError) as error:
        listener.close()
        raise taken(host, port, error) from None
    return listener


def taken(host: str, port: int, error: Exception) -> ServerError:
    """The error of a port that cannot be had."""
    reason = getattr(error, "strerror", None) or str(error)
    return ServerError(
        f"cannot listen on {host} port {port}: {reason}; choose another with --port, or 0 for any "
        "free one"
    )


def tls_context(settings: ServerSettings) -> ssl.SSLContext | None:
    """What TLS needs, or None where it is not asked for.

    Raises:
        ConfigError: the certificate or its key cannot be read, or they do not belong together.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # An empty passphrase: OpenSSL would otherwise ask for one on the terminal.
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password="")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(
            f"TLS: cannot use {settings.tls_cert} with {settings.tls_key} ({reason}); expected a "
            "certificate and its private key without a passphrase, both in PEM"
        ) from None
    return context


def announce(settings: ServerSettings, manifest: TierManifest, port: int, log: JsonLog) -> None:
    """Say that a server can answer and where: a line on standard output, and in the log."""
    host = settings.host  # the name that was given, since a certificate may be for a name
    secure = settings.tls_cert is not None
    url = f"{'https' if secure else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
    ready: dict[str, object] = {
        "tier": manifest.tier,
        "url": url,
        "version": manifest.version,
    }
    if settings.processes > 1:
        ready["workers"] = settings.processes
    if not settings.loopback and not (secure and settings.token is not None):
        guards = (("TLS", secure), ("a token", settings.token is not None))
        missing = [name for name, given in guards if not given]
        log(
            "warning",
            f"OPEN TO THE NETWORK WITHOUT {' OR '.join(missing).upper()}: anybody who reaches "
            f"{url} can read or ask; give --tls-cert, --tls-key and --token-file",
        )
    log("info", "ready", **ready)
    print(json.dumps({"event": "ready", **ready, "pid": os.getpid()}), flush=True)
