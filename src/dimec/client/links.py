"""Connections whose deadline is that of the whole call.

An HTTP client's timeouts are for one operation each: a server that sends one byte every now and
then keeps such a client busy for ever, and so does a name server that does not answer. Here a
deadline is fixed when a request starts, and every step until the last byte of the answer (name,
connection, handshake, request, headers, body) has only what is left of it.

That is for threads. An asynchronous call is cancelled as a whole when its time is up; there the
connections only need to be closed whatever they were at.
"""

from __future__ import annotations

import queue
import select
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore2
import httpx2

# Idle connections are kept for a minute: an input every few seconds then costs no new handshake.
# Servers that close earlier are noticed before a connection is used again.
KEEPALIVE_SECONDS = 60.0
MAX_CONNECTIONS = 100

_TRANSLATION: dict[type[Exception], type[httpx2.TransportError]] = {
    httpcore2.ConnectTimeout: httpx2.ConnectTimeout,
    httpcore2.ReadTimeout: httpx2.ReadTimeout,
    httpcore2.WriteTimeout: httpx2.WriteTimeout,
    httpcore2.PoolTimeout: httpx2.PoolTimeout,
    httpcore2.ConnectError: httpx2.ConnectError,
    httpcore2.ReadError: httpx2.ReadError,
    httpcore2.WriteError: httpx2.WriteError,
    httpcore2.RemoteProtocolError: httpx2.RemoteProtocolError,
    httpcore2.LocalProtocolError: httpx2.LocalProtocolError,
}


@contextmanager
def _translated() -> Iterator[None]:
    """The errors of the connection pool as those that a transport may raise."""
    try:
        yield
    except tuple(_TRANSLATION) as error:
        raise _TRANSLATION[type(error)](str(error)) from error


@contextmanager
def _raising(
    on_timeout: type[httpcore2.TimeoutException], on_error: type[httpcore2.NetworkError]
) -> Iterator[None]:
    """The operating system's errors as those that the connection pool knows."""
    try:
        yield
    except TimeoutError as error:
        raise on_timeout("the deadline has passed") from error
    except OSError as error:
        raise on_error(str(error)) from error


def _left(deadline: float | None) -> float:
    """Seconds until a deadline; :class:`TimeoutError` where there are none."""
    if deadline is None:
        raise ValueError("a deadline is needed")
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _pool_options(context: ssl.SSLContext) -> dict[str, Any]:
    return {
        "ssl_context": context,
        "max_connections": MAX_CONNECTIONS,
        "max_keepalive_connections": MAX_CONNECTIONS,
        "keepalive_expiry": KEEPALIVE_SECONDS,
    }


def _for_pool(request: httpx2.Request, **extensions: Any) -> httpcore2.Request:
    """A request as the connection pool takes it, with some of its extensions replaced."""
    url = request.url
    return httpcore2.Request(
        method=request.method,
        url=httpcore2.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        ),
        headers=request.headers.raw,
        content=request.content,
        extensions={**request.extensions, **extensions},
    )


def _from_pool(response: httpcore2.Response, body: _Body | _AsyncBody) -> httpx2.Response:
    return httpx2.Response(
        response.status, headers=response.headers, stream=body, extensions=response.extensions
    )


class DeadlineTransport(httpx2.BaseTransport):
    """Sends requests over kept connections; a request's ``read`` timeout is for the whole of it.

    Args:
        context: which certificates to trust.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._pool = httpcore2.ConnectionPool(**_pool_options(context), network_backend=_Sockets())

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send, and return as soon as the headers of the answer are there.

        Raises:
            httpx2.TransportError: no answer, or the deadline has passed.
        """
        seconds = request.extensions["timeout"]["read"]
        # The pool hands these on to _DeadlineStream as they are, except for its own.
        deadline = time.monotonic() + seconds
        timeouts = {**dict.fromkeys(("connect", "read", "write"), deadline), "pool": seconds}
        with _translated():
            response = self._pool.handle_request(_for_pool(request, timeout=timeouts))
        return _from_pool(response, _Body(response))

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


class _Body(httpx2.SyncByteStream):
    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        with _translated():
            yield from self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


class _Sockets(httpcore2.NetworkBackend):
    """Opens connections; every ``timeout`` is a deadline, in seconds of the monotonic clock."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        with _raising(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            return _DeadlineStream(_connect(_resolve(host, port, timeout), timeout))


class _DeadlineStream(httpcore2.NetworkStream):
    """A connection; every ``timeout`` is a deadline, in seconds of the monotonic clock."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _raising(httpcore2.ReadTimeout, httpcore2.ReadError):
            self._socket.settimeout(_left(timeout))
            return self._socket.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _raising(httpcore2.WriteTimeout, httpcore2.WriteError):
            rest = memoryview(buffer)
            while rest:
                self._socket.settimeout(_left(timeout))
                rest = rest[self._socket.send(rest) :]

    def close(self) -> None:
        self._socket.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        with _raising(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            try:
                # The handshake as a whole is given the time, not each of its messages.
                self._socket.settimeout(_left(timeout))
                return _DeadlineStream(
                    ssl_context.wrap_socket(self._socket, server_hostname=server_hostname)
                )
            except BaseException:
                self._socket.close()
                raise

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # an idle connection that is readable has been closed
            return _is_readable(self._socket)
        if info == "ssl_object" and isinstance(self._socket, ssl.SSLSocket):
            return self._socket
        return None


def _is_readable(sock: socket.socket) -> bool:
    if sock.fileno() < 0:
        return True
    if not hasattr(select, "poll"):
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _resolve(host: str, port: int, deadline: float | None) -> list[tuple[Any, ...]]:
    """Addresses of a host, in the order in which to try them."""
    try:
        return socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        )
    except socket.gaierror:
        pass  # a name, not a number
    answer: queue.SimpleQueue[list[Any] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answer.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as error:
            answer.put(error)

    # The system's resolver cannot be given a time limit, so it is left behind when time is up.
    threading.Thread(target=ask, name="dimec-resolve", daemon=True).start()
    try:
        found = answer.get(timeout=_left(deadline))
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(found, OSError):
        raise found
    return found


def _connect(addresses: list[tuple[Any, ...]], deadline: float | None) -> socket.socket:
    """A connection to the first address that takes one.

    Each is given its share of the time, so that one that swallows packets does not hide the next.
    """
    failure: OSError = OSError("the name has no address")
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:  # IPv6 may be switched off
            failure = error
            continue
        try:
            sock.settimeout(_left(deadline) / (len(addresses) - index))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


class AsyncTransport(httpx2.AsyncBaseTransport):
    """Sends requests over kept connections; has no deadline of its own, but can be cancelled.

    Args:
        context: which certificates to trust.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            **_pool_options(context), network_backend=_AsyncSockets()
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send, and return as soon as the headers of the answer are there.

        Raises:
            httpx2.TransportError: no answer.
        """
        with _translated():
            response = await self._pool.handle_async_request(_for_pool(request, timeout={}))
        return _from_pool(response, _AsyncBody(response))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()


class _AsyncBody(httpx2.AsyncByteStream):
    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _translated():
            async for chunk in self._response.aiter_stream():
                yield chunk

    async def aclose(self) -> None:
        await self._response.aclose()


class _AsyncSockets(httpcore2.AnyIOBackend):
    async def connect_tcp(self, *args: Any, **options: Any) -> httpcore2.AsyncNetworkStream:
        return _CancelSafeStream(await super().connect_tcp(*args, **options))


class _CancelSafeStream(httpcore2.AsyncNetworkStream):
    """A connection that is closed as well where its handshake is cancelled."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _raising(httpcore2.ReadTimeout, httpcore2.ReadError):
            return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _raising(httpcore2.WriteTimeout, httpcore2.WriteError):
            await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        with _raising(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            try:
                return _CancelSafeStream(
                    await self._stream.start_tls(ssl_context, server_hostname, timeout)
                )
            except BaseException:
                await self._stream.aclose()
                raise

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
