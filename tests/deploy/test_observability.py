"""The dashboard asks for metrics that there are, and all that matter; the examples fit together."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from dimec.mobile import Mobile
from support.charts import DEPLOY
from support.promised import DIFFERENT, promised
from support.served import Server
from support.texts import column, make_text_tier
from support.tiers import Tier, texts

FOLDER = DEPLOY / "observability"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text("utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
# What Prometheus puts to all that it scrapes, and what the example's configuration does.
TARGET = {"job", "instance", "tier"}
COUNTED = re.compile(r"_(total|bucket|sum|count)$")
# Of a mobile, what there is no panel for: parts of sums that are there, and what seldom changes.
NOT_SHOWN = {
    "dimec_mobile_audit_cost_lambda_total",
    "dimec_mobile_audit_failed_total",
    "dimec_mobile_audit_monitored_rows",
    "dimec_mobile_audit_share_ratio",
    "dimec_mobile_contract_confidence_ratio",
    "dimec_mobile_fallback_answers_total",
    "dimec_mobile_layers_total",
    "dimec_mobile_learnt_answers_total",
    "dimec_mobile_safe_answers_total",
    "dimec_mobile_sent_inputs_total",
}


def parsed(query: str) -> promql.Expr:
    """A query as Grafana sends it."""
    for variable, value in {"$__rate_interval": "1m", "$tier": "edge|cloud"}.items():
        query = query.replace(variable, value)
    assert "$" not in query
    return promql.parse(query)


def nodes(query: str) -> Iterator[Any]:
    """All parts of a query."""
    found: list[Any] = []
    promql.walk(parsed(query), found.append)
    return iter(found)


def selectors(query: str) -> list[Any]:
    """What a query selects, ranges among them."""
    return [
        node.vector_selector if isinstance(node, promql.MatrixSelector) else node
        for node in nodes(query)
        if isinstance(node, promql.VectorSelector | promql.MatrixSelector)
    ]


def name_of(selector: Any) -> str:
    """The metric that a selector, or the one of a range, asks for."""
    return str(getattr(selector, "vector_selector", selector).name)


def samples(text: str) -> dict[str, set[str]]:
    """Name → labels, of what there is."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Of a server with workers that takes texts, and has answered one."""
    folder = tmp_path_factory.mktemp("scraped")
    tier = make_text_tier(folder / "edge")
    with Server(tier, folder / "log", threads=2, workers=2) as server:
        assert server.infer({"text": column("t1")}).status == 200
        server.wait_for("dimec_infer_seconds_count", 1)
        return samples(server.get("/metrics").body.decode())


@pytest.fixture(scope="module")
def kept(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Of a mobile under a contract of its cost, which is audited."""
    promise = replace(DIFFERENT, max_disagreement=None, max_cost=5.0)
    bundle = promised(tiny_bundle, tmp_path_factory.mktemp("kept") / "bundle", promise)
    tiers = {tier: Tier(bundle, tier) for tier in ("edge", "cloud")}
    with Mobile.open(
        bundle,
        state=":memory:",
        tiers={tier: f"http://{tier}.test" for tier in tiers},
        transports={name: tier.transport() for name, tier in tiers.items()},
        audit=1.0,
        audit_bound=50.0,
        timeout=20.0,
    ) as mobile:
        mobile.predict(texts(1)[0])
        return samples(mobile.metrics())


def test_every_query_asks_for_what_there_is(
    served: dict[str, set[str]], kept: dict[str, set[str]]
) -> None:
    for title, query in QUERIES:
        asked = selectors(query)
        assert asked, title
        labels = set()
        for selector in asked:
            assert selector.name in served | kept, f"{title}: {selector.name}"
            there = served.get(selector.name, set()) | kept.get(selector.name, set())
            matched = {matcher.name for matcher in selector.matchers.matchers}
            assert matched <= there | TARGET, f"{title}: {selector.name} has no {matched}"
            labels |= there
        for node in nodes(query):
            if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
                assert set(node.modifier.labels) <= labels | TARGET, title


def test_counters_are_asked_for_their_rates_and_nothing_else_is(
    served: dict[str, set[str]], kept: dict[str, set[str]]
) -> None:
    for title, query in QUERIES:
        for node in nodes(query):
            if isinstance(node, promql.MatrixSelector):
                assert COUNTED.search(name_of(node)), title
            if isinstance(node, promql.Call) and node.func.name == "histogram_quantile":
                grouped = node.args[1]
                assert isinstance(grouped, promql.AggregateExpr)
                assert grouped.modifier is not None
                assert "le" in grouped.modifier.labels, title
    plain, ranges = (
        Counter(
            name_of(node) for _, query in QUERIES for node in nodes(query) if type(node) is kind
        )
        for kind in (promql.VectorSelector, promql.MatrixSelector)
    )
    bare = {
        name for name in plain - ranges if COUNTED.search(name)
    }  # a range has its selector in it
    assert bare == {"dimec_mobile_cost_lambda_total"}  # of all answers ever, as what they saved is


def test_all_that_matters_is_shown(served: dict[str, set[str]], kept: dict[str, set[str]]) -> None:
    shown = {selector.name for _, query in QUERIES for selector in selectors(query)}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}

    def missing(there: dict[str, set[str]]) -> set[str]:
        told = {n for n in there if n.startswith("dimec_") and not n.endswith("_created")}
        return {n for n in told if re.sub(r"_(bucket|sum|count)$", "", n) not in families}

    assert missing(served) == set()
    assert missing(kept) == NOT_SHOWN


def test_the_dashboard_is_one() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    variables = {one["name"] for one in DASHBOARD["templating"]["list"]}
    assert variables == {"datasource", "tier"}
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        own = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert max(x for x, _ in own) < 24, panel["title"]
        assert not own & cells, panel["title"]
        cells |= own
    for panel in PANELS:
        assert panel["datasource"]["uid"] == "${datasource}"
        ids = [target["refId"] for target in panel["targets"]]
        assert len(set(ids)) == len(ids)


def test_every_part_of_the_collector_is_there_and_used() -> None:
    told = yaml.safe_load((FOLDER / "collector.yaml").read_text("utf-8"))
    assert set(told) == {"receivers", "processors", "exporters", "service"}
    pipelines = told["service"]["pipelines"]
    assert set(pipelines) == {"traces"}
    for part in ("receivers", "processors", "exporters"):
        used = [name for pipeline in pipelines.values() for name in pipeline[part]]
        assert sorted(used) == sorted(told[part])
    assert pipelines["traces"]["processors"][0] == "memory_limiter"
    assert pipelines["traces"]["processors"][-1] == "batch"
    # Where the exporter of dimec[otel] sends to: HTTP, at the port of the standard.
    protocols = told["receivers"]["otlp"]["protocols"]
    assert set(protocols) == {"http"}
    assert protocols["http"]["endpoint"].endswith(":4318")
    (ids,) = (name for name in told["processors"] if name.startswith("attributes/"))
    deleted = {action["key"] for action in told["processors"][ids]["actions"]}
    assert deleted == {"dimec.id", "dimec.request_id"}


def test_prometheus_scrapes_what_the_dashboard_selects_by() -> None:
    told = yaml.safe_load((FOLDER / "prometheus.yaml").read_text("utf-8"))
    jobs = {job["job_name"]: job for job in told["scrape_configs"]}
    assert set(jobs) == {"dimec", "dimec-mobile"}
    assert jobs["dimec"]["metrics_path"] == "/metrics"
    for static in jobs["dimec"]["static_configs"]:
        (target,) = static["targets"]
        assert target == f"{static['labels']['tier']}:8001"
    for _, query in QUERIES:
        for selector in selectors(query):
            wanted = {m.name: m.value for m in selector.matchers.matchers}
            assert wanted.get("job", "dimec") in jobs
