"""Servers that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from support.crew import workers_of
from support.served import Server, make_tier
from support.tiny import command


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


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[Server, Path]]:
    """Two workers that a test may kill, and the bundle on the disk, which it may change."""
    tier = make_tier(tmp_path / "edge")
    folder = tmp_path / "temporary"
    folder.mkdir()
    words = command("serve", tier, "--port", "0", "--threads", "2", "--workers", "2")
    with Server.by(words, tmp_path / "log", TMPDIR=str(folder)) as server:
        assert server.ready["workers"] == 2
        yield server, tier
        children = workers_of(server) if server.process.poll() is None else []
        assert server.stop() == 0
        assert not [child for child in children if child.is_running()]
        assert list(folder.iterdir()) == []  # neither copies nor metrics are left behind
        assert not server.logged("event loop")
