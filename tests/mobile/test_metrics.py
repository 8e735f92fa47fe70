"""The mobile's metrics: the ledger's numbers, the alarm over restarts, and the docs' list."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dimec.mobile import AsyncMobile, Mobile
from support.promised import DIFFERENT, DROP, Opposite
from support.tiers import Tier, failing, texts

OpenMobile = Callable[..., Mobile]
Tiers = dict[str, Tier]
DOCS = Path(__file__).parents[2] / "docs" / "serving.md"
BOUND = 20.0  # points


def read(text: str) -> dict[tuple[str, ...], float]:
    """Name, without its prefix, and labels in their order → value, as Prometheus reads it."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation.endswith(".")
        for sample in family.samples:
            key = (sample.name.removeprefix("dimec_mobile_"), *sample.labels.values())
            assert key not in found
            found[key] = sample.value
    return found


def by_tier(metrics: dict[tuple[str, ...], float], name: str) -> dict[str, float]:
    return {key[1]: value for key, value in metrics.items() if key[0] == name}


@pytest.fixture
def drifted(bundle: Path, tiers: Tiers) -> Tiers:
    """The tiers, with a cloud that says the opposite."""
    tiers["cloud"] = Opposite(bundle, "cloud")
    return tiers


def test_are_the_ledgers_and_what_the_answers_add_up_to(
    open_mobile: OpenMobile, drifted: Tiers
) -> None:
    drifted["edge"].behaviour = failing(401)
    mobile = open_mobile(audit=1.0, audit_bound=50.0)
    answers = [mobile.predict(text) for text in texts(40)]
    ledger, found = mobile.ledger(), read(mobile.metrics())
    assert (
        by_tier(found, "answers_total")
        == ledger.answered
        == Counter({"edge": 0} | Counter(answer.answered_by for answer in answers))
    )
    assert by_tier(found, "routes_total") == ledger.routes
    assert min(ledger.routes.values()) > 0
    assert by_tier(found, "cost_lambda_total") == ledger.costs
    assert sum(ledger.costs.values()) == sum(answer.cost for answer in answers)
    prices = by_tier(found, "price_lambda")
    assert list(prices.values()) == list(mobile.engine.deployment.prices)
    assert found["saved_lambda",] == 40 * prices["cloud"] - sum(answer.cost for answer in answers)
    assert ledger.reduction == pytest.approx(found["saved_lambda",] / (40 * prices["cloud"]))
    for tier, seconds in by_tier(found, "answer_seconds_total").items():
        given = [answer for answer in answers if answer.answered_by == tier]
        assert seconds == pytest.approx(sum(answer.milliseconds for answer in given) / 1000)
    stays = [stay for answer in answers for stay in answer.path]
    for tier, layers in by_tier(found, "layers_total").items():
        assert layers == sum(stay.stop - stay.start for stay in stays if stay.tier == tier)
    sent = Counter(stay.tier for stay in stays if stay.payload is not None)
    assert by_tier(found, "sent_inputs_total") == {"edge": 0, "cloud": sent["cloud"]}
    failed = {key[1:]: value for key, value in found.items() if key[0] == "fallbacks_total"}
    assert failed["cloud", "timeout"] == 0
    assert failed["edge", "refused"] >= 5
    assert {f"{tier}: {why}": value for (tier, why), value in failed.items() if value} == (
        ledger.fallbacks
    )
    assert found["fallback_answers_total",] == ledger.routes["edge"]
    assert (found["learnt_answers_total",], found["waiting_answers",]) == (0, 0)
    assert found["audit_share_ratio",] == 1
    assert found["audit_rows_total",] == ledger.audited == 40
    assert found["audit_different_total",] == ledger.different > 0
    assert found["audit_cost_lambda_total",] == ledger.audit_cost
    watch = mobile.engine.state.watch
    assert watch is not None
    assert found["audit_e_value", "differences"] == watch.differences.capital
    assert found["audit_e_value_limit", "differences"] == 1 / (1 - 0.95)
    assert found["audit_bound_ratio", "differences"] == 0.5
    assert found["audit_monitored_rows", "differences"] == 40
    mobile.close()
    after = read(open_mobile(audit=1.0, audit_bound=50.0).metrics())
    circuits = {key for key in found if key[0] == "circuit"}
    assert sum(found[key] for key in circuits) == 2
    assert (found["circuit", "cloud", "closed"], found["circuit", "edge", "closed"]) == (1, 0)
    assert after["circuit", "edge", "closed"] == 1
    assert {key: after[key] for key in found if key not in circuits} == {
        key: value for key, value in found.items() if key not in circuits
    }


def test_say_an_alarm_over_restarts_until_they_are_told_otherwise(
    open_mobile: OpenMobile, drifted: Tiers
) -> None:
    def said(mobile: Mobile) -> tuple[float, float]:
        found, ledger = read(mobile.metrics()), mobile.ledger()
        assert found["safe_answers_total",] == ledger.safe
        assert found["safe_policy",] == mobile.info().safe
        return found["audit_alarm",], found["safe_policy",]

    mobile = open_mobile(audit=1.0, audit_bound=BOUND)
    assert said(mobile) == (0, 0)
    some = iter(texts(200))
    while not mobile.info().safe:
        mobile.predict(next(some))
    mobile.predict(next(some))
    found = read(mobile.metrics())
    assert found["audit_e_value", "differences"] >= found["audit_e_value_limit", "differences"]
    assert found["safe_answers_total",] == 1
    assert said(mobile) == (1, 1)
    mobile.close()
    mobile = open_mobile()  # with no audit of its own
    assert said(mobile) == (1, 1)
    mobile.reset_audit()
    assert said(mobile) == (0, 0)
    found = read(mobile.metrics())
    assert found["audit_rows_total",] == mobile.ledger().audited > 0
    assert found["audit_monitored_rows", "differences"] == 0
    assert found["audit_e_value", "differences"] == 1
    mobile.close()
    assert said(open_mobile()) == (0, 0)


def test_of_an_asynchronous_mobile_are_the_same(bundle: Path, open_mobile: OpenMobile) -> None:
    async def answer() -> str:
        async with AsyncMobile.open(bundle, state=":memory:") as mobile:
            async for _ in mobile.predict_many(texts(12)):
                pass
            return await mobile.metrics()

    mobile = open_mobile(state=":memory:", edge=None, cloud=None)
    list(mobile.predict_many(texts(12)))
    found, expected = read(asyncio.run(answer())), read(mobile.metrics())
    timed = {key for key in found if key[0] == "answer_seconds_total"}
    assert found.keys() == expected.keys()
    assert not any(key[0] == "circuit" for key in found)
    assert {k: v for k, v in found.items() if k not in timed} == {
        k: v for k, v in expected.items() if k not in timed
    }


def test_the_page_has_each_with_its_labels(open_mobile: OpenMobile) -> None:
    mobile = open_mobile(audit=1.0, audit_bound=BOUND)
    labels: dict[str, tuple[str, ...]] = {}
    page = DOCS.read_text("utf-8")
    for promise in (DROP, DIFFERENT, replace(DROP, max_accuracy_drop=None, max_cost=3.5)):
        mobile.engine.promise = promise
        text = mobile.metrics()
        for line in text.splitlines():
            if line[0] != "#":
                name, _, rest = line.rpartition(" ")[0].partition("{")
                labels[name] = tuple(re.findall(r'(\w+)="', rest))
        limits = {k[0]: v for k, v in read(text).items() if k[0].startswith("contract_")}
        assert limits.pop("contract_confidence_ratio") == promise.confidence
        expected = {
            "contract_drop_ratio": (promise.max_accuracy_drop or 0) / 100,
            "contract_different_ratio": (promise.max_disagreement or 0) / 100,
            "contract_cost_lambda": promise.max_cost or 0,
        }
        assert limits == {name: value for name, value in expected.items() if value}
        helps = re.findall(r"^    (# HELP .*)$", page, re.MULTILINE)
        assert helps
        assert set(helps) <= set(text.splitlines())
    table = re.findall(r"^\| `(dimec_mobile_\w+)` \| (.*?) \|", page, re.MULTILINE)
    assert len(table) == len(labels)
    assert {name: tuple(re.findall(r"`(\w+)`", told)) for name, told in table} == labels
