"""Connections of many callers at once, names with several addresses, calls that are given up."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pytest

from dimec.base.errors import TierError
from dimec.client import links
from dimec.client.breaker import CircuitBreaker
from dimec.client.tier_client import AsyncTierClient, Endpoint, TierClient
from support.wire import (
    INPUTS,
    LONG,
    ROWS,
    Connection,
    RawServer,
    answer,
    answering,
    endpoint,
    error,
    http,
    saying,
)

NEVER = 10**9


@pytest.fixture(params=["threaded", "asyncio"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the twins."""
    return str(request.param)


@contextmanager
def silent_address() -> Iterator[tuple[str, int]]:
    """An address to which connections are neither made nor refused: its queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(8)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()
        for filler in fillers:
            filler.close()


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Let the name ``many.test`` have these addresses."""
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host not in ("many.test", b"many.test"):
            return real(host, port, *args, **options)
        if options.get("flags", 0) & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "not a number")
        return [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def test_an_address_that_refuses_does_not_hide_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        dead = closed.getsockname()
    with RawServer(answering()) as server:
        resolve_to(monkeypatch, dead, ("127.0.0.1", server.port))
        with TierClient(endpoint("http://many.test:80")) as client:
            assert client.infer(INPUTS, id="7").attempts == 1


def test_an_address_that_is_silent_does_not_hide_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with silent_address() as silent, RawServer(answering()) as server:
        resolve_to(monkeypatch, silent, ("127.0.0.1", server.port))
        with TierClient(endpoint("http://many.test:80")) as client:
            assert client.infer(INPUTS, id="7", timeout=2.0).attempts == 1


def test_a_name_without_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch)
    with TierClient(endpoint("http://many.test:80")) as client, pytest.raises(TierError) as caught:
        client.infer(INPUTS, id="7")
    assert (caught.value.reason, caught.value.sent) == ("unreachable", False)


def test_threads_open_no_more_connections_than_they_are(kind: str) -> None:
    with RawServer(answering()) as server:
        if kind == "threaded":
            with TierClient(endpoint(server.url)) as client, ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda i: client.infer(INPUTS, id=str(i)), range(200)))
        else:
            asyncio.run(in_waves(server.url))
        assert server.connections <= 8


async def in_waves(url: str) -> None:
    """25 waves of 8 calls at once."""
    async with AsyncTierClient(endpoint(url)) as client:
        for wave in range(25):
            calls = (client.infer(INPUTS, id=f"{wave}-{i}") for i in range(8))
            await asyncio.gather(*calls)


def test_more_calls_than_connections_wait_for_their_turn(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "MAX_CONNECTIONS", 2)
    test_threads_open_no_more_connections_than_they_are(kind)


def test_a_call_that_finds_no_free_connection(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MAX_CONNECTIONS", 1)
    gone = threading.Event()
    with RawServer(saying(lambda connection, asked: gone.wait(LONG))) as server:
        place, breaker = endpoint(server.url), CircuitBreaker(failures=1)

        async def tasks() -> TierError:
            async with AsyncTierClient(place, breaker=breaker) as client:
                first = asyncio.create_task(client.infer(INPUTS, id="1"))
                while server.connections < 1:
                    await asyncio.sleep(0.001)
                with pytest.raises(TierError) as caught:
                    await client.infer(INPUTS, id="2", timeout=0.2)
                assert breaker.state == "closed"
                gone.set()
                await asyncio.gather(first, return_exceptions=True)
                return caught.value

        def threads() -> TierError:
            client = TierClient(place, breaker=breaker)
            with client, ThreadPoolExecutor(1) as pool:
                first = pool.submit(client.infer, INPUTS, id="1")
                while server.connections < 1:
                    time.sleep(0.001)
                with pytest.raises(TierError) as caught:
                    client.infer(INPUTS, id="2", timeout=0.2)
                assert breaker.state == "closed"
                gone.set()
                assert first.exception() is not None
                return caught.value

        complaint = threads() if kind == "threaded" else asyncio.run(tasks())
    assert (complaint.reason, complaint.sent) == ("timeout", False)
    assert complaint.detail.endswith("no free connection")


def test_old_connections_are_replaced_once_a_call() -> None:
    both = threading.Barrier(2)

    def script(connection: Connection) -> None:
        asked = connection.read()
        assert asked is not None
        both.wait(LONG)
        connection.send(answer(asked))
        connection.read()
        connection.reset()

    with RawServer(script) as server, TierClient(endpoint(server.url)) as client:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda i: client.infer(INPUTS, id=str(i)), range(2)))
        # Both connections are dropped when they are used again; the second time is a failure.
        with pytest.raises(TierError) as caught:
            client.infer(INPUTS, id="7")
        assert server.connections == 2
    assert caught.value.reason in {"broken answer", "unreachable"}


def test_calls_that_are_given_up_leave_no_connection_behind() -> None:
    # An unclosed connection would be a ResourceWarning, which fails the test run.
    async def run(server: RawServer) -> None:
        async with AsyncTierClient(endpoint(server.url)) as client:
            for number in range(1, 6):
                call = asyncio.create_task(client.infer(INPUTS, id=str(number)))
                while server.connections < number:
                    await asyncio.sleep(0.001)
                call.cancel()
                with suppress(asyncio.CancelledError):
                    await call
                assert call.cancelled()
            assert client.breaker.state == "closed"

    with RawServer(lambda connection: (connection.read(), connection.read())) as server:
        asyncio.run(run(server))


def test_whatever_a_server_does_a_call_ends_in_an_answer_or_an_error(kind: str) -> None:
    rng = random.Random(5)
    lock = threading.Lock()

    def script(connection: Connection) -> None:
        while (asked := connection.read()) is not None:
            right = answer(asked)
            with lock:
                case, cut, bit = rng.randrange(8), rng.randrange(len(right)), rng.randrange(8)
            altered = bytearray(right)
            altered[cut] ^= 1 << bit
            if case == 0:
                connection.reset()
                return
            if case == 1:
                connection.send(right[:cut])
                return
            others = {2: bytes(altered), 3: error(503, "full"), 4: http(500, b"")}
            connection.send(others.get(case, right))

    outcomes: Counter[str] = Counter()
    # A length that was altered to a larger one leaves the client waiting: the deadline ends that.
    with RawServer(script) as server:
        place = endpoint(server.url, retries=2, timeout=1.0)
        breaker = CircuitBreaker(failures=NEVER)
        if kind == "threaded":
            client = TierClient(place, breaker=breaker)

            def call(number: int) -> str:
                try:
                    found = client.infer(INPUTS, id=str(number))
                except TierError as complaint:
                    return complaint.reason
                np.testing.assert_array_equal(found.probabilities, ROWS)
                return "answered"

            with client, ThreadPoolExecutor(8) as pool:
                outcomes.update(pool.map(call, range(240)))
        else:
            outcomes.update(asyncio.run(calls(place, breaker)))
    assert outcomes["answered"] > 120
    assert outcomes.total() == 240
    assert set(outcomes) > {"answered", "server error"}


async def calls(place: Endpoint, breaker: CircuitBreaker) -> list[str]:
    """240 calls, 8 at a time."""
    gate = asyncio.Semaphore(8)
    async with AsyncTierClient(place, breaker=breaker) as client:

        async def call(number: int) -> str:
            async with gate:
                try:
                    found = await client.infer(INPUTS, id=str(number))
                except TierError as complaint:
                    return complaint.reason
                np.testing.assert_array_equal(found.probabilities, ROWS)
                return "answered"

        return await asyncio.gather(*map(call, range(240)))
