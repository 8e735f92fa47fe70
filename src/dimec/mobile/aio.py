"""The mobile tier for asyncio: the same steps, with tasks in place of threads."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Callable,
    Iterable,
    Mapping,
)
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from dimec.base.errors import ConfigError, DataError, TierError
from dimec.base.machine import processors
from dimec.mobile.addresses import endpoints, named_urls, not_configured
from dimec.mobile.aio_stream import AsyncStream
from dimec.mobile.arrivals import paired_as_they_come
from dimec.mobile.audit import AuditOptions
from dimec.mobile.core import Text
from dimec.mobile.course import Fallback
from dimec.mobile.engine import Engine
from dimec.mobile.item import Item
from dimec.mobile.prediction import Choice, LedgerSummary, MobileInfo, Prediction
from dimec.mobile.spans import engine_of

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from dimec.client.endpoint import TierAnswer
    from dimec.client.tier_client import AsyncTierClient

_T = TypeVar("_T")


class AsyncMobile:
    """:class:`dimec.mobile.Mobile` for asyncio; its graphs and its state run in threads of its own.

    For one event loop. A call that is cancelled leaves nothing half done: its input is forgotten,
    or its answer is recorded whole.

    Example (not run, needs a bundle and a server):
        >>> async def answer() -> None:  # doctest: +SKIP
        ...     async with AsyncMobile.open("bundles/mine/mobile", edge=EDGE) as mobile:
        ...         print((await mobile.predict("a moving film")).label)
        ...         async for prediction in mobile.predict_many(["dull", "superb"]):
        ...             print(prediction.label)
    """

    def __init__(self, make_engine: Callable[[], Engine], **connection: Any) -> None:
        self._make_engine = make_engine
        self._connection = connection
        self._streams: weakref.WeakSet[AsyncStream] = weakref.WeakSet()
        self._clients: dict[str, AsyncTierClient] = {}
        self._opened: Engine | None = None
        # The graphs take the processors, and a thread more records meanwhile.
        self._threads = ThreadPoolExecutor(processors() + 1, "dimec-mobile")

    @classmethod
    def open(
        cls,
        bundle: Path | str,
        *,
        tiers: Mapping[str, str] | None = None,
        edge: str | None = None,
        cloud: str | None = None,
        state: Path | str | None = None,
        adaptive: bool | None = None,
        timeout: float = 1.0,
        fallback: Fallback = "accuracy",
        token: str | None = None,
        ca: Path | str | None = None,
        insecure: bool = False,
        threads: int | None = 1,
        audit: float | None = None,
        audit_bound: float | None = None,
        audit_seed: int | None = None,
        audit_reset: bool = False,
        otel: bool | TracerProvider = False,
        transports: Mapping[str, Any] | None = None,
    ) -> Self:
        """As :meth:`dimec.mobile.Mobile.open`; to be used in ``async with``, which loads it."""
        make_engine = partial(
            engine_of,
            bundle,
            otel,
            state=state,
            adaptive=adaptive,
            fallback=fallback,
            threads=threads,
            audit=AuditOptions(audit, audit_bound, audit_seed, audit_reset),
        )
        return cls(
            make_engine,
            urls={**named_urls(tiers, edge, cloud)},
            timeout=timeout,
            token=token,
            ca=ca,
            insecure=insecure,
            transports=transports or {},
        )

    async def __aenter__(self) -> Self:
        loading = self._threads.submit(self._make_engine)
        try:
            self._opened = await asyncio.shield(asyncio.wrap_future(loading))
            transports = self._connection.pop("transports")
            for endpoint in endpoints(self._opened, **self._connection):
                from dimec.client.tier_client import AsyncTierClient

                transport = transports.get(endpoint.tier)
                self._clients[endpoint.tier] = AsyncTierClient(endpoint, transport=transport)
        except BaseException:
            if self._opened is None:
                loading.add_done_callback(_close_engine)
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def predict(
        self, text: Text, *, id: str | None = None, traceparent: str | None = None
    ) -> Prediction:
        """As :meth:`dimec.mobile.Mobile.predict`."""
        engine = self._engine
        item = engine.admit(text, id, traceparent)
        try:
            await self.settle(item)
            while not item.finished:
                await self.lead(item.tier, [item])
        except BaseException:
            engine.drop([item])
            raise
        return (await self.record([item]))[0]

    def predict_many(
        self,
        texts: Iterable[Text] | AsyncIterable[Text],
        *,
        ids: Iterable[str | None] | None = None,
        workers: int = 8,
    ) -> AsyncGenerator[Prediction, None]:
        """As :meth:`dimec.mobile.Mobile.predict_many`; ``texts`` may come asynchronously."""
        if isinstance(texts, str):
            raise DataError("expected several texts, got one; use predict for it")
        if workers < 1:
            raise ConfigError(f"expected at least 1 worker, got {workers}")
        stream = AsyncStream(self, self._engine, workers)
        self._streams.add(stream)
        return stream.run(paired_as_they_come(texts, ids))

    async def decide(self, text: Text) -> Choice:
        """As :meth:`dimec.mobile.Mobile.decide`."""
        return await self._in_thread(self._engine.look, text)

    async def label(self, id: str, label: str) -> int:
        """As :meth:`dimec.mobile.Mobile.label`."""
        return await self._in_thread(self._engine.audit.label, id, label)

    async def reset_audit(self) -> None:
        """As :meth:`dimec.mobile.Mobile.reset_audit`."""
        await self._in_thread(self._engine.audit.begin)

    async def ledger(self) -> LedgerSummary:
        """As :meth:`dimec.mobile.Mobile.ledger`."""
        return await self._in_thread(self._engine.ledger)

    async def metrics(self) -> str:
        """As :meth:`dimec.mobile.Mobile.metrics`."""
        from dimec.mobile.metrics import metrics_of

        circuits = {tier: client.breaker.state for tier, client in self._clients.items()}
        return await self._in_thread(metrics_of, self._engine, circuits)

    def info(self) -> MobileInfo:
        """As :meth:`dimec.mobile.Mobile.info`."""
        return self._engine.info()

    async def close(self) -> None:
        """End what still runs, and let go of connections and state."""
        for stream in list(self._streams):
            await stream.close()
        for client in self._clients.values():
            await client.aclose()
        await asyncio.to_thread(self._threads.shutdown)
        if self._opened is not None:
            await asyncio.to_thread(self._opened.close)

    @property
    def _engine(self) -> Engine:
        if self._opened is None:
            raise ConfigError("this mobile is not open; use it inside of: async with")
        return self._opened

    async def _in_thread(self, function: Callable[..., _T], *arguments: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def settle(self, item: Item) -> None:
        """Recall the answer of an input, or embed it and decide on it."""
        engine = self._engine
        while (held := engine.claim(item)) is not None:
            # Shielded, because others wait for it too.
            await asyncio.shield(asyncio.wrap_future(held))
        if item.given:
            await self._in_thread(engine.recall, item)
        if not item.known:
            await self._in_thread(engine.embed, item)
            engine.decide(item)

    async def lead(self, tier: str, items: list[Item]) -> None:
        """Lead inputs on at a tier: run them here, or ask it for their probabilities."""
        engine = self._engine
        if tier == engine.device:
            await self._in_thread(engine.run, items)
            return
        sending = engine.sending(tier, items)
        try:
            answer = await self._ask(tier, items)
        except TierError as error:
            if sending is not None:
                sending.failed(error)
            engine.failed(items, error)
        else:
            if sending is not None:
                sending.answered(answer)
            engine.see(items, answer.probabilities)

    async def _ask(self, tier: str, items: list[Item]) -> TierAnswer:
        """Ask another tier for B inputs.

        Raises:
            TierError: it gave no usable answer.
        """
        engine = self._engine
        client = self._clients.get(tier)
        if client is None:
            raise not_configured(tier)
        first = items[0]
        inputs = engine.batch(items, tier)
        return await client.infer(inputs, id=first.id, traceparent=first.context())

    async def record(self, items: list[Item]) -> list[Prediction]:
        """Record answers; goes on to the end where the caller is cancelled."""
        recording = self._threads.submit(self._engine.record, items)
        return await asyncio.shield(asyncio.wrap_future(recording))


def _close_engine(loading: Future[Engine]) -> None:
    """Close what was loaded for a caller who has gone."""
    if not loading.cancelled() and loading.exception() is None:
        loading.result().close()
