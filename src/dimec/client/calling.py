"""The course of a call to a tier, without its input and output: both clients step through it."""

from __future__ import annotations

import random
import time
from collections.abc import Generator, Mapping
from typing import Any, NamedTuple

import httpx2
import numpy.typing as npt

from dimec.base.errors import TierError
from dimec.client.breaker import CircuitBreaker
from dimec.client.endpoint import LONGEST_TIMEOUT, Endpoint, TierAnswer
from dimec.client.failures import Failure, pause_before
from dimec.client.judging import (
    Attempt,
    Fixed,
    Question,
    Reply,
    ask,
    ask_ready,
    check_received,
    judge,
    wire_id,
)
from dimec.protocol import DIGEST_HEADER, RECEIVED_HEADER


class Pause(NamedTuple):
    """A step of a call: wait."""

    seconds: float


CallSteps = Generator[Attempt | Pause, Reply | None, TierAnswer]


class Caller:
    """What both clients share: the course of a call, and what is known of the server."""

    def __init__(self, endpoint: Endpoint, breaker: CircuitBreaker | None) -> None:
        self.endpoint = endpoint
        self.breaker = CircuitBreaker() if breaker is None else breaker
        self.fixed = Fixed.of(endpoint)
        # Set once each, by whichever thread learns it first.
        self._takes_binary: bool | None = None
        self._sends_digests = self._confirms_requests = False

    def steps(
        self,
        inputs: Mapping[str, npt.NDArray[Any]],
        id_: str,
        traceparent: str | None,
        timeout: float | None,
    ) -> CallSteps:
        """A call as a generator: it yields what to do next, and is sent the reply.

        Failures of the transport are thrown into it as :class:`Failure`. It returns the answer or
        raises :class:`TierError`; closing it gives up the call.
        """
        tier = self.endpoint.tier
        permit = self.breaker.acquire()
        if permit is None:
            raise TierError(tier, "circuit open", "it failed repeatedly, and is left alone", False)
        handed_back = False
        try:
            rows = len(next(iter(inputs.values()), ()))
            question = Question(self.endpoint, inputs, wire_id(id_), traceparent, rows)
            attempts = _Attempts(self, question, timeout, 0 if permit.probe else None)
            try:
                answer = yield from attempts.run()
            except Failure as failure:
                handed_back = True
                (self.breaker.fail if failure.counts else self.breaker.abandon)(permit)
                raise attempts.in_vain(failure) from failure
            handed_back = True
            self.breaker.succeed(permit)
            return answer
        finally:
            if not handed_back:
                self.breaker.abandon(permit)

    def ready_request(self) -> Attempt:
        """The request that asks whether the tier is ready."""
        return ask_ready(self.fixed, self.endpoint.timeout)

    def prefers_binary(self) -> bool:
        """Whether to ask with raw tensors: until the server is known not to take them."""
        return self._takes_binary is not False

    def may_be_json_only(self) -> bool:
        """Whether the server may have refused raw tensors as such."""
        return self._takes_binary is None

    def check(
        self, question: Question, attempt: Attempt, reply: Reply, *, binary: bool
    ) -> npt.NDArray[Any]:
        """Judge a reply, and learn from it what the server can do."""
        if reply.headers.get("server", "").startswith("dimec/"):
            self._sends_digests = self._takes_binary = True
        check_received(attempt, reply, required=self._confirms_requests)
        probabilities = judge(question, reply, digest_required=self._sends_digests)
        if reply.headers.get(DIGEST_HEADER.lower()):
            self._sends_digests = True
        if reply.headers.get(RECEIVED_HEADER.lower()):
            self._confirms_requests = True
        if self._takes_binary is None:
            self._takes_binary = binary
        return probabilities


class _Attempts:
    """The attempts of one call."""

    def __init__(
        self, caller: Caller, question: Question, timeout: float | None, retries: int | None
    ) -> None:
        self._caller = caller
        self._question = question
        self._start = time.monotonic()
        seconds = caller.endpoint.timeout if timeout is None else timeout
        self._deadline = self._start + min(seconds, LONGEST_TIMEOUT)
        self._retries = caller.endpoint.retries if retries is None else retries
        self._binary = caller.prefers_binary()
        self._replaced = False
        self._count = 0
        self._bytes_sent = self._bytes_received = 0
        self._status: int | None = None
        self.sent = False

    def run(self) -> CallSteps:
        """Attempt until there is an answer; raises :class:`Failure` where there will be none."""
        failure: Failure | None = None
        while True:
            left = self._deadline - time.monotonic()
            if not left > 0:
                raise failure or Failure("timeout", "no time is left", sent=False, counts=False)
            self._count += 1
            self._status = None
            try:
                attempt = ask(self._question, self._caller.fixed, left, binary=self._binary)
                reply = yield attempt
                assert reply is not None
                self.sent, self._status = True, reply.status
                self._bytes_sent += reply.sent
                self._bytes_received += reply.received
                values = self._caller.check(self._question, attempt, reply, binary=self._binary)
            except Failure as error:
                failure = error
                self.sent |= error.sent
                pause = self._pause(error)
                if pause > 0:
                    yield Pause(pause)
                continue
            seconds = time.monotonic() - self._start
            return TierAnswer(values, seconds, self._count, self._bytes_sent, self._bytes_received)

    def in_vain(self, failure: Failure) -> TierError:
        """What the call comes to where this was its last attempt."""
        tier = self._caller.endpoint.tier
        error = TierError(tier, failure.reason, failure.detail, self.sent)
        error.attempts, error.status = self._count, self._status
        error.bytes_sent, error.bytes_received = self._bytes_sent, self._bytes_received
        return error

    def _pause(self, failure: Failure) -> float:
        """Seconds until the next attempt; raises the failure where there is to be none."""
        if failure.stale and not self._replaced:
            self._replaced = True
            return 0.0
        if self._binary and failure.not_understood and self._caller.may_be_json_only():
            self._binary = False
            return 0.0
        if not failure.retry or self._retries <= 0:
            raise failure
        self._retries -= 1
        pause = pause_before(self._count, failure, random.random())
        if time.monotonic() + pause >= self._deadline:
            raise failure
        return pause


def http_request(attempt: Attempt, trace: Any) -> httpx2.Request:
    """An attempt as the transport takes it; ``trace`` is told how far it came."""
    return httpx2.Request(
        attempt.method,
        attempt.url,
        headers=attempt.headers,
        content=attempt.body,
        extensions={
            "timeout": dict.fromkeys(("connect", "read", "write", "pool"), attempt.seconds),
            "trace": trace,
        },
    )


class Collector:
    """Takes up the body of an answer, up to the bytes that an attempt allows."""

    def __init__(self, attempt: Attempt, response: httpx2.Response) -> None:
        self._limit = attempt.limit
        self._body = bytearray()
        declared = response.headers.get("content-length", "")
        if len(declared) < 19 and declared.isdecimal():
            self._check(int(declared))

    def add(self, chunk: bytes) -> None:
        """Take another piece; raises :class:`Failure` where it is too much."""
        self._check(len(self._body) + len(chunk))
        self._body += chunk

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise Failure("broken answer", f"it is longer than {self._limit} bytes")

    def reply(self, request: httpx2.Request, response: httpx2.Response) -> Reply:
        """The reply, and what it took on the wire, as HTTP/1.1 writes it."""
        start = f"{request.method} {request.url.raw_path.decode('ascii')} HTTP/1.1\r\n"
        answer = f"HTTP/1.1 {response.status_code} {response.reason_phrase}\r\n"
        return Reply(
            status=response.status_code,
            headers=_by_name(response.headers),
            body=bytes(self._body),
            sent=len(start) + _size(request.headers) + len(request.content),
            received=len(answer) + _size(response.headers) + len(self._body),
        )


def _size(headers: httpx2.Headers) -> int:
    """Bytes of the headers with the empty line behind them."""
    return sum(len(name) + len(value) + 4 for name, value in headers.raw) + 2


def _by_name(headers: httpx2.Headers) -> dict[str, str]:
    """Values by name in lower case, those of the same name joined: quicker to look up in."""
    named: dict[str, str] = {}
    for raw_name, raw_value in headers.raw:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        named[name] = f"{named[name]}, {value}" if name in named else value
    return named
