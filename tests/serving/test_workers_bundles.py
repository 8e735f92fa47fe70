"""The bundle of several processes: new ones under load, refused ones, one copy for all."""

from __future__ import annotations

import signal
import subprocess
import threading
from pathlib import Path

import numpy as np

from dimec.bundle.folders import TierBundle, file_records, write_manifest
from dimec.bundle.manifest import MANIFEST
from support.crew import until, workers_of
from support.served import INFER, Server, ask, expected, inputs_of, make_tier, message, read_answer
from support.tiny import command, environment

INPUTS = inputs_of([1, 2, 3])


class Client:
    """Asks over one connection, again and again, until it is told to stop.

    Attributes:
        statuses: of all answers.
        lost: connections that ended without the answer to a request.
    """

    def __init__(self, server: Server, number: int) -> None:
        self.statuses: list[int] = []
        self.lost = 0
        self._server, self._number = server, number
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(60)

    def _ask(self) -> None:
        rng = np.random.default_rng(self._number)
        connection = self._server.connect()
        while not self._stop.is_set():
            inputs = inputs_of(rng.integers(0, 1000, rng.integers(1, 40)).tolist())
            headers, body = message(inputs)
            try:
                connection.request("POST", INFER, body, headers)
                answer = read_answer(connection)
            except OSError:
                self.lost += 1
                connection.close()
                connection = self._server.connect()
                continue
            self.statuses.append(answer.status)
            found = answer.decoded().outputs["probabilities"]
            np.testing.assert_allclose(found, expected(inputs), atol=1e-6)
        connection.close()


def test_a_new_bundle_loses_no_request(own: tuple[Server, Path]) -> None:
    server, tier = own
    clients = [Client(server, number) for number in range(4)]
    until(lambda: all(len(client.statuses) > 5 for client in clients))
    manifest = (tier / MANIFEST).read_text("utf-8")
    server.signal(signal.SIGHUP)
    server.wait_logged("bundle taken", version="41")
    (tier / MANIFEST).write_text(manifest.replace('"41"', '"43"'), "utf-8")
    assert server.wait_logged("bundle changed on disk")
    assert "SIGHUP" in server.get("/v2/health/ready").json()["bundle"]
    server.signal(signal.SIGHUP)
    server.wait_logged("bundle taken", version="43")
    seen = [len(client.statuses) for client in clients]
    until(lambda: all(len(c.statuses) > n + 5 for c, n in zip(clients, seen, strict=True)))
    connections = [server.connect() for _ in range(2)]  # one of each worker's
    for connection in connections:
        assert ask(connection, "GET", "/v2/models/edge").json()["versions"] == ["43"]
        connection.close()
    for client in clients:
        client.stop()
    assert [client.lost for client in clients] == [0] * 4
    assert {status for client in clients for status in client.statuses} == {200}
    answered = sum(len(client.statuses) for client in clients)
    assert server.metric("dimec_infer_seconds_count", outcome="ok") == answered

    # One that cannot be served is refused by all, and one that starts later has the old one too.
    (tier / "model.onnx").write_bytes(b"another")
    server.signal(signal.SIGHUP)
    assert server.wait_logged("bundle refused")
    workers_of(server)[0].kill()
    server.wait_logged("worker started")
    connections = [server.connect() for _ in range(2)]
    for connection in connections:
        assert ask(connection, "GET", "/v2/models/edge").json()["versions"] == ["43"]
        connection.close()


def test_a_graph_that_a_worker_refuses_is_taken_by_none(own: tuple[Server, Path]) -> None:
    server, tier = own
    manifest = TierBundle.open(tier).manifest
    (tier / "model.onnx").write_bytes(b"no graph")
    write_manifest(tier, manifest.model_copy(update={"files": file_records(tier)}))
    server.signal(signal.SIGHUP)
    reason = server.wait_logged("bundle refused")["reason"]
    assert str(tier / "model.onnx") in reason
    assert {server.infer(INPUTS).status for _ in range(4)} == {200}


def test_a_bundle_that_cannot_be_served_is_one_line(tmp_path: Path) -> None:
    tier = make_tier(tmp_path / "edge")
    manifest = TierBundle.open(tier).manifest
    (tier / "model.onnx").write_bytes(b"no graph")
    write_manifest(tier, manifest.model_copy(update={"files": file_records(tier)}))
    said = []
    for workers in ("1", "2"):
        done = subprocess.run(
            command("serve", tier, "--port", "0", "--workers", workers),
            capture_output=True,
            text=True,
            env=environment(),
            check=False,
            timeout=60,
        )
        said.append((done.returncode, done.stdout, done.stderr))
    assert [code for code, _, _ in said] == [2, 2]
    for _, out, complaint in said:
        assert out == ""
        assert complaint.startswith(f"dimec: {tier / 'model.onnx'} is no graph")
        assert complaint.count("\n") == 1


def test_weights_are_mapped_by_all_from_one_copy(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    words = command("serve", tiny_bundle / "cloud", "--port", "0", "--workers", "2")
    with Server.by(words, tmp_path / "log", TMPDIR=str(folder)) as server:
        (copy,) = folder.glob("dimec-held-*")
        (metrics,) = folder.glob("dimec-metrics-*")
        for private in (copy, metrics):
            assert private.stat().st_mode & 0o077 == 0  # nobody else reads or writes there
        assert {path.name for path in copy.iterdir()} >= {"model.onnx", "model.onnx.data"}
        for worker in workers_of(server):
            held = {mapped.path for mapped in worker.memory_maps()}
            assert str(copy / "model.onnx.data") in held
        assert server.stop() == 0
