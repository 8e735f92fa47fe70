"""The client against dimec's own server, in a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import numpy as np
import pytest
import trustme

from dimec.base.errors import TierError
from dimec.client.breaker import CircuitBreaker
from dimec.client.links import DeadlineTransport
from dimec.client.tier_client import AsyncTierClient, Endpoint, TierClient
from support.served import SLOW, VERSION, Server, expected, inputs_of, make_tier
from support.tiny import command
from support.wire import Client

LONG = 60.0
ROWS = inputs_of([5, 17, 3], [250, 1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An edge tier's bundle."""
    return make_tier(tmp_path_factory.mktemp("client") / "edge")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    """Its server."""
    with Server(folder, folder.parent / "log") as running:
        yield running
        assert running.stop() == 0


@pytest.fixture(params=["threaded", "asyncio"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the twins."""
    return str(request.param)


def endpoint(url: str, **changes: Any) -> Endpoint:
    """An endpoint with much time, with changes."""
    return Endpoint("edge", url, **{"version": VERSION, "classes": 2, "timeout": LONG, **changes})


def refused(client: Client, **options: Any) -> TierError:
    """The error of a call."""
    with pytest.raises(TierError) as caught:
        client.infer(**options)
    return caught.value


def test_answers(kind: str, server: Server) -> None:
    with Client(kind, endpoint(server.url)) as client:
        assert client.ready()
        for number in range(20):
            rows = inputs_of([number, 7, 7], [number + 1])
            answer = client.infer(rows, id=f"answers-{number}")
            np.testing.assert_allclose(answer.probabilities, expected(rows), atol=1e-6)
            assert answer.attempts == 1
    assert "answers-0" in server.said()  # the last one's line may be still to come


def test_ids_of_any_kind(kind: str, server: Server) -> None:
    with Client(kind, endpoint(server.url)) as client:
        for id_ in ("", " ", "größe", "a\r\nX-Evil: b", "\x00", "x" * 5000, "\ud800", "日本"):
            np.testing.assert_allclose(
                client.infer(ROWS, id=id_).probabilities, expected(ROWS), atol=1e-6
            )


def test_another_version(kind: str, server: Server) -> None:
    with Client(kind, endpoint(server.url, version="42")) as client:
        assert refused(client, inputs=ROWS).reason == "wrong version"
        assert not client.ready()


def test_inputs_that_the_server_refuses_do_not_open_the_circuit(kind: str, server: Server) -> None:
    breaker = CircuitBreaker(failures=1)
    with Client(kind, endpoint(server.url), breaker=breaker) as client:
        client.infer(ROWS)
        for rows in (inputs_of([10**9]), inputs_of([1] * 1000)):
            complaint = refused(client, inputs=rows)
            assert (complaint.reason, complaint.sent) == ("refused", True)
        assert client.infer(ROWS).attempts == 1


def test_an_answer_that_comes_too_late(kind: str, server: Server) -> None:
    with Client(kind, endpoint(server.url)) as client:
        complaint = refused(client, inputs=inputs_of([SLOW]), timeout=0.2)
        assert (complaint.reason, complaint.sent) == ("timeout", True)
        assert client.infer(ROWS).attempts == 1


class Corrupting(httpx2.BaseTransport):
    """Real connections that alter a byte of every other request's body."""

    def __init__(self, inner: httpx2.BaseTransport) -> None:
        self._inner = inner
        self._count = 0

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self._count += 1
        if self._count % 2:
            body = bytearray(request.content)
            body[-16] ^= 1
            request = httpx2.Request(
                request.method,
                request.url,
                headers=request.headers,
                content=bytes(body),
                extensions=request.extensions,
            )
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


def test_requests_that_are_altered_on_their_way_are_sent_again(server: Server) -> None:
    place = endpoint(server.url)
    transport = Corrupting(DeadlineTransport(place.tls_context()))
    with TierClient(place, transport=transport) as client:
        for number in range(5):
            answer = client.infer(ROWS, id=str(number))
            assert answer.attempts == 2
            np.testing.assert_allclose(answer.probabilities, expected(ROWS), atol=1e-6)


def test_threads_and_tasks_share_a_client(server: Server) -> None:
    batches = [inputs_of([i % 900, i % 7, 3], [i % 11]) for i in range(160)]
    with TierClient(endpoint(server.url)) as client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: client.infer(batches[i], id=str(i)), range(160)))

    async def together() -> list[Any]:
        async with AsyncTierClient(endpoint(server.url)) as twin:
            calls = (twin.infer(rows, id=str(i)) for i, rows in enumerate(batches))
            return await asyncio.gather(*calls)

    for found in (answers, asyncio.run(together())):
        for rows, answer in zip(batches, found, strict=True):
            np.testing.assert_allclose(answer.probabilities, expected(rows), atol=1e-6)


def test_a_server_that_is_stopped_and_started_again(kind: str, folder: Path) -> None:
    with Server(folder, folder.parent / "first") as first:
        client = Client(kind, endpoint(first.url, retries=0))
        client.infer(ROWS)
        assert first.stop() == 0
    complaint = refused(client, inputs=ROWS)
    assert (complaint.reason, complaint.sent) == ("unreachable", False)
    with Server(folder, folder.parent / "second", port=first.port):
        assert client.infer(ROWS).attempts == 1
        client.close()


class Guarded(NamedTuple):
    """A server that wants a token, over TLS."""

    url: str
    ca: Path
    token: str
    server: Server


@pytest.fixture(scope="module")
def guarded(folder: Path) -> Iterator[Guarded]:
    """One that the command line started."""
    ca, token = trustme.CA(), "s3cret-token"
    paths = {name: folder.parent / f"{name}.pem" for name in ("ca", "cert", "key")}
    ca.cert_pem.write_to_path(str(paths["ca"]))
    certificate = ca.issue_cert("localhost")
    certificate.cert_chain_pems[0].write_to_path(str(paths["cert"]))
    certificate.private_key_pem.write_to_path(str(paths["key"]))
    words = command("serve", folder, "--port", "0", "--stop-with-stdin")
    words += ["--tls-cert", str(paths["cert"]), "--tls-key", str(paths["key"])]
    with Server.by(words, folder.parent / "tls", DIMEC_TOKEN=token) as server:
        yield Guarded(f"https://localhost:{server.port}", paths["ca"], token, server)
        assert server.stop() == 0
        assert token not in server.said()


def test_tokens_over_tls(kind: str, guarded: Guarded) -> None:
    with Client(kind, endpoint(guarded.url, ca=guarded.ca, token=guarded.token)) as client:
        answer = client.infer(ROWS)
    np.testing.assert_allclose(answer.probabilities, expected(ROWS), atol=1e-6)


@pytest.mark.parametrize("token", ["another", None])
def test_without_the_token(kind: str, guarded: Guarded, token: str | None) -> None:
    with Client(kind, endpoint(guarded.url, ca=guarded.ca, token=token)) as client:
        complaint = refused(client, inputs=ROWS)
    assert (complaint.reason, complaint.sent) == ("refused", True)


def test_without_the_authority(kind: str, guarded: Guarded) -> None:
    with Client(kind, endpoint(guarded.url, token=guarded.token)) as client:
        complaint = refused(client, inputs=ROWS)
    assert (complaint.reason, complaint.sent) == ("unreachable", False)
