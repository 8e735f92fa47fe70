"""The chaos proxy as a process, in front of a real echo server."""

from __future__ import annotations

import json
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos_driver import ChaosProxy, address_of

PROXY = Path(__file__).resolve().parents[2] / "tools" / "chaos_proxy.py"
MESSAGE = bytes(range(256)) * 40


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        try:
            while chunk := self.request.recv(65536):
                self.request.sendall(chunk)
        except OSError:
            pass


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128  # of 5 by default, and a busy machine resets what does not fit


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    """Address of a server that sends back what it gets."""
    with _Server(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def connect(url: str, timeout: float = 20) -> socket.socket:
    host, _, port = address_of(url).rpartition(":")
    return socket.create_connection((host, int(port)), timeout)


def read(connection: socket.socket, size: int) -> bytes:
    """So many bytes, or fewer where the connection ends before."""
    got = b""
    while len(got) < size and (chunk := connection.recv(65536)):
        got += chunk
    return got


def exchange(url: str, message: bytes = MESSAGE) -> bytes:
    """What comes back for a message on a connection of its own; all of it, or up to its end."""
    with connect(url) as connection:
        connection.sendall(message)
        return read(connection, len(message))


class TestWithoutFaults:
    def test_bytes_come_back_unchanged_over_many_connections_at_once(self, echo: str) -> None:
        with ChaosProxy(echo) as proxy:
            results: list[bytes] = []
            messages = [bytes([n]) * (1 + 9973 * n) for n in range(24)]
            threads = [
                threading.Thread(target=lambda m=m: results.append(exchange(proxy.url, m)))
                for m in messages
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(results) == sorted(messages)
            stats = proxy.stats()
        size = sum(map(len, messages))
        assert (stats["bytes_up"], stats["bytes_down"]) == (size, size)
        assert stats["connections"] == 24
        for fault in ("refused", "dropped", "truncated", "corrupted", "stalled", "cut"):
            assert stats[fault] == 0

    def test_a_client_that_has_said_all_still_gets_its_answer(self, echo: str) -> None:
        with ChaosProxy(echo, delay=5) as proxy, connect(proxy.url) as connection:
            connection.sendall(MESSAGE)
            connection.shutdown(socket.SHUT_WR)
            assert read(connection, 2 * len(MESSAGE)) == MESSAGE

    def test_megabytes_arrive_in_order_on_a_jittery_narrow_link(self, echo: str) -> None:
        message = b"".join(n.to_bytes(4, "big") for n in range(100_000))
        link: dict[str, Any] = {"delay": 3, "jitter": 3, "rate": 80_000}
        with ChaosProxy(echo, **link) as proxy, connect(proxy.url) as connection:
            sender = threading.Thread(target=connection.sendall, args=(message,))
            sender.start()
            assert read(connection, len(message)) == message
            sender.join()


class TestLinks:
    """Lower bounds only: a busy machine may be slower, never faster."""

    def test_both_delays_and_the_round_trip_of_the_connection_are_paid(self, echo: str) -> None:
        with ChaosProxy(echo, delay=(40, 20)) as proxy:
            start = time.monotonic()
            with connect(proxy.url) as connection:
                connection.sendall(b"first")
                assert read(connection, 5) == b"first"
                first = time.monotonic() - start
                start = time.monotonic()
                connection.sendall(b"second")
                assert read(connection, 6) == b"second"
                second = time.monotonic() - start
        assert first >= 0.119  # 40 + 20 to connect, 40 + 20 for the exchange
        assert second >= 0.059

    def test_without_set_up_the_first_exchange_costs_one_round_trip(self, echo: str) -> None:
        with ChaosProxy(echo, delay=200, setup=False) as one, ChaosProxy(echo, delay=400) as two:
            order: list[str] = []

            def go(name: str, url: str) -> None:
                exchange(url, b"x")
                order.append(name)

            threads = [
                threading.Thread(target=go, args=("two round trips", two.url)),
                threading.Thread(target=go, args=("one round trip", one.url)),
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert order == ["one round trip", "two round trips"]

    def test_delays_are_pipelined(self, echo: str) -> None:
        """Fifty chunks under a delay of 100 ms each way: 0.2 s, not 50 times as much."""
        with ChaosProxy(echo, delay=100, setup=False) as proxy, connect(proxy.url) as connection:
            start = time.monotonic()
            for n in range(50):
                connection.sendall(bytes([n]) * 100)
                time.sleep(0.002)
            assert len(read(connection, 5000)) == 5000
            assert 0.199 <= time.monotonic() - start < 5

    def test_a_rate_is_shared_by_all_connections(self, echo: str) -> None:
        """Two times 5,000 bytes at 400 kbit/s: 0.2 s, not 0.1 s."""
        with ChaosProxy(echo, rate=(400, 0)) as proxy:
            start = time.monotonic()
            threads = [
                threading.Thread(target=exchange, args=(proxy.url, b"x" * 5000)) for _ in range(2)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert time.monotonic() - start >= 0.199


class TestFaults:
    def test_corruption_in_one_direction(self, echo: str) -> None:
        with ChaosProxy(echo, seed=1, corrupt=[0, 1]) as proxy:
            answer = exchange(proxy.url)
            stats = proxy.stats()
        assert len(answer) == len(MESSAGE)
        different = sum(a != b for a, b in zip(answer, MESSAGE, strict=True))
        assert 0 < different <= stats["bytes_altered"]
        assert stats["corrupted"] >= 1

    def test_the_same_seed_corrupts_the_same_bytes(self, echo: str) -> None:
        def one(seed: int) -> list[bytes]:
            faults: dict[str, Any] = {"seed": seed, "corrupt": 0.5}
            # One byte a chunk: how TCP cuts messages into chunks is then out of play.
            with ChaosProxy(echo, **faults) as proxy, connect(proxy.url) as connection:
                answers = []
                for n in range(60):
                    connection.sendall(bytes([n]))
                    answers.append(read(connection, 1))
            return answers

        assert one(5) == one(5)
        assert one(5) != one(6)

    def test_truncation_gives_a_beginning(self, echo: str) -> None:
        with ChaosProxy(echo, seed=2, truncate=[0, 1], reset=0) as proxy:
            answer = exchange(proxy.url)
            assert proxy.stats()["truncated"] == 1
        assert len(answer) < len(MESSAGE)
        assert MESSAGE.startswith(answer)

    def test_a_drop_ends_the_connection_orderly_or_by_a_reset(self, echo: str) -> None:
        with ChaosProxy(echo, drop=1, reset=0) as proxy:
            assert exchange(proxy.url, b"x") == b""
            proxy.change(reset=1)
            with pytest.raises(ConnectionResetError):
                exchange(proxy.url, b"x")
            assert proxy.stats()["dropped"] == 2

    def test_a_blackhole_takes_and_never_answers(self, echo: str) -> None:
        with ChaosProxy(echo, blackhole=1) as proxy, connect(proxy.url, 0.3) as connection:
            connection.sendall(MESSAGE)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            assert proxy.stats()["blackholed"] == 1

    def test_refused_after_the_handshake(self, echo: str) -> None:
        with ChaosProxy(echo, refuse=1) as proxy:
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                exchange(proxy.url)
            assert proxy.stats()["refused"] == 1

    def test_a_phase_without_a_listener(self, echo: str) -> None:
        with ChaosProxy(echo) as proxy:
            for _ in range(3):
                assert exchange(proxy.url) == MESSAGE
                proxy.change(listening=False)
                with pytest.raises(ConnectionRefusedError):
                    exchange(proxy.url)
                proxy.change(listening=True)

    def test_a_stall_makes_an_answer_late(self, echo: str) -> None:
        with ChaosProxy(echo, stall=[0, 1], stall_ms=150) as proxy:
            start = time.monotonic()
            assert exchange(proxy.url, b"x") == b"x"
            assert time.monotonic() - start >= 0.149
            assert proxy.stats()["stalled"] == 1

    def test_cut_resets_what_is_open(self, echo: str) -> None:
        with ChaosProxy(echo) as proxy, connect(proxy.url) as connection:
            connection.sendall(b"x")
            assert read(connection, 1) == b"x"
            proxy.cut()
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
            assert exchange(proxy.url) == MESSAGE
            assert proxy.stats()["cut"] == 1

    def test_a_server_that_is_away_and_comes_back_elsewhere(self, echo: str) -> None:
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            with ChaosProxy(f"127.0.0.1:{nobody.getsockname()[1]}") as proxy:
                with pytest.raises((ConnectionResetError, BrokenPipeError)):
                    exchange(proxy.url)
                assert proxy.stats()["unreachable"] == 1
                proxy.change(to=echo)
                assert exchange(proxy.url) == MESSAGE


class TestTheProcess:
    def start(self, *words: str, **pipes: Any) -> subprocess.Popen[str]:
        command = [sys.executable, str(PROXY), *words]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **pipes)

    def test_a_signal_stops_it_with_a_last_line(self, echo: str) -> None:
        with self.start("--to", echo, "--delay", "3,4", stdin=subprocess.PIPE) as process:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            assert ready["event"] == "ready"
            assert ready["pid"] == process.pid
            exchange(ready["url"])
            process.send_signal(signal.SIGTERM)
            last = json.loads(process.stdout.read())
            assert process.wait(10) == 0
        assert last["event"] == "stopped"
        assert last["bytes_up"] == len(MESSAGE)

    def test_the_end_of_standard_input_stops_it_with_open_connections(self, echo: str) -> None:
        with self.start("--to", echo, stdin=subprocess.PIPE) as process:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            with connect(ready["url"]) as connection:
                connection.sendall(b"x")
                assert read(connection, 1) == b"x"
                out, _ = process.communicate(timeout=10)
        assert process.returncode == 0
        assert json.loads(out)["cut"] == 1

    def test_a_wrong_line_is_answered_and_changes_nothing(self, echo: str) -> None:
        with ChaosProxy(echo) as proxy:
            for wrong, complaint in (
                ({"corrupt": 2}, "corrupt"),
                ({"colour": 1}, "colour"),
                ({"to": 5}, "to"),
            ):
                with pytest.raises(ValueError, match=complaint):
                    proxy.change(**wrong)
            assert exchange(proxy.url) == MESSAGE
            assert proxy.change()["corrupt"] == [0, 0]

    def test_a_wrong_option_is_one_line(self) -> None:
        done = subprocess.run(
            [sys.executable, str(PROXY), "--to", "127.0.0.1:1", "--corrupt", "7"],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 2
        assert done.stderr.startswith("chaos_proxy: corrupt")
        assert done.stderr.count("\n") == 1
