"""Where spans are sent to, by the environment; and what is said where that cannot be."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from dimec.base.errors import ConfigError
from dimec.telemetry.spans import (
    Clock,
    Spans,
    check_environment,
    end,
    resource_of,
    traceparent_of,
)
from support.spans import Collector


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "expected otlp or none, got 'zipkin'"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "expected http/protobuf, got 'grpc'"),
        ({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"}, "got 'http/json'"),
    ],
)
def test_what_the_environment_asks_for_in_vain(variables: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_environment(variables)


def test_what_the_environment_may_ask_for() -> None:
    check_environment({})
    check_environment({"OTEL_TRACES_EXPORTER": "", "OTEL_EXPORTER_OTLP_PROTOCOL": ""})
    general = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}  # for metrics, say
    check_environment({**general, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"})


def test_the_environment_has_the_last_word_on_names(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resource_of("dimec-edge").attributes["service.name"] == "dimec-edge"
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.version=9,deployment.environment=lab")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    told = resource_of("dimec-edge").attributes
    assert (told["service.name"], told["service.version"]) == ("mine", "9")
    assert told["deployment.environment"] == "lab"


def test_a_trace_context_is_written_as_w3c_has_it() -> None:
    context = SpanContext(0xAF, 0xB7, is_remote=False, trace_flags=TraceFlags(1))
    span = NonRecordingSpan(context)
    assert traceparent_of(span) == f"00-{'0' * 30}af-{'0' * 14}b7-01"
    nowhere = SpanContext(0, 0, is_remote=False)
    assert traceparent_of(NonRecordingSpan(nowhere)) == ""


def test_no_exporter_is_an_answer_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with Collector() as collector:
        for name, value in collector.environment.items():
            monkeypatch.setenv(name, value)
        clock = Clock(time.perf_counter)
        for exporter, sent in (("none", 0), ("otlp", 1)):
            monkeypatch.setenv("OTEL_TRACES_EXPORTER", exporter)
            spans = Spans.open("dimec-test")
            span = spans.start("dimec.predict", clock.now(), attributes={"dimec.id": None})
            end(span, clock.now(), {"dimec.tried": ["edge"]})
            spans.close()
            assert len(collector.spans) == sent
        (span_,) = collector.spans
        assert (span_.service, span_.attributes) == ("dimec-test", {"dimec.tried": ["edge"]})


_MISSING = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("opentelemetry"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
from dimec.base.errors import MissingExtraError
from dimec.serving.server import serve
from dimec.serving.settings import ServerSettings
try:
    serve(None, ServerSettings(otel=True))
except MissingExtraError as error:
    print(error)
"""


def test_without_the_extra_it_says_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _MISSING], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.endswith("install it with: pip install 'dimec[otel]'\n"), done.stderr
