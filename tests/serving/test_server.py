"""Starting, stopping, draining, TLS: the life of a server's process."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.base.errors import MissingExtraError
from dimec.serving.server import serve
from dimec.serving.settings import ServerSettings
from support.served import (
    INFER,
    SLOW,
    Background,
    Server,
    ask,
    expected,
    inputs_of,
    message,
    raw_request,
    read_answer,
    read_raw,
    server_command,
)

INPUTS = inputs_of([1, 2, 3])


def test_it_says_where_it_is_once_it_can_answer(tier: Path, tmp_path: Path) -> None:
    with Server(tier, tmp_path / "log") as server:
        assert server.get("/v2/health/ready").status == 200
        assert server.ready == {
            "event": "ready",
            "tier": "edge",
            "url": f"http://127.0.0.1:{server.port}",
            "version": "41",
            "pid": server.process.pid,
        }
        begun = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begun < 30
        assert [line["event"] for line in map(json.loads, server.said().splitlines())] == [
            "graph measured",
            "ready",
            "request",
            "draining",
            "stopped",
        ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_was_accepted_is_answered(tier: Path, tmp_path: Path, number: int) -> None:
    with Server(tier, tmp_path / "log") as server:
        # A request whose body is half there, one that runs, one that waits, an idle connection.
        headers, body = message(INPUTS)
        request = raw_request(INFER, headers, body)
        half = server.socket()
        half.sendall(request[:-20])
        running = Background(server.infer, inputs_of([SLOW]))
        server.wait_for("dimec_runs_active", 1)
        waiting = Background(server.infer, INPUTS)
        server.wait_for("dimec_queue_rows", 1)
        idle = server.connect()
        assert ask(idle, "GET", "/v2/health/ready").status == 200
        before = server.metric("dimec_connections")
        assert before >= 4

        server.signal(number)
        while ask(idle, "GET", "/v2/health/ready").status == 200:
            pass  # answered before the signal was seen
        with pytest.raises(ConnectionRefusedError):
            server.socket()
        half.sendall(request[-20:])
        (answer,) = read_raw(half)
        assert answer.headers["connection"] == "close"
        for each, inputs in (
            (answer, INPUTS),
            (waiting.result(), INPUTS),
            (running.result(), inputs_of([SLOW])),
        ):
            probabilities = each.decoded().outputs["probabilities"]
            np.testing.assert_allclose(probabilities, expected(inputs), atol=1e-6)
        half.close()
        assert server.wait() == 0
        assert server.logged("draining")[0]["reason"] == signal.Signals(number).name


def test_new_inferences_are_refused_while_it_drains(tier: Path, tmp_path: Path) -> None:
    with Server(tier, tmp_path / "log") as server:
        running = Background(server.infer, inputs_of([SLOW]))
        server.wait_for("dimec_runs_active", 1)
        kept = [server.connect() for _ in range(3)]
        for connection in kept:
            assert ask(connection, "GET", "/v2/health/ready").status == 200
        server.signal()
        answer = ask(kept[0], "GET", "/v2/health/ready")
        if answer.status == 200:  # answered before the signal was seen
            time.sleep(0.05)
            answer = ask(kept[0], "GET", "/v2/health/ready")
        assert (answer.status, answer.json()) == (503, {"ready": False})
        assert answer.headers["connection"] == "close"
        assert ask(kept[1], "GET", "/v2/health/live").status == 200
        refused = ask(kept[2], "POST", INFER, *message(INPUTS))
        assert refused.status == 503
        assert refused.headers["retry-after"] == "1"
        assert refused.error.startswith("the server is stopping")
        assert running.result().status == 200
        for connection in kept:
            connection.close()
        assert server.wait() == 0


def test_under_load_every_request_has_one_whole_answer_or_none(tier: Path, tmp_path: Path) -> None:
    answered: list[int] = []
    broken: list[Any] = []

    def client(server: Server, number: int) -> None:
        rng = np.random.default_rng(number)
        connection = server.connect()
        while True:
            inputs = inputs_of(rng.integers(0, 1000, rng.integers(1, 40)).tolist())
            try:
                headers, body = message(inputs)
                connection.request("POST", INFER, body, headers)
                answer = read_answer(connection)
            except ConnectionError:
                return  # refused, or closed between two requests
            answered.append(answer.status)
            if answer.status == 503:
                return
            probabilities = answer.decoded().outputs["probabilities"]
            if not np.allclose(probabilities, expected(inputs), atol=1e-6):
                broken.append(inputs)

    with Server(tier, tmp_path / "log") as server:
        threads = [threading.Thread(target=client, args=(server, n)) for n in range(8)]
        for thread in threads:
            thread.start()
        server.wait_for("dimec_requests_total", 200, outcome="ok")
        server.signal()
        for thread in threads:
            thread.join(60)
        assert server.wait() == 0
        lines = [line for line in server.logged() if line["path"] == INFER]
    assert not broken
    assert set(answered) <= {200, 503}
    # Each answer that the server gave has reached its client.
    assert len([line for line in lines if line["status"] == 200]) == answered.count(200)
    assert {line["outcome"] for line in lines} <= {"ok", "overloaded", "cancelled"}


def test_a_drain_ends_when_its_time_is_over(tier: Path, tmp_path: Path) -> None:
    with Server(tier, tmp_path / "log", drain=0.1) as server:
        running = Background(server.infer, inputs_of([SLOW]))
        server.wait_for("dimec_runs_active", 1)
        waiting = Background(server.infer, INPUTS)
        server.wait_for("dimec_queue_rows", 1)
        server.signal()
        assert waiting.result().status == 503
        assert running.result().status == 200  # its run had begun
        assert server.wait() == 0
        assert server.logged("drain took too long")


@pytest.mark.parametrize("tail", [-1, -200])
def test_a_body_that_stalls_is_503_once_the_drain_is_over(
    tier: Path, tmp_path: Path, tail: int
) -> None:
    with Server(tier, tmp_path / "log", drain=0.2) as server, server.socket() as sock:
        sock.sendall(raw_request(INFER, *message(INPUTS))[:tail])
        server.get("/v2")  # so that the half request has been seen
        server.signal()
        (answer,) = read_raw(sock)
        assert answer.status == 503
        assert answer.error == "the server is stopping; ask another one"
        assert (answer.headers["retry-after"], answer.headers["connection"]) == ("1", "close")
        assert server.wait() == 0
        assert [line["status"] for line in server.logged() if line["path"] == INFER] == [503]
        assert not server.logged("library")


def test_a_second_signal_ends_it_at_once(tier: Path, tmp_path: Path) -> None:
    with Server(tier, tmp_path / "log", drain=3600) as server:
        half = server.socket()
        half.sendall(b"POST /v2 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
        half.sendall(raw_request(INFER, *message(INPUTS))[:-1])
        hanging = server.socket()
        hanging.sendall(raw_request(INFER, *message(INPUTS))[:-1])
        server.get("/v2")  # so that the half request has been seen
        server.signal()
        server.wait_logged("draining")
        server.signal()
        assert server.wait() == 128 + signal.SIGTERM
        half.close()
        hanging.close()


def test_a_client_that_waits_on_does_not_keep_it(tier: Path, tmp_path: Path) -> None:
    with Server(tier, tmp_path / "log") as server, server.socket() as idle, server.socket() as half:
        half.sendall(b"GET /v2 HTT")
        idle.sendall(raw_request("/v2", {}, b"", "GET"))
        answers = read_raw(idle)
        assert next(answers).status == 200
        assert server.stop() == 0
        assert list(answers) == []


def test_a_log_that_nobody_reads_does_not_keep_it(tier: Path, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    process = subprocess.Popen(
        server_command(tier, port=0), stdout=subprocess.PIPE, stderr=writer, text=True
    )
    os.close(writer)
    assert process.stdout is not None
    port = json.loads(process.stdout.readline())["url"].rpartition(":")[2]
    with socket.create_connection(("127.0.0.1", int(port)), timeout=60) as sock:
        for _ in range(40):  # more lines than a pipe holds
            sock.sendall(raw_request("/" + "x" * 190, {}, b"", "GET") * 20)
            answers = read_raw(sock)
            assert [next(answers).status for _ in range(20)] == [404] * 20
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    process.stdout.close()
    os.close(reader)


_WITH_STDIN = """
import sys
from dimec.bundle.folders import (TierBundle)
from dimec.serving.server import serve
from dimec.serving.settings import ServerSettings
serve(TierBundle.open(sys.argv[1]), ServerSettings.of(port=0, threads=1), stop_with_stdin=True)
"""


def test_it_stops_with_its_standard_input(tier: Path, tmp_path: Path) -> None:
    with Server.by([sys.executable, "-c", _WITH_STDIN, str(tier)], tmp_path / "log") as server:
        assert server.get("/v2").status == 200
        assert server.process.stdin is not None
        server.process.stdin.close()
        assert server.process.wait(60) == 0
        assert server.logged("draining")[0]["reason"] == "stdin ended"


def test_it_does_not_start_where_its_standard_input_has_ended(tier: Path) -> None:
    command = [sys.executable, "-c", _WITH_STDIN, str(tier)]
    for shell in ('exec "$@" <&-', 'exec "$@" </dev/null'):
        done = subprocess.run(
            ["sh", "-c", shell, "sh", *command], capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr


def test_over_tls(tier: Path, tmp_path: Path, tls_files: dict[str, Path]) -> None:
    settings = {"tls_cert": str(tls_files["cert"]), "tls_key": str(tls_files["key"])}
    with Server(tier, tmp_path / "log", header_seconds=2, **settings) as server:
        assert server.url == f"https://127.0.0.1:{server.port}"
        connection = server.connect(ssl.create_default_context(cafile=tls_files["ca"]))
        for _ in range(3):
            answer = ask(connection, "POST", INFER, *message(INPUTS))
            probabilities = answer.decoded().outputs["probabilities"]
            np.testing.assert_allclose(probabilities, expected(INPUTS), atol=1e-6)
        stranger = server.connect(ssl.create_default_context(cafile=tls_files["other"]))
        with pytest.raises(ssl.SSLCertVerificationError):
            stranger.connect()
        old = ssl.create_default_context(cafile=tls_files["ca"])
        with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(OSError, match=r"(?i)protocol|version|alert|ciphers"):
            server.connect(old).connect()
        with server.socket() as plain:
            plain.sendall(raw_request("/v2", {}, b"", "GET"))
            assert b"200" not in plain.recv(1000)
        with server.socket() as silent:  # no handshake at all
            assert silent.recv(1) == b""
        assert ask(connection, "GET", "/v2/health/live").status == 200
        connection.close()
        assert server.stop() == 0


def test_a_network_without_guards_is_warned_of(tier: Path, tmp_path: Path) -> None:
    with Server(tier, tmp_path / "log", host="0.0.0.0") as server:
        assert server.stop() == 0
        (line,) = [
            line
            for line in map(json.loads, server.said().splitlines())
            if line["level"] == "warning"
        ]
        assert line["event"].startswith("OPEN TO THE NETWORK WITHOUT TLS OR A TOKEN: ")


def test_connections_are_limited(tier: Path, tmp_path: Path) -> None:
    with Server(tier, tmp_path / "log", max_connections=3) as server:
        kept = [server.connect() for _ in range(3)]
        for connection in kept:
            assert ask(connection, "GET", "/v2").status == 200
        with server.socket() as sock:
            (answer,) = read_raw(sock)
            assert answer.status == 503
        kept.pop().close()
        deadline = time.monotonic() + 60
        while True:
            try:
                assert server.get("/v2").status == 200
                break
            except (AssertionError, OSError):
                assert time.monotonic() < deadline
        assert ask(kept[0], "GET", "/v2").status == 200
        assert server.stop() == 0
        for connection in kept:
            connection.close()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tier: Path) -> None:
    from dimec.bundle.folders import TierBundle

    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'dimec\[serve\]'"):
        serve(TierBundle.open(tier), ServerSettings.of(port=0))
