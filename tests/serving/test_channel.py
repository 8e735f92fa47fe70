from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

from dimec.serving.channel import CONNECTION, Channel, Message, channel_ends

Heard = asyncio.Queue[tuple[Message, socket.socket | None]]


def within(work: Callable[[Channel, Channel, Heard, asyncio.Event], Awaitable[None]]) -> None:
    """Do something with a pair of channels."""

    async def run() -> None:
        ours, theirs = channel_ends()
        heard: Heard = asyncio.Queue()
        ended = asyncio.Event()
        first = Channel(ours, lambda *_: None, lambda: None)
        second = Channel(theirs, lambda *one: heard.put_nowait(one), ended.set)
        try:
            await work(first, second, heard, ended)
        finally:
            first.close()
            second.close()

    asyncio.run(run())


def test_messages_and_connections_arrive_in_their_order() -> None:
    async def work(ours: Channel, _: Channel, heard: Heard, ended: asyncio.Event) -> None:
        pairs = [socket.socketpair() for _ in range(40)]
        for number, pair in enumerate(pairs):
            ours.send({"do": "other", "number": number})
            ours.send({"do": CONNECTION, "number": number}, pair[1])
        for number, (near, far) in enumerate(pairs):
            assert (await heard.get())[0] == {"do": "other", "number": number}
            message, given = await heard.get()
            assert message["number"] == number
            assert far.fileno() == -1  # it is the other side's now
            assert given is not None
            near.sendall(b"%d" % number)
            assert given.recv(10) == b"%d" % number  # each with its own message
            given.close()
            near.close()
        assert not ended.is_set()

    within(work)


def test_more_than_the_socket_takes_at_once_arrives_whole() -> None:
    async def work(ours: Channel, _: Channel, heard: Heard, __: asyncio.Event) -> None:
        sent = [{"do": "other", "text": "x" * 300_000, "number": n} for n in range(20)]
        for message in sent:
            ours.send(message)
        assert [(await heard.get())[0] for _ in sent] == sent

    within(work)


def test_the_end_of_one_side_is_told_once_to_the_other() -> None:
    async def work(ours: Channel, theirs: Channel, heard: Heard, ended: asyncio.Event) -> None:
        ours.send({"do": "last"})
        ours.close()
        await ended.wait()
        assert heard.get_nowait()[0] == {"do": "last"}
        near, far = socket.socketpair()
        theirs.send({"do": CONNECTION}, far)  # nobody is there: it is closed, and nothing raised
        ours.send({"do": "other"})
        theirs.close()
        assert near.recv(1) == b""
        near.close()

    within(work)
