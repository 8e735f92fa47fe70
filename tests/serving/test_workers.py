"""Several processes behind one address: deaths, drains, bounds of the whole."""

from __future__ import annotations

import signal
import ssl
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from support.crew import spread, until, workers_of
from support.served import (
    INFER,
    Background,
    Server,
    ask,
    expected,
    inputs_of,
    message,
)
from support.tiny import command

INPUTS = inputs_of([1, 2, 3])
SLOWEST = message(inputs_of([1999]))  # a second or more


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
