"""Several processes behind one address: deaths, new bundles under load, bounds of the whole."""

from __future__ import annotations

import http.client
import signal
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from dimec.bundle.manifest import MANIFEST
from support.served import (
    INFER,
    Background,
    Server,
    ask,
    expected,
    inputs_of,
    make_tier,
    message,
    read_answer,
)
from support.tiny import command, environment

INPUTS = inputs_of([1, 2, 3])
SLOWEST = message(inputs_of([1999]))  # a second or more


def workers_of(server: Server) -> list[psutil.Process]:
    """The processes that answer."""
    return list(psutil.Process(server.process.pid).children())


def spread(server: Server, count: int) -> list[http.client.HTTPConnection]:
    """Connections that the workers have by turns."""
    lines = [server.connect() for _ in range(count)]
    for line in lines:
        assert ask(line, "GET", "/v2").status == 200
    return lines


def until(holds: Callable[[], bool]) -> None:
    """Wait for something; the test's time limit ends it."""
    while not holds():
        time.sleep(0.01)


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


def test_clients_are_shared_out_evenly_and_counted_together(own: tuple[Server, Path]) -> None:
    server, _ = own
    connections = [server.connect() for _ in range(6)]
    for _ in range(3):
        for connection in connections:
            answer = ask(connection, "POST", INFER, *message(INPUTS))
            found = answer.decoded().outputs["probabilities"]
            np.testing.assert_allclose(found, expected(INPUTS), atol=1e-6)
    until(lambda: len([x for x in server.logged() if x["path"] == INFER]) == 18)
    by = [line["worker"] for line in server.logged() if line["path"] == INFER]
    assert sorted(by) == [0] * 9 + [1] * 9

    # Whoever answers the scrape tells of all.
    for connection in connections[:2]:
        text = ask(connection, "GET", "/metrics").body.decode()
        assert 'dimec_requests_total{outcome="ok",status="200"}' in text
        assert "dimec_queue_seconds_count 18.0" in text
        assert "dimec_connections 6.0" in text
        assert "dimec_workers 2.0" in text
        assert "dimec_worker_restarts_total 0.0" in text
        assert text.count("# TYPE process_cpu_seconds_total") == 1
        stats = ask(connection, "GET", "/v2/models/edge/stats").json()["model_stats"][0]
        assert stats["inference_count"] == 18
        assert stats["inference_stats"]["success"]["count"] == 18
    for connection in connections:
        connection.close()


def test_one_that_is_killed_is_replaced_and_the_other_answers_meanwhile(
    own: tuple[Server, Path],
) -> None:
    server, tier = own
    first, second = workers_of(server)
    assert server.infer(INPUTS).status == 200
    kept = [server.connect() for _ in range(2)]
    for connection in kept:
        assert ask(connection, "GET", "/v2").status == 200
    # What is on the disk by now is not what the others answer from, so no worker may load it.
    (tier / "model.onnx").write_bytes(b"another")
    first.kill()
    assert server.infer(INPUTS).status == 200
    assert server.wait_logged("worker ended")["exit_code"] == -signal.SIGKILL
    started = server.wait_logged("worker started")
    assert {started["pid"], second.pid} == {child.pid for child in workers_of(server)}
    assert server.metric("dimec_worker_restarts_total") == 1
    assert server.metric("dimec_workers") == 2
    until(lambda: server.metric("dimec_connections") == 2)  # one that is left, and this one
    answers = [server.infer(INPUTS) for _ in range(4)]
    assert {answer.status for answer in answers} == {200}
    # What the dead one had counted is not forgotten.
    assert server.metric("dimec_queue_seconds_count") == 6
    for connection in kept:
        connection.close()


def test_with_all_of_them_dead_connections_wait(own: tuple[Server, Path]) -> None:
    server, _ = own
    for worker in workers_of(server):
        worker.kill()
    assert server.infer(INPUTS).status == 200
    assert server.get("/v2/health/ready").status == 200


def test_one_that_hangs_is_replaced(tier: Path, tmp_path: Path) -> None:
    with Server(tier, tmp_path / "log", threads=2, workers=2, hang_seconds=1.0) as server:
        stopped, other = workers_of(server)
        stopped.suspend()
        assert server.wait_logged("worker hangs")["pid"] == stopped.pid
        assert server.wait_logged("worker ended")["exit_code"] == -signal.SIGKILL
        started = server.wait_logged("worker started")
        assert {child.pid for child in workers_of(server)} == {other.pid, started["pid"]}
        assert {server.infer(INPUTS).status for _ in range(4)} == {200}

        # Where the supervisor itself stood still, nobody else is to blame.
        supervisor = psutil.Process(server.process.pid)
        supervisor.suspend()
        beats = time.monotonic() + 1.5  # what is tested is the passing of this time
        until(lambda: time.monotonic() > beats)
        supervisor.resume()
        assert {server.infer(INPUTS).status for _ in range(4)} == {200}
        assert len(server.logged("worker hangs")) == 1
        assert server.stop() == 0


def test_one_that_is_told_to_stop_answers_what_it_has(own: tuple[Server, Path]) -> None:
    server, _ = own
    running = [Background(ask, line, "POST", INFER, *SLOWEST) for line in spread(server, 2)]
    server.wait_for("dimec_runs_active", 2)
    for worker in workers_of(server):
        worker.terminate()
    assert server.infer(INPUTS).status == 200
    assert [one.result().status for one in running] == [200, 200]
    assert {line["exit_code"] for line in server.logged("worker ended")} <= {0}
    until(lambda: server.metric("dimec_worker_restarts_total") == 2)


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
    from dimec.bundle.folders import TierBundle, file_records, write_manifest

    server, tier = own
    manifest = TierBundle.open(tier).manifest
    (tier / "model.onnx").write_bytes(b"no graph")
    write_manifest(tier, manifest.model_copy(update={"files": file_records(tier)}))
    server.signal(signal.SIGHUP)
    reason = server.wait_logged("bundle refused")["reason"]
    assert str(tier / "model.onnx") in reason
    assert {server.infer(INPUTS).status for _ in range(4)} == {200}


def test_the_queue_is_bounded_for_the_whole(tier: Path, tmp_path: Path) -> None:
    with Server(tier, tmp_path / "log", threads=2, workers=2, max_batch=2, queue=4) as server:
        # Two that run, one on each worker, and four rows that wait.
        lines = spread(server, 6)
        running = [Background(ask, line, "POST", INFER, *SLOWEST) for line in lines[:2]]
        server.wait_for("dimec_runs_active", 2)
        waiting = [Background(ask, line, "POST", INFER, *message(INPUTS)) for line in lines[2:]]
        server.wait_for("dimec_queue_rows", 4)
        refused = [server.infer(INPUTS) for _ in range(2)]
        assert [answer.status for answer in refused] == [503, 503]
        assert refused[0].headers["retry-after"]
        late = server.infer(INPUTS, timeout=1)  # microseconds
        assert late.status in (503, 504)
        assert {one.result().status for one in (*running, *waiting)} == {200}
        assert server.infer(INPUTS).status == 200
        for line in lines:
            line.close()
        assert server.stop() == 0


def test_connections_are_limited_for_the_whole(tier: Path, tmp_path: Path) -> None:
    with Server(tier, tmp_path / "log", threads=2, workers=2, max_connections=3) as server:
        kept = [server.connect() for _ in range(3)]
        for connection in kept:
            assert ask(connection, "GET", "/v2").status == 200
        for _ in range(3):
            assert server.get("/v2").status == 503
        for connection in kept:
            connection.close()
        assert server.stop() == 0


def test_all_drain(tier: Path, tmp_path: Path) -> None:
    with Server(tier, tmp_path / "log", threads=2, workers=2) as server:
        running = [Background(ask, line, "POST", INFER, *SLOWEST) for line in spread(server, 2)]
        server.wait_for("dimec_runs_active", 2)
        waiting = Background(server.infer, INPUTS)
        server.wait_for("dimec_queue_rows", 1)
        server.signal()
        assert [one.result().status for one in (*running, waiting)] == [200] * 3
        assert server.wait() == 0
        assert [line.get("worker") for line in server.logged("stopped")].count(None) == 1
        with pytest.raises(ConnectionRefusedError):
            server.socket()


def test_a_second_signal_ends_all_at_once(tier: Path, tmp_path: Path) -> None:
    with Server(tier, tmp_path / "log", threads=2, workers=2, drain=3600) as server:
        workers = workers_of(server)
        running = Background(server.infer, inputs_of([1999]))
        server.wait_for("dimec_runs_active", 1)
        server.signal()
        server.wait_logged("draining")
        server.signal()
        assert server.wait() == 128 + signal.SIGTERM
        _, left = psutil.wait_procs(workers, 60)
        assert left == []
        with pytest.raises(OSError, match=r"(?i)closed|reset|end"):
            running.result()


def test_they_do_not_outlive_their_supervisor(tier: Path, tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    words = command("serve", tier, "--port", "0", "--workers", "2")
    with Server.by(words, tmp_path / "log", TMPDIR=str(folder)) as server:
        workers = workers_of(server)
        assert list(folder.iterdir())
        server.process.kill()
        _, left = psutil.wait_procs(workers, 60)
        assert left == []
        assert list(folder.iterdir()) == []


def test_over_tls_with_a_token(tier: Path, tmp_path: Path, tls_files: dict[str, Path]) -> None:
    settings: dict[str, Any] = {"tls_cert": str(tls_files["cert"]), "token": "secret-of-the-test"}
    settings["tls_key"] = str(tls_files["key"])
    with Server(tier, tmp_path / "log", threads=2, workers=2, **settings) as server:
        context = ssl.create_default_context(cafile=tls_files["ca"])
        connections = [server.connect(context) for _ in range(4)]
        headers, body = message(INPUTS)
        for connection in connections:
            assert ask(connection, "POST", INFER, headers, body).status == 401
            allowed = {**headers, "Authorization": "Bearer secret-of-the-test"}
            assert ask(connection, "POST", INFER, allowed, body).status == 200
            connection.close()
        for process in workers_of(server):
            for seen in (*process.cmdline(), *process.environ().values()):
                assert "secret-of-the-test" not in seen
        assert server.stop() == 0
        assert "secret-of-the-test" not in server.said()


def test_a_bundle_that_cannot_be_served_is_one_line(tmp_path: Path) -> None:
    import subprocess

    from dimec.bundle.folders import TierBundle, file_records, write_manifest

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
