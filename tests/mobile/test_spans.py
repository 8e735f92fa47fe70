"""What the spans of a mobile tell: of every step, of texts sent together, and where things fail."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode

from dimec.base.errors import ConfigError, DataError, TierError
from dimec.mobile import AsyncMobile, Mobile
from dimec.mobile.engine import Engine
from support.tiers import Tier, by_route, failing, texts, timeless, unreachable

Open = Callable[..., Mobile]
Tiers = dict[str, Tier]


class Seen:
    """A program's provider, and the spans that it was given."""

    def __init__(self, **options: Any) -> None:
        self.provider = TracerProvider(shutdown_on_exit=False, **options)
        self._exporter = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def all(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all if span.name == f"dimec.{name}"]

    def told(self, name: str) -> dict[str, Any]:
        """Attributes of the only span of a name."""
        (span,) = self.named(name)
        return dict(span.attributes or {})

    def clear(self) -> None:
        self._exporter.clear()


@pytest.fixture
def seen() -> Iterator[Seen]:
    found = Seen()
    yield found
    found.provider.shutdown()


def identity(span: ReadableSpan) -> tuple[int, int]:
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


def rows(span: ReadableSpan) -> int:
    """Of the request that a span is of."""
    assert span.attributes is not None
    found = span.attributes["dimec.rows"]
    assert isinstance(found, int)
    return found


def header(request: httpx2.Request) -> tuple[int, int]:
    """Trace and span that a request names."""
    version, trace_id, span_id, flags = request.headers["Traceparent"].split("-")
    assert (version, int(flags, 16) & 1) == ("00", 1)
    return int(trace_id, 16), int(span_id, 16)


def test_the_answers_are_those_without_spans(open_mobile: Open, seen: Seen) -> None:
    some = texts(30)
    plain = open_mobile(state=":memory:")
    traced = open_mobile(state=":memory:", otel=seen.provider)
    assert type(plain.engine) is Engine
    wanted = timeless([plain.predict(text) for text in some])
    assert timeless([traced.predict(text) for text in some]) == wanted
    # Rows that run together may differ from those alone in the last bit.
    together = list(traced.predict_many(some, workers=3))
    assert [(p.label, p.path, p.cost) for p in together] == [
        (p.label, p.path, p.cost) for p in wanted
    ]
    roots = seen.named("predict")
    assert len({identity(span)[0] for span in roots}) == 60
    assert all(
        span.parent is None and span.status.status_code != StatusCode.ERROR for span in roots
    )


def test_each_step_is_told_where_the_text_stays_here(open_mobile: Open, seen: Seen) -> None:
    mobile = open_mobile(otel=seen.provider)
    (text, *_) = by_route(mobile, texts(60))["mobile"]
    seen.clear()
    answer = mobile.predict(text, id="mine")
    (root,) = seen.named("predict")
    assert {span.name for span in seen.all} == {
        f"dimec.{step}" for step in ("predict", "tokenise", "embed", "decide", "run", "record")
    }
    for span in seen.all:
        assert span is root or (span.parent and span.parent.span_id == identity(root)[1])
        times = (root.start_time, span.start_time, span.end_time, root.end_time)
        assert list(times) == sorted(times)  # type: ignore[type-var]
    core = mobile.engine.core
    tokens = core.tokenise(text)["input_ids"].shape[1]
    assert seen.told("tokenise") == {"dimec.tokens": tokens}
    decided = seen.told("decide")
    assert decided["dimec.margin"] == answer.margin
    assert (decided["dimec.route"], decided["dimec.exit"]) == ("mobile", core.exits[-1])
    assert (decided["dimec.policy"], decided["dimec.audit"]) == ("dimec", False)
    assert seen.told("run")["dimec.probability"] == pytest.approx(answer.probability)
    told = seen.told("predict")
    assert (told["dimec.id"], told["dimec.recorded"], told["dimec.safe"]) == ("mine", True, False)
    assert told["dimec.cost"] == answer.cost
    # The same id again: the answer of before, and no step of it anew.
    seen.clear()
    mobile.predict("another text", id="mine")
    (root,) = seen.all
    assert root.attributes is not None
    assert (root.attributes["dimec.recalled"], root.attributes["dimec.cost"]) == (True, answer.cost)


def test_texts_that_are_sent_together_link_to_the_request(
    open_mobile: Open, tiers: Tiers, seen: Seen
) -> None:
    """The first text of a request has the server's spans in its trace; the others point there."""
    mobile = open_mobile(otel=seen.provider)
    some = by_route(mobile, texts(90))["edge"][:12]  # within what one worker takes ahead
    taken = threading.Event()

    def after_all_have_come(request: httpx2.Request) -> None:
        assert taken.wait(60)

    tiers["edge"].behaviour = after_all_have_come

    def arrivals() -> Iterator[tuple[str, None]]:
        yield from ((text, None) for text in some)
        taken.set()

    list(mobile.predict_arrivals(arrivals(), workers=1))
    sent = seen.named("send")
    assert len(sent) == len(some)
    first = {identity(span): span for span in sent if not span.links}
    assert {header(request) for request in tiers["edge"].requests} == first.keys()
    assert len(first) < len(sent)
    for span in sent:
        for link in span.links:
            to = first[link.context.trace_id, link.context.span_id]
            assert rows(to) == rows(span) > 1
            assert identity(to)[0] != identity(span)[0]
    by_request = {key: rows(span) for key, span in first.items()}
    asked = zip(tiers["edge"].requests, tiers["edge"].rows, strict=True)
    assert by_request == {header(request): count for request, count in asked}


def test_retries_and_refusals_are_told(open_mobile: Open, tiers: Tiers, seen: Seen) -> None:
    mobile = open_mobile(otel=seen.provider)
    text = by_route(mobile, texts(60))["cloud"][0]
    tiers["cloud"].behaviour = failing(503)
    tiers["edge"].behaviour = unreachable
    seen.clear()
    answer = mobile.predict(text)
    assert answer.answered_by == "mobile"
    cloud, edge = seen.named("send")
    for span, reason in ((cloud, "overloaded"), (edge, "unreachable")):
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, reason)
        assert span.attributes is not None
        assert span.attributes["dimec.attempts"] == 3
    told: dict[str, Any] = dict(cloud.attributes or {})
    assert told["http.response.status_code"] == 503
    assert told["dimec.bytes_sent"] > 3 * 300
    assert "http.response.status_code" not in (edge.attributes or {})
    root = seen.told("predict")
    assert root["dimec.tried"] == ("cloud", "edge")
    assert root["dimec.fallback_reason"] == answer.fallback_reason
    assert root["dimec.path"] == ("mobile 0-1",)
    # The server's words may be the text's own.
    assert not any("not today" in str(span.to_json()) for span in seen.all)


def test_a_tier_without_an_address_is_asked_in_vain(open_mobile: Open, seen: Seen) -> None:
    mobile = open_mobile(otel=seen.provider, cloud=None)
    mobile.predict(by_route(mobile, texts(60))["cloud"][0])
    failed, answered = seen.named("send")
    assert failed.status.description == "not configured"
    assert dict(failed.attributes or {})["dimec.attempts"] == 0
    assert dict(answered.attributes or {})["dimec.tier"] == "edge"


def test_an_audit_is_seen_in_the_trace_of_its_text(open_mobile: Open, seen: Seen) -> None:
    mobile = open_mobile(otel=seen.provider, audit=1.0, audit_bound=50.0)
    answer = mobile.predict(by_route(mobile, texts(60))["mobile"][0])
    assert seen.told("decide")["dimec.audit"] is True
    asked = seen.told("send")
    assert (asked["dimec.tier"], asked["dimec.audit"]) == ("cloud", True)
    told = seen.told("predict")
    assert (told["dimec.tier"], told["dimec.cost"]) == ("mobile", answer.cost)


class Stop(BaseException):
    """As Ctrl-C."""


def test_who_has_no_answer_is_an_error(open_mobile: Open, tiers: Tiers, seen: Seen) -> None:
    mobile = open_mobile(otel=seen.provider)
    text = by_route(mobile, texts(60))["edge"][0]

    def interrupted(request: httpx2.Request) -> None:
        raise Stop

    tiers["edge"].behaviour = interrupted
    seen.clear()
    with pytest.raises(Stop):
        mobile.predict(text)
    for name in ("send", "predict"):
        (span,) = seen.named(name)
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "dropped")
    seen.clear()
    with pytest.raises(DataError):
        mobile.predict(7)  # type: ignore[arg-type]
    assert seen.all == []  # it was never taken in


def test_a_task_that_is_cancelled_ends_its_spans(
    bundle: Path, tiers: Tiers, open_mobile: Open, seen: Seen
) -> None:
    with open_mobile(state=":memory:") as plain:
        text = by_route(plain, texts(60))["edge"][0]
    came, go = asyncio.Event(), threading.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def waiting(request: httpx2.Request) -> None:
            loop.call_soon_threadsafe(came.set)
            go.wait(60)

        tiers["edge"].behaviour = waiting
        async with AsyncMobile.open(
            bundle,
            state=":memory:",
            edge="http://edge.test",
            transports={"edge": tiers["edge"].async_transport()},
            otel=seen.provider,
        ) as mobile:
            task = asyncio.create_task(mobile.predict(text))
            await came.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            go.set()

    asyncio.run(main())
    assert [span.status.description for span in seen.named("send")] == ["dropped"]
    assert [span.status.description for span in seen.named("predict")] == ["dropped"]


def test_it_is_within_the_programs_own_span(open_mobile: Open, seen: Seen) -> None:
    mobile = open_mobile(otel=seen.provider)
    tracer = seen.provider.get_tracer("program")
    with tracer.start_as_current_span("request") as own:
        mobile.predict("a moving film")
    (root,) = seen.named("predict")
    assert root.parent is not None
    assert root.parent.span_id == own.get_span_context().span_id
    # The provider is the program's, and goes on.
    mobile.close()
    with tracer.start_as_current_span("later"):
        pass
    assert seen.all[-1].name == "later"


def test_what_is_not_sampled_says_so_to_the_tiers(open_mobile: Open, tiers: Tiers) -> None:
    quiet = Seen(sampler=ALWAYS_OFF)
    mobile = open_mobile(otel=quiet.provider)
    mobile.predict(by_route(mobile, texts(60))["edge"][0])
    (request,) = tiers["edge"].requests
    assert int(request.headers["Traceparent"][-2:], 16) & 1 == 0
    assert quiet.all == []


def test_opentelemetry_that_is_switched_off_changes_no_header(
    open_mobile: Open, tiers: Tiers, monkeypatch: pytest.MonkeyPatch
) -> None:
    for otel in (trace.NoOpTracerProvider(), True):
        monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
        mobile = open_mobile(otel=otel, state=":memory:")
        text = by_route(mobile, texts(60))["edge"][0]
        mobile.predict(text)
        mobile.predict(text, traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
        made, given = (request.headers["Traceparent"] for request in tiers["edge"].requests[-2:])
        assert header(tiers["edge"].requests[-2]) != (0, 0)
        assert (made[-3:], given) == ("-01", f"00-{'a' * 32}-{'b' * 16}-01")
        mobile.close()


def test_what_is_no_provider_is_refused_and_leaves_the_state_free(open_mobile: Open) -> None:
    with pytest.raises(ConfigError, match="expected True or a TracerProvider"):
        open_mobile(otel="http://127.0.0.1:4318")
    assert open_mobile().predict("a moving film").recorded


def test_errors_of_tiers_travel_whole() -> None:
    import pickle

    error = TierError("edge", "timeout", "no answer", True)
    error.attempts, error.status, error.bytes_sent = 2, 504, 700
    other = pickle.loads(pickle.dumps(error))
    assert (str(other), other.attempts, other.status, other.bytes_sent) == (str(error), 2, 504, 700)
