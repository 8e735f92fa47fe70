"""The client of a tier: one deadline for a whole call, retries, a circuit breaker.

A call either returns probabilities that were checked in every way, or raises
:class:`~dimec.base.errors.TierError` before its deadline has passed; retries, pauses, name
look-ups, handshakes and answers that drip in byte by byte are all inside of it.

What is tried again, within the deadline and ``retries``: no connection, a connection that broke,
an overloaded server (not before its ``Retry-After``), an answer or a request that was altered or
cut off. A kept connection that the server has closed meanwhile is replaced once, at once. What is
not: refusals, a wrong version, other errors of the server, a certificate that is not trusted.

What counts for the circuit breaker, once a call: no connection, no answer in time, an overloaded or
failing server, a broken answer, another version, no access and an address that has moved, since
these meet every input alike. What does not: a request that is refused for what it holds (400, 413,
415, 422 and their like), no time or no free connection on this side, a call that was cancelled. A
probe of a half-open circuit makes one attempt only.

The client uses binary tensors, of texts too. A server that has never taken any and refuses a
request is asked again in JSON, and if it takes that, in JSON from then on.

Once a server has shown that it is dimec's (header ``Server``) or has sent a ``Content-Digest``,
answers without one are refused: a flipped bit in a tensor would otherwise be a valid, wrong
answer.

The retries are dimec's own: libraries for them time a loop of attempts, whereas here each attempt
has what the ones before have left, a server's ``Retry-After`` and the breaker's probes have a say,
and both clients step through the same generator.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx2
import numpy.typing as npt

from dimec.client.breaker import CircuitBreaker
from dimec.client.calling import Caller, CallSteps, Collector, Pause, http_request
from dimec.client.endpoint import REASONS, Endpoint, TierAnswer
from dimec.client.failures import AttemptState, Failure, explain
from dimec.client.judging import Attempt, Reply
from dimec.client.links import AsyncTransport, DeadlineTransport

__all__ = ["REASONS", "AsyncTierClient", "Endpoint", "TierAnswer", "TierClient"]


class _Client:
    """What both clients have."""

    def __init__(self, endpoint: Endpoint, breaker: CircuitBreaker | None, traced: bool) -> None:
        self._caller = Caller(endpoint, breaker)
        self._traced = traced
        self._closed = False

    @property
    def endpoint(self) -> Endpoint:
        """Where the tier is."""
        return self._caller.endpoint

    @property
    def breaker(self) -> CircuitBreaker:
        """The tier's circuit breaker."""
        return self._caller.breaker

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the client was closed")


class TierClient(_Client):
    """Asks a tier, and waits for the answer; safe to use from several threads.

    Args:
        endpoint: where the tier is.
        breaker: a circuit breaker to share; None for one of its own.
        transport: what sends requests; None for real connections.

    Raises:
        ConfigError: the endpoint's certificates cannot be read.

    Example:
        >>> with TierClient(Endpoint("edge", "http://127.0.0.1:8001", "12", 2)) as client:
        ...     client.endpoint.model_url
        'http://127.0.0.1:8001/v2/models/edge/versions/12'
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        breaker: CircuitBreaker | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        super().__init__(endpoint, breaker, traced=transport is None)
        self._transport = transport or DeadlineTransport(endpoint.tls_context())

    def infer(
        self,
        inputs: Mapping[str, npt.NDArray[Any]],
        *,
        id: str,
        traceparent: str | None = None,
        timeout: float | None = None,
    ) -> TierAnswer:
        """Ask for the probabilities of B rows.

        Args:
            inputs: name → (B, T) int64; for a tier that takes texts, name → (B, 1) of dtype object
                with texts as UTF-8 bytes.
            id: names the request in the logs of both sides.
            traceparent: W3C trace context to pass on; dropped where it is malformed.
            timeout: seconds for the whole call; None for the endpoint's.

        Raises:
            TierError: there is no usable answer; its ``reason`` is one of :data:`REASONS`.
        """
        self._check_open()
        steps = self._caller.steps(inputs, id, traceparent, timeout)
        try:
            return self._run(steps)
        finally:
            steps.close()  # gives up the call where it was interrupted

    def _run(self, steps: CallSteps) -> TierAnswer:
        try:
            step = next(steps)
            while True:
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                    step = next(steps)
                    continue
                try:
                    reply = self._send(step)
                except Failure as failure:
                    step = steps.throw(failure)
                else:
                    step = steps.send(reply)
        except StopIteration as end:
            answer: TierAnswer = end.value
            return answer

    def ready(self) -> bool:
        """Whether the tier says that it is ready to answer with this version."""
        self._check_open()
        try:
            return self._send(self._caller.ready_request()).status == 200
        except Failure:
            return False

    def _send(self, attempt: Attempt) -> Reply:
        deadline = time.monotonic() + attempt.seconds
        state = AttemptState(traced=self._traced)
        request = http_request(attempt, state)
        try:
            response = self._transport.handle_request(request)
            try:
                collector = Collector(attempt, response)
                assert isinstance(response.stream, httpx2.SyncByteStream)
                for chunk in response.stream:
                    collector.add(chunk)
                    if time.monotonic() > deadline:
                        raise TimeoutError
            finally:
                response.close()
        except (httpx2.HTTPError, OSError) as error:
            raise explain(error, state, self.endpoint.url) from error
        return collector.reply(request, response)

    def close(self) -> None:
        """Close all connections."""
        self._closed = True
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AsyncTierClient(_Client):
    """The asynchronous twin of :class:`TierClient`, for one event loop of asyncio.

    A call that is cancelled says nothing of the tier: it does not count for the breaker.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        breaker: CircuitBreaker | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(endpoint, breaker, traced=transport is None)
        self._transport = transport or AsyncTransport(endpoint.tls_context())

    async def infer(
        self,
        inputs: Mapping[str, npt.NDArray[Any]],
        *,
        id: str,
        traceparent: str | None = None,
        timeout: float | None = None,
    ) -> TierAnswer:
        """As :meth:`TierClient.infer`."""
        self._check_open()
        steps = self._caller.steps(inputs, id, traceparent, timeout)
        try:
            return await self._run(steps)
        finally:
            steps.close()  # gives up the call where it was cancelled

    async def _run(self, steps: CallSteps) -> TierAnswer:
        try:
            step = next(steps)
            while True:
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    step = next(steps)
                    continue
                try:
                    reply = await self._send(step)
                except Failure as failure:
                    step = steps.throw(failure)
                else:
                    step = steps.send(reply)
        except StopIteration as end:
            answer: TierAnswer = end.value
            return answer

    async def ready(self) -> bool:
        """As :meth:`TierClient.ready`."""
        self._check_open()
        try:
            return (await self._send(self._caller.ready_request())).status == 200
        except Failure:
            return False

    async def _send(self, attempt: Attempt) -> Reply:
        state = AttemptState(traced=self._traced)
        request = http_request(attempt, state.note)
        try:
            async with asyncio.timeout(attempt.seconds):
                response = await self._transport.handle_async_request(request)
                try:
                    collector = Collector(attempt, response)
                    assert isinstance(response.stream, httpx2.AsyncByteStream)
                    async for chunk in response.stream:
                        collector.add(chunk)
                finally:
                    await response.aclose()
        except (httpx2.HTTPError, OSError) as error:
            raise explain(error, state, self.endpoint.url) from error
        return collector.reply(request, response)

    async def aclose(self) -> None:
        """Close all connections."""
        self._closed = True
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
