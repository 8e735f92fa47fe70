"""``dimec serve --ray`` with a cluster of its own: TLS, a new bundle by SIGHUP, what it refuses."""

from __future__ import annotations

import shutil
import signal
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import trustme

from dimec.bundle.folders import TierBundle, write_manifest
from ray_served import ray_command
from support.served import INFER, Server, ask, expected, inputs_of, message
from support.tiny import environment

INPUTS = inputs_of([1, 2, 3])


@pytest.fixture
def own_tier(tier: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tier, tmp_path / "edge"))


@pytest.fixture
def secure(own_tier: Path, tmp_path: Path) -> Iterator[tuple[Server, ssl.SSLContext]]:
    """Over TLS, and whom its clients trust."""
    authority, context = trustme.CA(), ssl.create_default_context()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    authority.configure_trust(context)
    files = ("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))
    command = ray_command(own_tier, "--port", "0", "--replica-cpus", "0.5", *files)
    with Server.by(command, tmp_path / "log", PYTHONPATH="") as server:
        yield server, context


def _with(folder: Path, **changes: object) -> None:
    manifest = TierBundle.open(folder).manifest
    write_manifest(folder, manifest.model_copy(update=changes))


def test_tls_a_new_bundle_and_an_end_in_order(
    secure: tuple[Server, ssl.SSLContext], own_tier: Path
) -> None:
    server, context = secure
    assert server.url.startswith("https://")
    connection = server.connect(context)
    answer = ask(connection, "POST", INFER, *message(INPUTS))
    found = answer.decoded().outputs["probabilities"]
    np.testing.assert_allclose(found, expected(INPUTS), atol=1e-6)
    tiers = TierBundle.open(own_tier).manifest.tiers
    newer = [
        one.model_copy(update={"version": "77"}) if one.name == "edge" else one for one in tiers
    ]
    _with(own_tier, tiers=tuple(newer))
    server.signal(signal.SIGHUP)
    server.wait_logged("bundle taken", version="77")
    assert ask(connection, "POST", INFER, *message(INPUTS)).decoded().version == "77"
    _with(own_tier, labels=("one", "two", "three"))
    server.signal(signal.SIGHUP)
    assert "expected a graph of" in server.wait_logged("bundle refused")["reason"]
    # Replicas of the bundle before are still there.
    assert ask(connection, "POST", INFER, *message(INPUTS)).decoded().version == "77"
    connection.close()
    assert server.process.stdout is not None
    server.signal()
    assert server.process.stdout.read() == b""  # the ready line was all
    assert server.process.wait(120) == 0


def _refused(*command: str) -> str:
    done = subprocess.run(
        list(command),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env=environment(PYTHONPATH=""),
    )
    assert done.returncode == 2
    assert done.stdout == ""
    return done.stderr


def test_what_no_cluster_can_serve_is_one_line(tier: Path, own_tier: Path) -> None:
    said = _refused(*ray_command(tier, "--ray-address", "127.0.0.1:9"))
    assert "Ray: cannot join the cluster at 127.0.0.1:9" in said
    assert "--ray-address" in said
    said = _refused(*ray_command(tier, "--port", "0", "--replica-cpus", "1000"))
    assert "expected 1 × 1000 processor cores or more" in said
    _with(own_tier, labels=("one", "two", "three"))
    said = _refused(*ray_command(own_tier, "--port", "0"))
    assert "expected a graph of" in said
    assert "make the bundle again" in said
