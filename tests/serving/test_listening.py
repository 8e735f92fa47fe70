"""Addresses that cannot be listened on, and files that TLS cannot use."""

from __future__ import annotations

from pathlib import Path

import pytest

from dimec.base.errors import ConfigError, ServerError
from dimec.serving.listening import bind, tls_context
from dimec.serving.settings import ServerSettings


@pytest.mark.parametrize(
    ("cert", "key"), [("cert", "other"), ("key", "cert"), ("none", "key"), ("cert", "none")]
)
def test_files_that_do_not_fit_are_named(tls_files: dict[str, Path], cert: str, key: str) -> None:
    settings = ServerSettings.of(
        tls_cert=tls_files["ca"].parent / f"{cert}.pem",
        tls_key=tls_files["ca"].parent / f"{key}.pem",
    )
    with pytest.raises(ConfigError, match=rf"TLS: cannot use .*{cert}.pem with .*{key}.pem"):
        tls_context(settings)


def test_a_key_with_a_passphrase_is_refused_without_asking(
    tls_files: dict[str, Path], tmp_path: Path
) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(tls_files["key"].read_bytes(), None)
    locked = tmp_path / "locked.pem"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    settings = ServerSettings.of(tls_cert=tls_files["cert"], tls_key=locked)
    with pytest.raises(ConfigError, match="without a passphrase"):
        tls_context(settings)


def test_addresses_that_cannot_be_listened_on_are_said() -> None:
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=rf"127.0.0.1 port {port}: .*choose another"):
            bind("127.0.0.1", port)
    with pytest.raises(ServerError, match=r"cannot listen on 203\.0\.113\.7"):
        bind("203.0.113.7", 0)
    with pytest.raises(ServerError, match="check --host"):
        bind("no.such.host.invalid", 0)
