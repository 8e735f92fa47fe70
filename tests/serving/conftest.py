"""Servers that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from support.served import Server, make_tier


@pytest.fixture(scope="session")
def tier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an edge tier whose graph is slow or fails as its input asks."""
    return make_tier(tmp_path_factory.mktemp("tier") / "edge")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, tier: Path) -> Iterator[Server]:
    """That tier's server, on one thread, with a small batch, queue and body."""
    log = tmp_path_factory.mktemp("server") / "log"
    with Server(tier, log, max_batch=8, queue=16, max_body=16_384) as running:
        yield running
        assert running.stop() == 0
        assert not running.logged("event loop")
        assert not running.logged("library")


@pytest.fixture(scope="session")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An authority, a certificate and key of its, and another authority, in PEM."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    files = {name: folder / f"{name}.pem" for name in ("ca", "cert", "key", "other")}
    authority.cert_pem.write_to_path(str(files["ca"]))
    certificate.private_key_pem.write_to_path(str(files["key"]))
    for number, blob in enumerate(certificate.cert_chain_pems):
        blob.write_to_path(str(files["cert"]), append=number > 0)
    trustme.CA().cert_pem.write_to_path(str(files["other"]))
    return files
