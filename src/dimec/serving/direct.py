"""An inference from its headers to its answer without a task: the way of nearly all requests.

A request that is a task, asks for its body by messages, and has another task that waits for its
client to go, takes a tenth of a millisecond more than these calls: see docs/performance.md.
What is asked and answered is :class:`dimec.serving.infer.Inference`'s in both.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from dimec.serving.entries import Cancelled, Entry
from dimec.serving.exchange import HttpExchange, HttpResponse
from dimec.serving.infer import Stopped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from uvicorn._types import HTTPScope
    from uvicorn.protocols.http.flow_control import FlowControl
    from uvicorn.server import ServerState

    from dimec.protocol import InferRequest
    from dimec.serving.app import TierApp
    from dimec.serving.standing import Standing

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class DirectCycle(RequestResponseCycle):
    """A request for inference and its response, driven by what the connection says.

    It stands where the connection has uvicorn's own, and is what that one waits for as well: the
    connection calls :meth:`set` when a part of the body is there, or the client gone.

    Args:
        standing: says which application answers, once the request's turn has come.
        scope: ASGI's, of the request.
        state: what the connections share; the request is one of its tasks until it has its answer.
        transport, flow: the connection's.
        expect: whether the client waits for a word before it sends the body.
        keep_alive: whether the connection may go on.
        on_response: is called once the answer is written.
        instead: answers as any other request is, where the application no longer takes it so.
    """

    def __init__(
        self,
        standing: Standing,
        scope: HTTPScope,
        state: ServerState,
        transport: asyncio.Transport,
        flow: FlowControl,
        *,
        expect: bool,
        keep_alive: bool,
        on_response: Callable[[], None],
        instead: Callable[[RequestResponseCycle], None],
    ) -> None:
        # As uvicorn's has them; what it needs for tasks and for its own log is not made.
        self.scope = scope
        self.transport = transport
        self.flow = flow
        self.message_event = self  # type: ignore[assignment]  # it has what the connection calls
        self.on_response = on_response
        self.disconnected = False
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = expect
        self.body = bytearray()
        self.more_body = True
        self.response_started = self.response_complete = False
        self._state = state
        self._standing = standing
        self._instead = instead
        self._loop = asyncio.get_running_loop()
        self._app: TierApp | None = None  # once its turn has come
        self._scheduled = False
        self._request: InferRequest | None = None  # once the body is whole
        self._entry: Entry | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._over = False

    # What the connection calls

    def start(self) -> None:
        """The turn of this request has come."""
        self._task: asyncio.Future[None] = self._loop.create_future()
        self._task.add_done_callback(self._cancelled)
        self._state.tasks.add(self._task)  # type: ignore[arg-type]  # waited for and cancelled only
        self._scheduled = True
        # Not at once: what came with the headers is parsed by then, as a rule the whole body.
        self._loop.call_soon(self._begin)

    def set(self) -> None:
        """A part of the body is there, or the client is gone."""
        if self._app is not None and not self._scheduled and not self._over:
            self._scheduled = True
            self._loop.call_soon(self._go_on)

    # From the headers to the answer

    def _begin(self) -> None:
        app = self._standing.app
        if not app.takes_directly(b"POST", self.scope["raw_path"]):  # of another bundle by now
            self._become_usual()
            return
        self._app = app
        app.busy += 1
        self._exchange = HttpExchange(self.scope, _not_sent)  # type: ignore[arg-type]  # a mapping
        try:
            if (response := app.refusal(self._exchange)) is not None:
                self._answer(response)
                return
            app.inference.check_head(self._exchange)
        except Exception as error:
            self._fail(error)
            return
        self._go_on()

    def _go_on(self) -> None:
        self._scheduled = False
        if self._over:
            return
        assert self._app is not None
        if self.disconnected:
            if self._entry is None:
                self._fail(Cancelled())
            else:
                self._entry.fail(Cancelled())
        elif self._entry is None:
            self._read()

    def _read(self) -> None:
        """Take the body once it is whole."""
        assert self._app is not None
        inference = self._app.inference
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(_CONTINUE)
            self.waiting_for_100_continue = False
        try:
            inference.check_size(len(self.body))
            if not self.more_body:
                self._stop_timer()
                body, self.body = bytes(self.body), bytearray()
                self._request, self._entry = inference.take(self._exchange, body)
                self._entry.answer.add_done_callback(self._answered)
            elif inference.stopped:
                raise Stopped
            elif self._timer is None:
                inference.reading.add(self)
                self._timer = self._loop.call_later(inference.body_seconds, self._late)
            self.flow.resume_reading()  # of the body, or of the end that says that the client went
        except Exception as error:
            self._fail(error)

    def give_up(self) -> None:
        """The server stops, and waits for no body any longer."""
        if not self._over:
            self._fail(Stopped())

    def _late(self) -> None:
        assert self._app is not None
        self._fail(self._app.inference.too_late())

    def _answered(self, answer: asyncio.Future[Any]) -> None:
        if self._over:
            if not answer.cancelled():
                answer.exception()  # seen
            return
        assert self._app is not None
        assert self._request is not None
        assert self._entry is not None
        inference = self._app.inference
        inference.note(self._exchange, self._entry)
        try:
            self._answer(inference.response(self._request, answer.result()))
        except (Exception, asyncio.CancelledError) as error:
            self._fail(error)

    def _cancelled(self, task: asyncio.Future[None]) -> None:
        """The server has waited long enough for this one."""
        if task.cancelled() and not self._over and self._app is not None:
            self._fail(asyncio.CancelledError())
            if self._entry is not None:
                self._entry.fail(Cancelled())

    def _fail(self, error: BaseException) -> None:
        assert self._app is not None
        self._answer(self._app.inference.failure(self._exchange, error))

    def _answer(self, response: HttpResponse) -> None:
        assert self._app is not None
        self._over = True
        self._stop_timer()
        self._app.measure(self._exchange, response)
        if response.outcome == "cancelled" or self.disconnected:
            self._finish(response)
        elif self.flow.write_paused:  # the client does not read
            waiting = self._loop.create_task(self._when_read(response))
            self._state.tasks.add(waiting)
            waiting.add_done_callback(self._state.tasks.discard)
        else:
            self._write(response)

    async def _when_read(self, response: HttpResponse) -> None:
        try:
            await self.flow.drain()
        finally:
            if self.disconnected:
                self._finish(response)
            else:
                self._write(response)

    def _write(self, response: HttpResponse) -> None:
        assert self._app is not None
        exchange = self._exchange
        exchange.closing |= self._app.draining
        headers = [*self._state.default_headers, *exchange.common_headers(), *response.headers]
        if exchange.closing:
            self.keep_alive = False
        elif not self.keep_alive:
            headers.append((b"connection", b"close"))
        lines = [b"%b: %b\r\n" % header for header in headers]
        length = b"content-length: %d\r\n\r\n" % len(response.body)
        self.response_started = True
        self.transport.write(
            b"".join((STATUS_LINE[response.status], *lines, length, response.body))
        )
        self._finish(response)
        self.response_complete = True
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    def _finish(self, response: HttpResponse) -> None:
        assert self._app is not None
        self._app.busy -= 1
        self._leave_tasks()
        self._app.record(self._exchange, response.status, response.outcome)

    def _leave_tasks(self) -> None:
        self._state.tasks.discard(self._task)
        if not self._task.done():
            self._task.set_result(None)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._app is not None:
            self._app.inference.reading.discard(self)

    def _become_usual(self) -> None:
        """Be answered as any other request is."""
        self._over = True
        self._leave_tasks()
        self.message_event = asyncio.Event()
        self.message_event.set()
        self.default_headers = self._state.default_headers
        self.logger = self.access_logger = logging.getLogger("uvicorn.error")
        self.access_log = False
        self.chunked_encoding = None
        self.expected_content_length = 0
        self._instead(self)


def _not_sent(message: Any) -> Awaitable[None]:
    raise AssertionError("what is answered here is written to the connection")
