"""Spans of a server: how far a request came, what became of it, and a collector that is away."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dimec.bundle.folders import TierBundle
from dimec.serving.app import create_app
from dimec.serving.ray.replicas import readiness
from dimec.serving.settings import ServerSettings
from support.served import INFER, SLOW, Background, Server, inputs_of, message, server_command
from support.spans import Collected, Collector
from support.texts import column, make_text_tier

Infer = Callable[..., list[Collected]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_text_tier(tmp_path_factory.mktemp("texts") / "edge")


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture(scope="module")
def server(folder: Path, collector: Collector) -> Iterator[Server]:
    settings: dict[str, Any] = {"port": 0, "threads": 1, "max_batch": 4, "queue": 4, "otel": True}
    told = server_command(folder, **settings)
    with Server.by(told, folder.parent / "log", **collector.environment) as running:
        yield running
        assert running.stop() == 0
        assert '"library"' not in running.said()


def spans_of(collector: Collector, request: str) -> list[Collected]:
    """Those of a request, once they are there: its own, and the parts of its way in order."""

    def own(all_: list[Collected]) -> list[Collected]:
        return [s for s in all_ if s.attributes.get("dimec.request_id") == request]

    all_ = collector.wait(lambda all_: bool(own(all_)))
    (infer,) = own(all_)
    parts = sorted((s for s in all_ if s.parent == infer.id), key=lambda span: span.start)
    return [infer, *parts]


def outcome(span: Collected) -> tuple[str, int, str | None]:
    return span["dimec.outcome"], span["http.response.status_code"], span.error


def names(spans: list[Collected]) -> list[str]:
    return [span.name.removeprefix("dimec.") for span in spans]


def ask(server: Server, *texts: str, id: str, **options: Any) -> int:
    return server.infer({"text": column(*texts)}, id=id, **options).status


def test_texts_are_tokens_and_wait_and_run(server: Server, collector: Collector) -> None:
    assert ask(server, "t1 t2", "t3", id="two") == 200
    spans = spans_of(collector, "two")
    infer, tokenise, queue, run = spans
    assert names(spans) == ["infer", "tokenise", "queue", "run"]
    assert outcome(infer) == ("ok", 200, None)
    assert (infer["dimec.rows"], run["dimec.rows"], run["dimec.batch_rows"]) == (2, 2, 2)
    assert infer.start <= tokenise.start <= tokenise.end == queue.start
    assert queue.end == run.start <= run.end <= infer.end
    assert infer["dimec.model_version"] == server.ready["version"]


def test_the_parts_are_what_the_log_says(server: Server, collector: Collector) -> None:
    slow = Background(ask, server, f"t{SLOW}", id="slow")
    server.wait_for("dimec_runs_active", 1)
    assert ask(server, "t1", id="behind") == 200
    slow.result()
    infer, tokenise, queue, _ = spans_of(collector, "behind")
    line = server.wait_logged(request_id="behind")
    assert (queue.end - queue.start) / 1e6 == pytest.approx(line["queue_ms"], abs=0.01)
    assert (tokenise.end - tokenise.start) / 1e6 == pytest.approx(line["tokenise_ms"], abs=0.01)
    assert ("trace_id" in line, infer.parent) == (False, "")


def test_how_far_a_request_came_that_failed(server: Server, collector: Collector) -> None:
    assert ask(server, "failing", id="failing") == 500
    spans = spans_of(collector, "failing")
    assert names(spans) == ["infer", "tokenise", "queue", "run"]
    assert outcome(spans[0]) == ("error", 500, "error")
    assert ask(server, "", id="no-token") == 400  # of which the tokenizer makes no token
    spans = spans_of(collector, "no-token")
    assert (names(spans), outcome(spans[0])) == (["infer", "tokenise"], ("invalid", 400, None))


def test_deadlines_and_a_full_queue_are_errors(server: Server, collector: Collector) -> None:
    slow = Background(ask, server, f"t{SLOW}", id="ahead")
    server.wait_for("dimec_runs_active", 1)
    waiting = Background(ask, server, "t1", "t1", "t1", "t1", id="waiting")
    server.wait_for("dimec_queue_rows", 4)
    assert ask(server, "t1", id="refused") == 503
    slow.result()
    assert waiting.result() == 200
    spans = spans_of(collector, "refused")
    assert (names(spans), outcome(spans[0])) == (["infer"], ("overloaded", 503, "overloaded"))
    slow = Background(ask, server, f"t{SLOW}", id="again")
    server.wait_for("dimec_runs_active", 1)
    assert ask(server, "t1", id="late", timeout=0.05) == 504
    slow.result()
    spans = spans_of(collector, "late")
    assert names(spans) == ["infer", "tokenise", "queue"]
    assert outcome(spans[0]) == ("deadline", 504, "deadline")


def test_a_client_that_went_away_has_a_span(server: Server, collector: Collector) -> None:
    headers, body = message({"text": column(f"t{SLOW}")}, id="gone")
    with server.socket() as sock:
        lines = [f"POST {INFER} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        sock.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        server.wait_for("dimec_runs_active", 1)
    spans = spans_of(collector, "gone")
    assert outcome(spans[0]) == ("cancelled", 499, None)
    assert names(spans) == ["infer", "tokenise", "queue", "run"]


def test_the_usual_way_makes_the_same_spans(folder: Path, collector: Collector) -> None:
    """A server that answers pages of other origins answers by tasks."""
    settings = {"port": 0, "threads": 1, "otel": True, "cors_origins": ["https://app.example"]}
    told = server_command(folder, **settings)
    log = folder.parent / "usual.log"
    with Server.by(told, log, **collector.environment) as server:
        assert ask(server, "t1", id="usual") == 200
        spans = spans_of(collector, "usual")
        assert names(spans) == ["infer", "tokenise", "queue", "run"]
        preflight = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
        assert server.ask("OPTIONS", INFER, preflight).status == 200
        assert server.stop() == 0
    assert names([s for s in collector.spans if s.pid == server.process.pid]).count("infer") == 1


def test_what_waits_is_sent_before_it_ends(folder: Path, collector: Collector) -> None:
    told = server_command(folder, port=0, threads=1, otel=True)
    delayed = {**collector.environment, "OTEL_BSP_SCHEDULE_DELAY": "600000"}
    with Server.by(told, folder.parent / "ending.log", **delayed) as server:
        assert ask(server, "t1", id="last") == 200
        assert server.stop() == 0
    assert names(spans_of(collector, "last"))[0] == "infer"


def test_a_collector_that_says_nothing_holds_nobody_up(folder: Path) -> None:
    """It takes connections, and that is all."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        told = server_command(folder, port=0, threads=1, otel=True)
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "OTEL_BSP_SCHEDULE_DELAY": "20",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        }
        with Server.by(told, folder.parent / "silent.log", **environment) as server:
            assert ask(server, "t1", id="one") == ask(server, "t1", id="two") == 200
            server.wait_logged("library", level="error")  # it says so in the server's own form
            assert ask(server, "t1", id="three") == 200
            assert server.stop() == 0
            assert server.logged("stopped")


def test_an_application_in_anothers_server_makes_its_own(
    tier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Collector() as collector:
        for name, value in collector.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
        app = create_app(TierBundle.open(tier), ServerSettings(threads=1, otel=True))

        async def life() -> None:
            headers, body = message(inputs_of([1, 2]), id="embedded")
            async with app.router.lifespan_context(app):
                assert await readiness(app) == 200
                assert await infer(app, headers, body) == 200

        asyncio.run(life())
        spans = spans_of(collector, "embedded")
    assert names(spans) == ["infer", "queue", "run"]


async def infer(app: Any, headers: dict[str, str], body: bytes) -> int:
    """Ask an application as its server would; the status of its answer."""
    status = 0
    messages = [{"type": "http.request", "body": body, "more_body": False}]
    scope = {
        "type": "http",
        "method": "POST",
        "path": INFER,
        "raw_path": INFER.encode(),
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }

    async def receive() -> Any:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()

    async def send(sent: Any) -> None:
        nonlocal status
        status = sent.get("status", status)

    await app(scope, receive, send)
    return status
