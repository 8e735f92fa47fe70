"""The client sends texts: to dimec's own server, and to one that takes JSON only."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import numpy as np
import pytest

from dimec.client.endpoint import Endpoint
from dimec.protocol import BINARY_HEADER, decode_request
from support.memory_tier import Tier, bad, right
from support.served import SLOW, Server, expected, inputs_of
from support.texts import PANICKING, column, make_text_tier, words_of
from support.wire import VERSION, Client, refused

TEXTS = {"text": column(*words_of([5, 17, 3], [250, 1]))}
WHAT = inputs_of([5, 17, 3], [250, 1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = make_text_tier(tmp_path_factory.mktemp("client") / "edge")
    with Server(folder, folder.parent / "log") as running:
        yield running
        assert running.stop() == 0


@pytest.fixture(params=["threaded", "asyncio"])
def client(request: pytest.FixtureRequest, server: Server) -> Iterator[Client]:
    place = Endpoint("edge", server.url, "41", 2, timeout=60.0, retries=0)
    with Client(str(request.param), place) as client:
        yield client


def test_answers(client: Client) -> None:
    assert client.ready()
    for rows in ([[5, 17, 3], [250, 1]], [[7]]):
        answer = client.infer({"text": column(*words_of(*rows))})
        np.testing.assert_allclose(answer.probabilities, expected(inputs_of(*rows)), atol=1e-6)
        assert answer.attempts == 1
    longer = client.infer({"text": column("t7" + " " * 1000)})
    assert longer.bytes_sent - answer.bytes_sent in range(1000, 1020)


def test_one_text_that_is_refused_says_nothing_of_the_tier(client: Client) -> None:
    for text in (PANICKING, "x" * (1 << 20)):
        complaint = refused(client, inputs={"text": column(text)})
        assert (complaint.reason, complaint.sent) == ("refused", True)
    assert client.breaker.state == "closed"
    np.testing.assert_allclose(client.infer(TEXTS).probabilities, expected(WHAT), atol=1e-6)


def test_a_deadline(client: Client) -> None:
    complaint = refused(client, inputs={"text": column(*words_of([SLOW]))}, timeout=0.2)
    assert (complaint.reason, complaint.sent) == ("timeout", True)


def test_what_is_no_text_is_not_sent(client: Client) -> None:
    for array in (column(b"\xff"), np.array([["text"]], object)):
        complaint = refused(client, inputs={"text": array})
        assert (complaint.reason, complaint.sent) == ("refused", False)


@pytest.mark.parametrize("kind", ["threaded", "asyncio"])
def test_a_server_without_raw_tensors_is_sent_strings(kind: str) -> None:
    def handle(request: httpx2.Request) -> httpx2.Response:
        return bad(400) if BINARY_HEADER in request.headers else right(request)

    tier = Tier(*[handle] * 3)
    place = Endpoint("edge", "http://tier.test", VERSION, 2, timeout=30.0, retries=0)
    texts = {"text": column("ein Süßer", 'say "no"'), "pair": column("", "t2")}
    with tier.client(kind, place) as client:
        assert [client.infer(texts).attempts for _ in range(2)] == [2, 1]
    assert [BINARY_HEADER in request.headers for request in tier.asked] == [True, False, False]
    raw, *strings = tier.asked
    assert '"data":["ein Süßer","say \\"no\\""]'.encode() in strings[0].content
    for request in (raw, *strings):
        got = decode_request(request.content, request.headers.get(BINARY_HEADER)).inputs
        assert {name: array.tolist() for name, array in got.items()} == {
            name: array.tolist() for name, array in texts.items()
        }
