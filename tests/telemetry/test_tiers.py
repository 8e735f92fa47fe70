"""One trace a prediction, over a mobile and two servers in processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dimec.mobile import AsyncMobile, Mobile, Prediction
from support.spans import Collected, Collector, Trace
from support.tiers import texts
from support.tiny import command, dimec, environment
from telemetry.conftest import Site

# predict: tokenise, embed, decide, run, 2 send, record; of each server infer, queue, run.
ALL = 8 + 2 * 3


@pytest.fixture
def mobile(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mobile]:
    for name, value in site.collector.environment.items():
        monkeypatch.setenv(name, value)
    with Mobile.open(
        site.bundle, state=":memory:", tiers=site.urls, timeout=20.0, otel=True
    ) as opened:
        yield opened


def names(spans: list[Collected]) -> list[str]:
    return [span.name.removeprefix("dimec.") for span in spans]


def check(trace: Trace, prediction: Prediction, site: Site) -> None:
    """A trace is that of a prediction: made where it was made, and told as it tells."""
    root = trace.root
    assert (root.parent, root.pid, root.service) == ("", os.getpid(), "dimec-mobile")
    children = trace.below(root)
    assert names(children) == [
        "tokenise",
        "embed",
        "decide",
        "run",
        "send",
        "send",
        "record",
    ]
    assert root["dimec.route"] == prediction.route == "mobile"
    assert root["dimec.tier"] == prediction.answered_by == "cloud"
    assert root["dimec.path"] == ["mobile 0-1", "edge 0-2", "cloud 0-4"]
    assert [f"{s.tier} {s.start}-{s.stop}" for s in prediction.path] == root["dimec.path"]
    assert root["dimec.cost"] == prediction.cost
    assert root["dimec.probability"] == prediction.probability
    assert root["dimec.milliseconds"] == prediction.milliseconds
    assert (root["dimec.tried"], root.error) == ([], None)
    ran = trace.below(root)[3]
    assert (ran["dimec.tier"], ran["dimec.exit"], ran["dimec.layers"]) == ("mobile", 1, 1)
    for span in trace.named("dimec.send"):
        check_sent(trace, span, site)
    inside(trace, root)


def check_sent(trace: Trace, sent: Collected, site: Site) -> None:
    """The server's spans are in that of the client, which says what went over the wire."""
    tier = sent["dimec.tier"]
    assert (sent.kind, sent.error) == ("SPAN_KIND_CLIENT", None)
    assert (sent["http.response.status_code"], sent["dimec.attempts"]) == (200, 1)
    assert sent["dimec.bytes_sent"] > 300
    assert sent["dimec.bytes_received"] > 100
    (infer,) = trace.below(sent)
    assert (infer.name, infer.kind) == ("dimec.infer", "SPAN_KIND_SERVER")
    assert infer.service == f"dimec-{tier}"
    assert infer["dimec.tier"] == tier
    assert infer["dimec.request_id"] == trace.root["dimec.id"]
    assert (infer["dimec.outcome"], infer["http.response.status_code"]) == ("ok", 200)
    assert infer["dimec.rows"] == sent["dimec.rows"]
    supervised = tier == "edge"
    assert (infer.pid == site.servers[tier].process.pid) is not supervised
    queue, run = trace.below(infer)
    assert (queue.name, run.name) == ("dimec.queue", "dimec.run")
    assert queue.end == run.start
    assert run["dimec.batch_rows"] == infer["dimec.batch_rows"] >= infer["dimec.rows"]


def inside(trace: Trace, parent: Collected) -> None:
    """Spans of one process lie within their parents of it."""
    assert parent.start <= parent.end
    for child in trace.below(parent):
        if child.pid == parent.pid:
            assert parent.start <= child.start <= child.end <= parent.end
        inside(trace, child)


def test_a_prediction_is_one_trace_over_three_processes(mobile: Mobile, site: Site) -> None:
    prediction = mobile.predict(texts(1)[0])
    trace = site.collector.trace(prediction.id, ALL)
    check(trace, prediction, site)
    assert len({span.pid for span in trace.spans}) == 3


def test_it_is_a_part_of_the_trace_that_the_caller_names(mobile: Mobile, site: Site) -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    prediction = mobile.predict("a moving film", traceparent=f"00-{trace}-{parent}-01")
    found = site.collector.trace(prediction.id, ALL)
    assert (found.root.trace, found.root.parent) == (trace, parent)
    assert len(found.spans) == ALL
    # One that is not sampled is made by nobody.
    ignored = mobile.predict("a dull film", traceparent=f"00-{trace}-{parent}-00")
    seen = mobile.predict("a tender film")
    site.collector.trace(seen.id, ALL)
    assert ignored.id not in {s.attributes.get("dimec.id") for s in site.collector.spans}


def test_asynchronously_it_is_the_same(site: Site, mobile: Mobile) -> None:
    async def ask() -> Prediction:
        async with AsyncMobile.open(
            site.bundle, state=":memory:", tiers=site.urls, timeout=20.0, otel=True
        ) as other:
            return await other.predict(texts(2)[1])

    prediction = asyncio.run(ask())
    check(site.collector.trace(prediction.id, ALL), prediction, site)


def test_a_tier_that_fails_is_an_error_and_the_fallback_is_seen(site: Site, mobile: Mobile) -> None:
    urls = {**site.urls, "cloud": "http://127.0.0.1:9"}
    with Mobile.open(site.bundle, state=":memory:", tiers=urls, timeout=2.0, otel=True) as other:
        prediction = other.predict("a moving film")
    assert (prediction.answered_by, prediction.fallback_reason) == ("edge", "cloud: unreachable")
    trace = site.collector.trace(prediction.id, ALL - 3)
    edge, cloud = trace.named("dimec.send")
    assert (edge["dimec.tier"], edge.error) == ("edge", None)
    assert (cloud["dimec.tier"], cloud.error) == ("cloud", "unreachable")
    assert cloud["error.type"] == "unreachable"
    assert cloud["dimec.attempts"] >= 1
    assert "http.response.status_code" not in cloud.attributes
    assert trace.below(cloud) == []
    root = trace.root
    assert root["dimec.tried"] == ["cloud"]
    assert root["dimec.fallback_reason"] == "cloud: unreachable"
    assert (root["dimec.tier"], root.error) == ("edge", None)


def test_a_refusal_has_its_status_on_both_sides(site: Site, mobile: Mobile) -> None:
    """A mobile of another version: the server answers 404, and has a span of that."""
    cloud = site.servers["cloud"]
    urls = {"edge": cloud.url, "cloud": cloud.url}  # who asks the cloud for the edge's model
    with Mobile.open(site.bundle, state=":memory:", tiers=urls, timeout=20.0, otel=True) as other:
        prediction = other.predict("a moving film")
    assert prediction.fallback_reason == "edge: wrong version"
    (sent,) = site.collector.trace(prediction.id, 7).named("dimec.send")
    assert (sent["http.response.status_code"], sent.error) == (404, "wrong version")
    assert sent["dimec.bytes_received"] > 0


def test_from_the_command_line_nothing_of_a_text_leaves_but_where_it_should(site: Site) -> None:
    """The words are in no span; those of the last batch are sent before the process ends."""
    text = "an unmistakable xylophone"
    words = [f"--tier={tier}={url}" for tier, url in site.urls.items()]
    delayed = {**site.collector.environment, "OTEL_BSP_SCHEDULE_DELAY": "60000"}
    before = len(site.collector.bodies)
    said = dimec(
        "predict", site.bundle, text, *words, "--state", ":memory:", "--json", "--otel",
        "--timeout", "20",
        OTEL_SERVICE_NAME="phone-app",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment=test",
        **delayed,
    )  # fmt: skip
    assert said.code == 0, said.err
    prediction = json.loads(said.out)
    trace = site.collector.trace(prediction["id"], ALL)
    assert trace.root.service == "phone-app"
    assert trace.root["dimec.cost"] == prediction["cost"]
    sent = b"".join(site.collector.bodies[before:])
    assert b"deployment.environment" in sent
    for word in ("unmistakable", "xylophone", prediction["label"]):
        assert word.encode() not in sent


def test_all_tiers_on_one_machine_tell_of_a_prediction(unsure_bundle: Path) -> None:
    """``dimec up`` hands the option on to the servers that it starts."""
    with Collector() as collector:
        done = subprocess.run(
            command("up", unsure_bundle, "--otel", "--state", ":memory:", "--timeout", "20"),
            input="a moving film\n",
            capture_output=True,
            text=True,
            timeout=240,
            env=environment(**collector.environment),
        )
        assert done.returncode == 0, done.stderr
        trace = Trace(collector.wait(lambda spans: len(spans) >= ALL))
    assert len(trace.spans) == ALL
    makers = {span.service: span.pid for span in trace.spans}
    assert makers.keys() == {"dimec-mobile", "dimec-edge", "dimec-cloud"}
    assert len(set(makers.values())) == 3


def test_a_scrape_is_no_inference(site: Site) -> None:
    edge = site.servers["edge"]
    assert edge.get("/metrics").status == edge.get("/v2/health/ready").status == 200
    assert edge.get("/v2/models/edge/infer").status == 405
    answer = edge.ask("POST", "/v2/models/edge/infer", {"X-Request-Id": "broken"}, b"{")
    assert answer.status == 400
    assert "traceparent" not in answer.headers
    (found,) = (
        s
        for s in site.collector.wait(
            lambda all_: any(s.attributes.get("dimec.request_id") == "broken" for s in all_)
        )
        if s.attributes.get("dimec.request_id") == "broken"
    )
    # Of no trace but its own; the client's fault is no error of the server.
    assert (found.parent, found.error, found["dimec.outcome"]) == ("", None, "invalid")
    assert found["http.response.status_code"] == 400


_OFF = """
import sys
from dimec.mobile import Mobile
from dimec.serving.app import create_app
from dimec.serving.settings import ServerSettings
from dimec.bundle.folders import TierBundle
bundle, edge, cloud = sys.argv[1:]
with Mobile.open(bundle, state=":memory:", edge=edge, cloud=cloud, timeout=20.0) as mobile:
    assert mobile.predict("a moving film").answered_by == "cloud"
app = create_app(TierBundle.open(f"{bundle}/edge"), ServerSettings(threads=1))
app.close()
print([name for name in sys.modules if name.startswith(("opentelemetry", "dimec.telemetry"))])
"""


def test_who_does_not_ask_for_spans_has_nothing_of_it(site: Site) -> None:
    """Though the environment names a collector."""
    done = subprocess.run(
        [sys.executable, "-c", _OFF, str(site.bundle), site.urls["edge"], site.urls["cloud"]],
        env=environment(**site.collector.environment),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
