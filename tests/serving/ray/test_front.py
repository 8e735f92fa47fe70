"""What stands in Ray's proxies, before applications that answer as those do."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from dimec.serving.exchange import SERVER
from dimec.serving.ray.front import Front, middlewares

TIER = (b"server", SERVER)


def told(
    *messages: dict[str, Any], path: str = "/v2", headers: tuple[tuple[bytes, bytes], ...] = ()
) -> tuple[list[Any], dict[str, Any]]:
    """What is sent where the proxy sends these, and the scope that the proxy gets."""
    sent: list[Any] = []
    seen: dict[str, Any] = {}

    async def proxy(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope)
        for message in messages:
            await send(message)

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is read before the proxy does")

    scope = {"type": "http", "path": path, "headers": list(headers)}
    asyncio.run(Front(proxy)(scope, receive, send))
    return sent, seen


def start(status: int, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(text: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": text, "more_body": more}


def test_an_answer_of_the_tier_passes_with_one_request_id() -> None:
    first, again = (b"x-request-id", b"tier"), (b"X-Request-ID", b"proxy")
    sent, _ = told(start(200, TIER, first, again), body(b"a", more=True), body(b"b"))
    assert sent == [start(200, TIER, first), body(b"a", more=True), body(b"b")]


def test_a_request_gets_an_id_of_our_form_unless_it_has_one() -> None:
    _, seen = told(start(200, TIER))
    ((name, value),) = seen["headers"]
    assert (name, len(value)) == (b"x-request-id", 32)
    given = (b"x-request-id", b"mine")
    assert told(start(200, TIER), headers=(given,))[1]["headers"] == [given]


def test_a_request_whose_replica_is_lost_is_to_be_asked_again() -> None:
    sent, _ = told()
    assert sent[0]["status"] == 503
    assert dict(sent[0]["headers"])[b"retry-after"] == b"1"
    assert "another one will answer" in json.loads(sent[1]["body"])["error"]


@pytest.mark.parametrize(
    ("status", "as_told", "again"),
    [(503, 503, True), (429, 503, True), (408, 504, False), (404, 404, False), (500, 500, False)],
)
def test_what_the_proxy_says_by_itself_has_the_protocols_form(
    status: int, as_told: int, again: bool
) -> None:
    plain = (b"content-type", b"text/plain")
    request_id = (b"x-request-id", b"one")
    sent, _ = told(start(status, plain, request_id), body(b"ray says", more=True), body(b"this"))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    headers = dict(sent[0]["headers"])
    assert sent[0]["status"] == as_told
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"x-request-id"] == b"one"
    assert int(headers[b"content-length"]) == len(sent[1]["body"])
    assert (b"retry-after" in headers) == again
    assert list(json.loads(sent[1]["body"])) == ["error"]


def test_the_proxys_own_paths_are_left_to_it() -> None:
    sent, seen = told(start(200), body(b"success"), path="/-/healthz")
    assert sent == [start(200), body(b"success")]
    assert seen["headers"] == []


def test_it_is_what_the_proxies_call_for() -> None:
    (only,) = middlewares()
    assert getattr(only.cls, "__name__", "") == Front.__name__
