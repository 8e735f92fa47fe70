"""``dimec serve`` from the command line."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dimec.bundle.folders import TierBundle, write_manifest
from dimec.bundle.manifest import BundleManifest
from support.served import VERSION, Server, expected, inputs_of, make_tier
from support.tiny import Said, command

INPUTS = inputs_of([1, 2, 3], [4])


@pytest.fixture(scope="module")
def tier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tier(tmp_path_factory.mktemp("bundle") / "edge")


def test_serves_a_tier_with_a_token_from_a_file(tier: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("from-a-file\n")
    options = ("--port", "0", "--threads", "1", "--token-file", token, "--max-batch", "2")
    starting = Server.by(
        command("serve", tier, *options), tmp_path / "log", DIMEC_TOKEN="not-this-one"
    )
    with starting as server:
        assert server.ready == {
            "event": "ready",
            "tier": "edge",
            "url": f"http://127.0.0.1:{server.port}",
            "version": VERSION,
            "pid": server.process.pid,
        }
        assert server.get("/v2").status == 401
        bearer = {"Authorization": "Bearer from-a-file"}
        assert server.ask("GET", "/v2", bearer).status == 200
        assert server.stop() == 0
        assert server.process.returncode == 0
        assert "from-a-file" not in server.said()
        assert "not-this-one" not in server.said()


def test_options_reach_the_server(tier: Path, tmp_path: Path) -> None:
    options = ["--port=0", "--threads=1", "--max-batch=2", "--queue=2", "--max-body=2000"]
    options += ["--cors-origin=https://a.example", "--cors-origin=https://b.example"]
    starting = command("serve", tier, *options, "--log-level=warning", "--stop-with-stdin")
    with Server.by(starting, tmp_path / "log") as server:
        answer = server.infer(INPUTS).decoded().outputs["probabilities"]
        np.testing.assert_allclose(answer, expected(INPUTS), atol=1e-6)
        assert "expected 1 to 2 rows" in server.infer(inputs_of([1], [1], [1])).error
        assert server.ask("POST", "/v2/models/edge/infer", body=b" " * 3000).status == 413
        for origin in ("https://a.example", "https://b.example"):
            assert server.get("/v2", Origin=origin).headers["access-control-allow-origin"] == origin
        assert server.process.stdin is not None
        server.process.stdin.close()
        assert server.process.wait(60) == 0
        assert server.said() == ""  # nothing to warn of


def test_a_token_from_the_environment(tier: Path, tmp_path: Path) -> None:
    starting = command("serve", tier, "--port=0", "--threads=1")
    with Server.by(starting, tmp_path / "log", DIMEC_TOKEN="from-the-environment") as server:
        assert server.get("/v2").status == 401
        bearer = {"Authorization": "Bearer from-the-environment"}
        assert server.ask("GET", "/v2", bearer).status == 200
        # The port is taken now.
        again = command("serve", tier, f"--port={server.port}")
        said = _run(again)
        assert "choose another with --port, or 0 for any free one" in said.complaint()
        assert server.stop() == 0


def _run(arguments: list[str]) -> Said:
    import subprocess

    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "nothing"),
        (b" \n", "nothing"),
        (b"two words", "something else"),
        ("sécret".encode(), "something else"),
        (b"\xff\xfe", "something else"),
        (b"x" * 5000, "something else"),
    ],
)
def test_files_without_a_token_are_refused_unseen(
    cli: Callable[..., Said], tier: Path, tmp_path: Path, content: bytes, found: str
) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    complaint = cli("serve", tier, "--token-file", file).complaint()
    assert f"found {found}" in complaint
    assert "two words" not in complaint
    assert "cret" not in complaint.replace(str(file), "")


def test_what_cannot_be_served_is_one_line(
    cli: Callable[..., Said], tier: Path, tmp_path: Path
) -> None:
    def complaint(*arguments: object) -> str:
        return cli("serve", "--port", "0", *arguments).complaint()

    assert "is no bundle folder" in complaint(tmp_path / "none")
    said = complaint(tier, "--cors-origin", "https://app.example/page")
    assert said.startswith("--cors-origin: expected an origin such as")
    assert said.endswith("give https://app.example")
    none = tmp_path / "none"
    assert f"--token-file {none}: No such file" in complaint(tier, "--token-file", none)
    altered = Path(shutil.copytree(tier, tmp_path / "altered"))
    model = altered / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"\x01")
    assert "was altered or truncated" in complaint(altered)
    mobile = Path(shutil.copytree(tier, tmp_path / "mobile"))
    manifest = TierBundle.open(tier).manifest
    write_manifest(mobile, manifest.model_copy(update={"tier": "mobile", "segments": (1,)}))
    assert "serve the folder edge/ or cloud/" in complaint(mobile)
    whole = tmp_path / "whole"
    shutil.copytree(tier, whole / "edge")
    shared = {name: getattr(manifest, name) for name in ("tiers", "labels", "provenance")}
    write_manifest(whole, BundleManifest(files={}, **shared))
    assert f"serve one tier of it: {whole / 'edge'} or {whole / 'cloud'}" in complaint(whole)
    shared["tiers"] = shared["tiers"][:1]
    write_manifest(whole, BundleManifest(files={}, **shared))
    assert "of the device's tier alone; it has none to serve" in complaint(whole)
    assert complaint(tier, "--max-batch", "0").startswith("--max-batch: ")
    assert "give both or neither" in complaint(tier, "--tls-cert", "cert.pem")
    cert = ("--tls-cert", tmp_path / "c.pem", "--tls-key", tmp_path / "k.pem")
    assert complaint(tier, *cert).startswith("TLS: cannot use")
    assert "cannot listen on 203.0.113.7" in complaint(tier, "--host", "203.0.113.7")


def test_without_ray_a_cluster_is_refused_with_the_extra_that_it_needs(
    cli: Callable[..., Said], tier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    said = cli("serve", tier, "--ray").complaint()
    assert said.startswith("dimec serve --ray needs the package 'ray'")
    assert said.endswith("pip install 'dimec[ray]'")
    few = cli("serve", tier, "--ray", "--min-replicas", "3", "--max-replicas", "2").complaint()
    assert few == "--max-replicas: expected --min-replicas 3 or more, got 2"


def test_help_names_what_there_is(cli: Callable[..., Said]) -> None:
    said = cli("serve", "--help")
    assert said.code == 0
    for option in ("--token-file", "--tls-cert", "--drain", "--queue"):
        assert option in said.out
    assert "--stop-with-stdin" not in said.out


def test_the_ready_line_is_all_of_standard_output(tier: Path, tmp_path: Path) -> None:
    with Server.by(command("serve", tier, "--port=0", "--threads=1"), tmp_path / "log") as server:
        server.get("/v2")
        server.signal()
        assert server.process.stdout is not None
        assert server.process.stdout.read() == b""
        assert server.process.wait(60) == 0
        for line in server.said().splitlines():
            json.loads(line)
