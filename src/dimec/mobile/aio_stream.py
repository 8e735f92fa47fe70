"""A stream of inputs answered by tasks, in order of arrival."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Protocol

from dimec.base.errors import ConfigError
from dimec.base.machine import processors
from dimec.mobile.core import Text
from dimec.mobile.engine import Engine
from dimec.mobile.item import Item
from dimec.mobile.prediction import Prediction
from dimec.mobile.stream import AHEAD, lighten
from dimec.mobile.window import Window


class Answering(Protocol):
    """What a stream needs of :class:`dimec.mobile.aio.AsyncMobile`."""

    async def settle(self, item: Item) -> None:
        """Recall the answer of an input, or embed it and decide on it."""

    async def lead(self, tier: str, items: list[Item]) -> None:
        """Lead inputs on at a tier: run them here, or ask it for their probabilities."""

    async def record(self, items: list[Item]) -> list[Prediction]:
        """Record answers; goes on to the end where the caller is cancelled."""
        ...


class AsyncStream:
    """As :class:`dimec.mobile.stream.Stream`, with tasks; one of them takes the texts.

    Args:
        mobile: does what each input needs.
        engine: the mobile's.
        workers: tasks that lead inputs on.
    """

    def __init__(self, mobile: Answering, engine: Engine, workers: int) -> None:
        self._mobile = mobile
        self._engine = engine
        self._limit = AHEAD * workers
        self._workers = workers
        self._processors = processors()
        self._window = Window(engine.names)
        self._ready: deque[Prediction] = deque()
        self._recording = 0
        self._taking = True
        self._stopping = False
        self._failure: Exception | None = None  # of the texts: behind the answers so far
        self._crash: Exception | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._bell = asyncio.Event()

    async def run(
        self, arrivals: AsyncIterator[tuple[Text, str | None]]
    ) -> AsyncGenerator[Prediction, None]:
        """The predictions, in order. Leaves no task behind when it is closed."""
        self._tasks = [asyncio.create_task(self._take_in(arrivals))]
        self._tasks += [asyncio.create_task(self._work()) for _ in range(self._workers)]
        try:
            while True:
                while self._ready:
                    prediction = self._ready.popleft()
                    self._ring()
                    yield prediction
                if self._crash is not None:
                    raise self._crash
                if self._stopping:
                    raise ConfigError("the mobile was closed while a stream was running")
                if not (self._taking or self._under_way()):
                    break
                await self._bell.wait()
            if self._failure is not None:
                raise self._failure
        finally:
            await self.close()

    async def close(self) -> None:
        """Stop the tasks, and forget what has no answer. Calling it again does nothing."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._engine.drop(self._window.clear())
        self._ring()

    def _under_way(self) -> int:
        return len(self._window) + self._recording

    def _ring(self) -> None:
        """Wake all that wait for a change."""
        bell, self._bell = self._bell, asyncio.Event()
        bell.set()

    async def _take_in(self, arrivals: AsyncIterator[tuple[Text, str | None]]) -> None:
        try:
            async for text, id_ in arrivals:
                while self._under_way() + len(self._ready) >= self._limit:
                    await self._bell.wait()
                await self._admit(self._engine.admit(text, id_, None))
        except Exception as error:
            self._failure = error
        finally:
            self._taking = False
            self._ring()

    async def _admit(self, item: Item) -> None:
        try:
            await self._mobile.settle(item)
            if not item.known:
                lighten(item, self._engine.device)
        except BaseException:
            self._engine.drop([item])
            raise
        self._window.add(item)
        self._ring()
        if item.known:
            await self._record()

    async def _work(self) -> None:
        try:
            while True:
                local = self._window.running[self._engine.device] < self._processors
                if (work := self._window.take(local)) is None:
                    await self._bell.wait()
                else:
                    await self._do(*work)
                    await self._record()
        except Exception as error:
            self._crash = self._crash or error
            # At once, and not when the caller comes back: others may wait for the same inputs.
            self._engine.drop(self._window.clear())
            self._ring()

    async def _do(self, tier: str, items: list[Item]) -> None:
        await self._mobile.lead(tier, items)
        self._window.done(tier, items)
        self._ring()

    async def _record(self) -> None:
        while not self._recording and (head := self._window.finished()):
            self._recording = len(head)
            predictions: list[Prediction] = []
            try:
                predictions = await self._mobile.record(head)
            finally:
                self._recording = 0
                self._ready.extend(predictions)
                self._ring()
