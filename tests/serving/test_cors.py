"""What a browser is told of which pages may ask: preflights, and answers that a page may read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dimec.protocol import content_digest
from support.served import INFER, Answer, Server, expected, inputs_of, message

TOKEN = "this-is-secret-too"
PAGE, OTHER, STRANGER = "https://app.example", "http://127.0.0.1:5173", "https://evil.example"
INPUTS = inputs_of([1, 2, 3])
ASKED = "authorization, content-digest, content-type, inference-header-content-length, "
ASKED += "traceparent, x-request-id"


@pytest.fixture(scope="module")
def open_to_pages(tier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that wants a token, and lets pages of two origins ask."""
    log = tmp_path_factory.mktemp("cors") / "log"
    with Server(tier, log, token=TOKEN, cors_origins=[PAGE, OTHER]) as running:
        yield running
        assert running.stop() == 0


def preflight(server: Server, origin: str, method: str = "POST", headers: str = ASKED) -> Answer:
    """As a browser asks before a request of a page that sends a token and tensors."""
    return server.ask(
        "OPTIONS",
        INFER,
        {
            "Origin": origin,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": headers,
        },
    )


def infer(server: Server, origin: str, token: str = TOKEN) -> Answer:
    headers, body = message(INPUTS)
    bearer = {"Authorization": f"Bearer {token}", "Origin": origin}
    return server.ask("POST", INFER, {**headers, **bearer}, body)


def listed(answer: Answer, header: str) -> set[str]:
    return {name.strip().lower() for name in answer.headers[header].split(",")}


@pytest.mark.parametrize("origin", [PAGE, OTHER])
def test_a_listed_page_may_ask_and_read(open_to_pages: Server, origin: str) -> None:
    before = preflight(open_to_pages, origin)
    assert before.status == 200  # without a token: a preflight never has one
    assert before.headers["access-control-allow-origin"] == origin
    assert "POST" in before.headers["access-control-allow-methods"]
    assert listed(before, "access-control-allow-headers") >= set(ASKED.split(", "))
    assert "access-control-allow-credentials" not in before.headers
    assert "origin" in listed(before, "vary")
    answer = infer(open_to_pages, origin)
    np.testing.assert_allclose(
        answer.decoded().outputs["probabilities"], expected(INPUTS), atol=1e-6
    )
    assert answer.headers["access-control-allow-origin"] == origin
    assert listed(answer, "vary") == {"origin"}
    # All that the protocol's client reads, which a page else sees nothing of.
    assert listed(answer, "access-control-expose-headers") == {
        "inference-header-content-length",
        "content-digest",
        "x-request-digest",
        "x-request-id",
        "traceparent",
        "retry-after",
        "server",
    }
    assert answer.headers["content-digest"] == content_digest(answer.body)


def test_preflights_have_what_every_answer_has(open_to_pages: Server) -> None:
    headers = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "X-Request-Id": "before-1"}
    answer = open_to_pages.ask("OPTIONS", INFER, headers)
    assert answer.headers["x-request-id"] == "before-1"
    assert answer.headers["server"].startswith("dimec/")
    line = open_to_pages.wait_logged(request_id="before-1")
    assert (line["method"], line["status"], line["outcome"]) == ("OPTIONS", 200, "ok")


def test_a_page_can_read_that_its_token_is_wrong(open_to_pages: Server) -> None:
    answer = infer(open_to_pages, PAGE, token="wrong")
    assert answer.status == 401
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "expected the header 'Authorization: Bearer TOKEN'" in answer.error


def test_what_starlette_answers_can_be_read_too(open_to_pages: Server) -> None:
    headers = {"Origin": PAGE, "Authorization": f"Bearer {TOKEN}"}
    for path, status in (("/v2", 200), ("/nowhere", 404), ("/v2/health/ready", 200)):
        answer = open_to_pages.ask("GET", path, headers)
        assert answer.status == status
        assert answer.headers["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize("origin", [STRANGER, "null", f"{PAGE}.evil.example", "http://app.example"])
def test_no_other_page_may(open_to_pages: Server, origin: str) -> None:
    before = preflight(open_to_pages, origin)
    assert before.status == 400
    assert "refused: origin" in before.error
    answer = infer(open_to_pages, origin)
    assert answer.status == 200  # the token is the lock, and who has it is answered
    for each in (before, answer):
        assert "access-control-allow-origin" not in each.headers
        assert "origin" in listed(each, "vary")


def test_what_no_client_needs_is_not_allowed(open_to_pages: Server) -> None:
    assert "refused: method" in preflight(open_to_pages, PAGE, "DELETE").error
    assert "refused: headers" in preflight(open_to_pages, PAGE, headers="x-other").error


def test_a_server_in_a_private_network_may_be_listed_for_a_public_page(
    open_to_pages: Server,
) -> None:
    headers = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Private-Network": "true",
    }
    answer = open_to_pages.ask("OPTIONS", INFER, headers)
    assert answer.status == 200
    assert answer.headers["access-control-allow-private-network"] == "true"


def test_who_is_no_page_is_told_nothing_of_it(open_to_pages: Server) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    answer = open_to_pages.ask("GET", "/v2", bearer)
    assert not any(name.startswith("access-control") for name in answer.headers)
    assert open_to_pages.ask("OPTIONS", "/v2").status == 401  # no preflight
    assert open_to_pages.ask("OPTIONS", "/v2", bearer).status == 405


def test_nothing_is_allowed_by_default(server: Server) -> None:
    assert preflight(server, PAGE).status == 405
    answer = infer(server, PAGE)
    assert answer.status == 200
    for each in (preflight(server, PAGE), answer):
        assert not any(name.startswith("access-control") for name in each.headers)
