"""The load generator sends each request once, times each answer, and does not hide a failure."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from benchmarks.load import LoadError, closed_loop, open_loop, post


class Echo(BaseHTTPRequestHandler):
    """Answers with the body that came; "fail" gets 503, "hang up" gets nothing."""

    protocol_version = "HTTP/1.1"
    busy = most_busy = 0
    lock = threading.Lock()

    def do_POST(self) -> None:
        cls = type(self)
        with cls.lock:
            cls.busy += 1
            cls.most_busy = max(cls.most_busy, cls.busy)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == b"hang up":
            self.close_connection = True
        else:
            self.send_response(503 if body == b"fail" else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
        with cls.lock:
            cls.busy -= 1
        if body != b"hang up":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Lets many connect at once."""

    request_queue_size = 128


@pytest.fixture
def url() -> Iterator[str]:
    """An echoing server."""
    Echo.busy = Echo.most_busy = 0
    with Server(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def requests(url: str, bodies: list[bytes]) -> list[bytes]:
    return [post(f"{url}/echo", {"X-Number": str(i)}, body) for i, body in enumerate(bodies)]


@pytest.mark.parametrize("clients", [1, 3, 50])
def test_every_request_is_sent_once_and_gets_its_own_answer(url: str, clients: int) -> None:
    bodies = [b"%d" % i * (1 + 30_000 * (i % 7 == 0)) for i in range(20)]
    answers, wall = closed_loop(url, requests(url, bodies), clients)
    assert Counter(answer.request for answer in answers) == Counter(range(20))
    assert all(answer.body == bodies[answer.request] for answer in answers)
    assert all(0 < answer.seconds <= wall for answer in answers)
    assert Echo.most_busy <= clients


@pytest.mark.parametrize(
    ("body", "complaint"),
    [(b"fail", "answered b'HTTP/1.1 503"), (b"hang up", "closed a connection after 0 bytes")],
)
def test_a_failure_is_raised(url: str, body: bytes, complaint: str) -> None:
    with pytest.raises(LoadError, match=complaint):
        closed_loop(url, requests(url, [b"fine", body]), 2)


def test_an_open_loop_sends_each_once_over_so_many_connections(url: str) -> None:
    bodies = [f"{i}" for i in range(30)]
    sent = requests(url, [body.encode() for body in bodies])
    answers = open_loop(url, sent, [0.001 * (i // 10) for i in range(30)], connections=2)
    assert sorted(one.request for one in answers) == list(range(30))
    assert all(one.body.decode() == bodies[one.request] for one in answers)
    assert all(one.seconds > 0 for one in answers)
    assert Echo.most_busy <= 2


@pytest.mark.parametrize("body", [b"fail", b"hang up"])
def test_an_open_loop_does_not_hide_a_failure(url: str, body: bytes) -> None:
    with pytest.raises(LoadError):
        open_loop(url, requests(url, [b"fine", body]), [0.0, 0.0], connections=1)
