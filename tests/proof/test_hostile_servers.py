"""Servers that lie, flood, stall and send elsewhere: the mobile answers itself, in time.

Every attack runs over a real socket against a real mobile, whose text the router sends to the
cloud. There is no edge, so the mobile's own answer is the only decent one left.
"""

from __future__ import annotations

import gzip
import itertools
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import dimec
from dimec.protocol import DIGEST_HEADER, RECEIVED_HEADER, content_digest
from support.hostile import Asked, Attack, HostileServer, answer, honest, http, slowly
from support.offline import CLOSE, Offline, unseen_texts

TIMEOUT = 0.5
# Far more than the timeout, for a busy machine, and far less than any of the attacks lasts.
PATIENCE = 10.0
# What a server can push into the buffers of the kernel before it is cut off, and then some.
FLOOD = 32 * 2**20


def endless_body(asked: Asked) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nServer: dimec/1\r\n\r\n"
    yield from itertools.repeat(b"x" * 65536)


def endless_chunks(asked: Asked) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    yield from itertools.repeat(b"1000\r\n" + b"x" * 4096 + b"\r\n")


def gzip_bomb(asked: Asked) -> Iterator[bytes]:
    body = gzip.compress(bytes(256 * 2**20), compresslevel=1)
    yield http(body, {"Content-Encoding": "gzip", "Content-Type": "application/json"})


def decent_answer_in_gzip(asked: Asked) -> Iterator[bytes]:
    """Not asked for: what is encoded cannot be told from a bomb before it is unpacked."""
    head, _, body = answer(asked).partition(b"\r\n\r\n")
    packed = gzip.compress(body)
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    lines += [b"Content-Encoding: gzip", b"Content-Length: %d" % len(packed)]
    yield b"\r\n".join(lines) + b"\r\n\r\n" + packed


def header_flood(asked: Asked) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    for number in itertools.count():
        yield b"X-%d: %s\r\n" % (number, b"y" * 1000)


def endless_header(asked: Asked) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nX-Long: "
    yield from itertools.repeat(b"y" * 65536)


def endless_continue(asked: Asked) -> Iterator[bytes]:
    yield from itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n")


def dripping_header(asked: Asked) -> Iterator[bytes]:
    yield from slowly(answer(asked))


def dripping_body(asked: Asked) -> Iterator[bytes]:
    head, end, body = answer(asked).partition(b"\r\n\r\n")
    yield head + end
    yield from slowly(body)


def silence(asked: Asked) -> Iterator[bytes]:
    for _ in range(400):
        time.sleep(0.05)
        yield b""


def hang_up(asked: Asked) -> Iterator[bytes]:
    return iter(())


def half_an_answer(asked: Asked) -> Iterator[bytes]:
    whole = answer(asked)
    yield whole[: len(whole) - 4]


def noise(asked: Asked) -> Iterator[bytes]:
    yield np.random.default_rng(0).bytes(4000)


def another_protocol(asked: Asked) -> Iterator[bytes]:
    yield b"SSH-2.0-OpenSSH_9.6\r\n"


def switching_protocols(asked: Asked) -> Iterator[bytes]:
    yield b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"
    yield from itertools.repeat(b"\0" * 65536, 100)


def negative_length(asked: Asked) -> Iterator[bytes]:
    yield http(b"{}", {"Content-Length": "-1"})


def two_lengths(asked: Asked) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} "


def a_length_never_reached(asked: Asked) -> Iterator[bytes]:
    yield http(b"{", {"Content-Length": str(10**12)})
    yield from silence(asked)


def server_error(asked: Asked) -> Iterator[bytes]:
    yield http(b'{"error": "no"}', status="500 Internal Server Error")


def come_back_in_an_hour(asked: Asked) -> Iterator[bytes]:
    yield http(b'{"error": "busy"}', {"Retry-After": "3600"}, "503 Service Unavailable")


def come_back_at_some_time(asked: Asked) -> Iterator[bytes]:
    yield http(b'{"error": "busy"}', {"Retry-After": "-1e999"}, "503 Service Unavailable")


def refused(asked: Asked) -> Iterator[bytes]:
    yield http(b'{"error": "who are you"}', {"WWW-Authenticate": "Bearer"}, "401 Unauthorized")


def no_content(asked: Asked) -> Iterator[bytes]:
    yield b"HTTP/1.1 204 No Content\r\n\r\n"


def a_web_page(asked: Asked) -> Iterator[bytes]:
    yield http(b"<html>Log in to the wireless network</html>", {"Content-Type": "text/html"})


def deep_json(asked: Asked) -> Iterator[bytes]:
    yield http(b"[" * 500_000, {"Content-Type": "application/json"})


def a_header_length_beyond_the_body(asked: Asked) -> Iterator[bytes]:
    yield answer(asked, {"Inference-Header-Content-Length": "999999999999"})


def a_wrong_digest(asked: Asked) -> Iterator[bytes]:
    yield answer(asked, {"Content-Digest": f"sha-256=:{'A' * 43}=:"})


def a_digest_that_is_none(asked: Asked) -> Iterator[bytes]:
    yield answer(asked, {"Content-Digest": "sha-256=:?:"})


def the_answer_to_other_bytes(asked: Asked) -> Iterator[bytes]:
    yield answer(asked, {RECEIVED_HEADER: content_digest(b"another question")})


def the_answer_to_another(asked: Asked) -> Iterator[bytes]:
    yield answer(asked, id="another")


def no_id(asked: Asked) -> Iterator[bytes]:
    yield answer(asked, id="")


def another_model(asked: Asked) -> Iterator[bytes]:
    yield answer(asked, model="edge")


def another_version(asked: Asked) -> Iterator[bytes]:
    yield answer(asked, version=str(int(asked.version) + 1))


def another_output(asked: Asked) -> Iterator[bytes]:
    yield answer(asked, outputs={"logits": asked.probabilities})


def outputs_of(values: object, dtype: type[np.generic]) -> Attack:
    def attack(asked: Asked) -> Iterator[bytes]:
        yield answer(asked, outputs={"probabilities": np.array(values, dtype)})

    return attack


ATTACKS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (
        endless_body,
        endless_chunks,
        gzip_bomb,
        decent_answer_in_gzip,
        header_flood,
        endless_header,
        endless_continue,
        dripping_header,
        dripping_body,
        silence,
        hang_up,
        half_an_answer,
        noise,
        another_protocol,
        switching_protocols,
        negative_length,
        two_lengths,
        a_length_never_reached,
        server_error,
        come_back_in_an_hour,
        come_back_at_some_time,
        refused,
        no_content,
        a_web_page,
        deep_json,
        a_header_length_beyond_the_body,
        a_wrong_digest,
        a_digest_that_is_none,
        the_answer_to_other_bytes,
        the_answer_to_another,
        no_id,
        another_model,
        another_version,
        another_output,
    )
} | {
    "three_classes": outputs_of([[0.2, 0.3, 0.5]], np.float32),
    "two_rows": outputs_of([[0.2, 0.8], [0.2, 0.8]], np.float32),
    "no_rows": outputs_of(np.empty((0, 2)), np.float32),
    "one_axis": outputs_of([0.2, 0.8], np.float32),
    "whole_numbers": outputs_of([[0, 1]], np.int64),
    "not_a_number": outputs_of([[np.nan, 0.5]], np.float32),
    "infinite": outputs_of([[np.inf, 0.5]], np.float32),
    "more_than_certain": outputs_of([[-1.0, 2.0]], np.float32),
    "not_a_distribution": outputs_of([[0.5, 0.9]], np.float32),
}


@pytest.fixture(scope="module")
def hard_text(offline: Offline) -> str:
    """A text that the router sends to the cloud."""
    texts = unseen_texts(50)
    return texts[offline.replay(texts).routes(offline.router).index("cloud")]


def one_answer(bundle: Path, url: str, text: str, timeout: float = TIMEOUT) -> dimec.Prediction:
    """The mobile's answer with that cloud and no edge."""
    with dimec.Mobile.open(bundle, cloud=url, state=":memory:", timeout=timeout) as mobile:
        return mobile.predict(text)


def check_own_answer(offline: Offline, text: str, prediction: dimec.Prediction) -> None:
    """The mobile answered itself, and rightly, and says why."""
    assert prediction.route == "cloud"
    assert prediction.answered_by == "mobile"
    assert prediction.fallback_reason is not None
    assert prediction.fallback_reason.startswith("cloud: ")
    probabilities = [prediction.probabilities[label] for label in offline.labels]
    assert offline.replay([text]).disagreement("mobile", 0, probabilities) < CLOSE


def test_an_honest_answer_is_taken(proof_bundle: Path, offline: Offline, hard_text: str) -> None:
    """The control: what the attacks change is what makes the difference."""
    with HostileServer("cloud", offline.manifest.versions["cloud"]) as server:
        prediction = one_answer(proof_bundle, server.url, hard_text, timeout=PATIENCE)
    assert (prediction.answered_by, prediction.fallback_reason) == ("cloud", None)
    assert list(prediction.probabilities.values()) == [0.125, 0.875]
    assert server.asked == 1


@pytest.mark.parametrize("name", ATTACKS)
def test_the_mobile_answers_in_time(
    proof_bundle: Path, offline: Offline, hard_text: str, name: str
) -> None:
    with HostileServer("cloud", offline.manifest.versions["cloud"], ATTACKS[name]) as server:
        start = time.monotonic()
        prediction = one_answer(proof_bundle, server.url, hard_text)
        assert time.monotonic() - start < PATIENCE
        assert server.asked >= 1
        assert server.sent < FLOOD
    check_own_answer(offline, hard_text, prediction)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_never_followed(
    proof_bundle: Path, offline: Offline, hard_text: str, status: int
) -> None:
    version = offline.manifest.versions["cloud"]
    with HostileServer("cloud", version) as elsewhere:

        def away(asked: Asked) -> Iterator[bytes]:
            target = elsewhere.url + asked.line.split()[1]
            yield http(b"", {"Location": target}, f"{status} Elsewhere")

        with HostileServer("cloud", version, away) as server:
            prediction = one_answer(proof_bundle, server.url, hard_text)
            assert server.asked >= 1
        assert elsewhere.connections == 0
    check_own_answer(offline, hard_text, prediction)


@pytest.mark.parametrize("name", [DIGEST_HEADER, RECEIVED_HEADER])
def test_a_digest_that_was_there_once_must_be_there_always(
    proof_bundle: Path, offline: Offline, hard_text: str, name: str
) -> None:
    def without(asked: Asked) -> Iterator[bytes]:
        lines = answer(asked).split(b"\r\n")
        gone = (name.encode(), b"Server")
        yield b"\r\n".join(line for line in lines if not line.startswith(gone))

    version = offline.manifest.versions["cloud"]
    with HostileServer("cloud", version, without) as server:
        # A server that never sends one, as Triton, is taken at its word.
        prediction = one_answer(proof_bundle, server.url, hard_text)
        assert prediction.answered_by == "cloud"
        server.attack = honest
        with dimec.Mobile.open(
            proof_bundle, cloud=server.url, state=":memory:", timeout=TIMEOUT
        ) as mobile:
            assert mobile.predict(hard_text).answered_by == "cloud"
            server.attack = without
            prediction = mobile.predict(hard_text)
    check_own_answer(offline, hard_text, prediction)


def test_a_token_goes_nowhere_but_to_the_configured_tiers(
    proof_bundle: Path, offline: Offline, hard_text: str
) -> None:
    seen: list[str | None] = []

    def away(asked: Asked) -> Iterator[bytes]:
        seen.append(asked.headers.get("authorization"))
        yield http(b"", {"Location": "http://localhost:9/"}, "307 Temporary Redirect")

    with (
        HostileServer("cloud", offline.manifest.versions["cloud"], away) as server,
        dimec.Mobile.open(
            proof_bundle, cloud=server.url, state=":memory:", timeout=TIMEOUT, token="secret-word"
        ) as mobile,
    ):
        prediction = mobile.predict(hard_text)
    assert set(seen) == {"Bearer secret-word"}
    assert "secret-word" not in repr(prediction)
    check_own_answer(offline, hard_text, prediction)


def test_a_listener_that_takes_no_connection(
    proof_bundle: Path, offline: Offline, hard_text: str
) -> None:
    """Its backlog is full: the handshake itself is never answered."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        start = time.monotonic()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        prediction = one_answer(proof_bundle, url, hard_text)
        assert time.monotonic() - start < PATIENCE
        for filler in fillers:
            filler.close()
    check_own_answer(offline, hard_text, prediction)
