"""Bytes altered on their way, by a relay that knows what it alters: no wrong answer gets through.

The chaos proxy alters at random and seldom hits two places that belong together. This one does:
each case makes a different, sound question or answer out of the one that was sent.
"""

from __future__ import annotations

import re
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

import dimec
from support.offline import CLOSE, Offline, unseen_texts
from support.processes import Server

Meddle = Callable[[bytes], bytes]


class Relay:
    """Passes whole HTTP messages on, each through a function.

    Args:
        port: of the server on this machine.
    """

    def __init__(self, port: int) -> None:
        self.up: Meddle = bytes
        self.down: Meddle = bytes
        self.altered = 0
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with socket.create_connection(("127.0.0.1", port)) as server:
                    while request := read_message(self.request):
                        server.sendall(outer._through(outer.up, request))
                        if not (answer := read_message(server)):
                            return
                        self.request.sendall(outer._through(outer.down, answer))

        class Listener(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False

        self._listener = Listener(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._listener.server_address[1]}"
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.05,))
        self._thread.start()

    def _through(self, meddle: Meddle, message: bytes) -> bytes:
        result = meddle(message)
        assert len(result) == len(message)
        self.altered += result != message
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown()
        self._thread.join()
        self._listener.server_close()


def read_message(connection: socket.socket) -> bytes:
    """One HTTP message with its body; empty at the end of the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (chunk := connection.recv(65536)):
            return b""
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *([0-9]+)", head)
    size = int(length[1]) if length else 0
    while len(body) < size:
        if not (chunk := connection.recv(65536)):
            return b""
        body += chunk
    return head + b"\r\n\r\n" + body


def other_token(request: bytes) -> bytes:
    """The first real token's id becomes its neighbour's: a sound question, and another one."""
    head, end, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)inference-header-content-length: *([0-9]+)", head)
    if not length:
        return request
    position = int(length[1]) + 8
    altered = body[:position] + bytes([body[position] ^ 1]) + body[position + 1 :]
    return head + end + altered


def other_probability(answer: bytes) -> bytes:
    """The two probabilities change places."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.splitlines()[0] + b" ":
        return answer
    return head + end + body[:-8] + body[-4:] + body[-8:-4]


def without_digest(meddle: Meddle) -> Meddle:
    """The same, with the name of the digest's header altered too."""

    def both(message: bytes) -> bytes:
        return re.sub(rb"(?i)content-digest", b"Kontent-Digest", meddle(message), count=1)

    return both


def with_unknown_digest(meddle: Meddle) -> Meddle:
    """The same, with a digest of an algorithm that nobody knows."""

    def both(message: bytes) -> bytes:
        return meddle(message).replace(b"sha-256=:", b"shy-256=:", 1)

    return both


def plain(meddle: Meddle) -> Meddle:
    return meddle


@pytest.fixture
def relay(proof_bundle: Path, tmp_path: Path) -> Iterator[Relay]:
    with (
        Server(proof_bundle / "cloud", tmp_path / "cloud.log") as server,
        Relay(server.port) as relay,
    ):
        yield relay


@pytest.mark.parametrize("hide", [plain, without_digest, with_unknown_digest])
@pytest.mark.parametrize("way", ["up", "down"])
def test_no_altered_question_or_answer_gets_through(
    proof_bundle: Path, offline: Offline, relay: Relay, way: str, hide: Callable[[Meddle], Meddle]
) -> None:
    texts = unseen_texts(40)
    truth = offline.replay(texts)
    hard = [row for row, route in enumerate(truth.routes(offline.router)) if route == "cloud"]
    with dimec.Mobile.open(proof_bundle, cloud=relay.url, state=":memory:", timeout=5) as mobile:
        first = mobile.predict(texts[hard[0]])
        assert first.answered_by == "cloud"
        assert relay.altered == 0
        setattr(relay, way, hide(other_token if way == "up" else other_probability))
        for row in hard[1:4]:
            prediction = mobile.predict(texts[row])
            probabilities = [prediction.probabilities[label] for label in offline.labels]
            assert prediction.answered_by == "mobile", prediction
            assert truth.disagreement("mobile", row, probabilities) < CLOSE
        assert relay.altered > 3  # tried again, and again in vain
