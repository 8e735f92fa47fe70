"""A share of the texts is held against the last tier; an alarm puts the safe policy in place."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from dimec.base.errors import ConfigError
from dimec.contract.monitor import Monitor
from dimec.mobile import AsyncMobile, Mobile, Prediction
from dimec.mobile.audit import AuditOptions
from dimec.tiers.deployment import Deployment
from support.promised import DIFFERENT, Opposite, by_hand, cloud_labels, known, promised
from support.tiers import Tier, by_route, failing, texts, timeless, unreachable

OpenMobile = Callable[..., Mobile]
Tiers = dict[str, Tier]
BOUND = 20.0  # points


@pytest.fixture
def drifted(bundle: Path, tiers: Tiers) -> Tiers:
    """The tiers, with a cloud that says the opposite."""
    tiers["cloud"] = Opposite(bundle, "cloud")
    return tiers


class TestAnAudit:
    def test_changes_no_answer_and_counts_those_that_differ(
        self, open_mobile: OpenMobile, tiers: Tiers
    ) -> None:
        some = texts(60)
        mobile = open_mobile(state=":memory:", audit=1.0, audit_bound=50.0)
        audited = [mobile.predict(text) for text in some]
        plain = open_mobile(state=":memory:")
        assert timeless(audited) == timeless([plain.predict(text) for text in some])
        references = cloud_labels(mobile, tiers["cloud"], some)
        different = sum(a.label != r for a, r in zip(audited, references, strict=True))
        assert 0 < different < 60
        ledger = mobile.ledger()
        assert (ledger.audited, ledger.different, ledger.audits_failed) == (60, different, 0)
        asked = sum(answer.answered_by != "cloud" for answer in audited)
        assert 0 < asked < 60
        assert ledger.audit_cost == pytest.approx(asked * mobile.engine.deployment.prices[-1])
        assert ledger.mean_cost == plain.ledger().mean_cost
        assert (ledger.alarm, ledger.safe_since, ledger.safe) == (None, None, 0)
        assert known(mobile) == by_hand(audited, references, 50.0).to_json()

    def test_asks_nothing_where_the_answer_is_the_last_tiers(
        self, open_mobile: OpenMobile, tiers: Tiers
    ) -> None:
        mobile = open_mobile(audit=1.0, audit_bound=BOUND)
        text = by_route(mobile, texts(60))["cloud"][0]
        mobile.predict(text)
        assert len(tiers["cloud"].requests) == 1
        ledger = mobile.ledger()
        assert (ledger.audited, ledger.different, ledger.audit_cost) == (1, 0, 0.0)

    def test_picks_by_chance_and_not_by_text(self, open_mobile: OpenMobile) -> None:
        mobile = open_mobile(audit=0.3, audit_bound=99.0, audit_seed=7)
        for _ in range(200):
            mobile.predict("the film is moving")
        rng = random.Random(7)
        assert mobile.ledger().audited == sum(rng.random() < 0.3 for _ in range(200))

    def test_draws_by_the_systems_chance_unless_a_seed_is_given(
        self, open_mobile: OpenMobile
    ) -> None:
        found = []
        for _ in range(2):
            mobile = open_mobile(state=":memory:", audit=0.5, audit_bound=99.0)
            mobile.predict_many([])
            found.append([mobile.engine.audit.pick() is None for _ in range(100)])
        assert found[0] != found[1]
        assert all(20 < sum(one) < 80 for one in found)

    def test_has_nothing_to_do_with_an_input_that_was_answered_before(
        self, open_mobile: OpenMobile, tiers: Tiers
    ) -> None:
        mobile = open_mobile(audit=1.0, audit_bound=BOUND)
        first = mobile.predict("the film is moving", id="one")
        asked = len(tiers["cloud"].requests)
        assert mobile.predict("the film is moving", id="one") == first
        assert len(tiers["cloud"].requests) == asked
        assert mobile.ledger().audited == 1

    def test_of_a_stream_sees_its_rows_in_the_order_of_the_texts(
        self, open_mobile: OpenMobile, tiers: Tiers
    ) -> None:
        some = texts(120)
        mobile = open_mobile(audit=1.0, audit_bound=50.0)
        answers = list(mobile.predict_many(some, workers=6))
        references = cloud_labels(mobile, tiers["cloud"], some)
        assert known(mobile) == by_hand(answers, references, 50.0).to_json()
        assert max(tiers["cloud"].rows) > 1  # asked together with what the cloud is to answer

    def test_of_many_threads_sees_its_rows_in_the_order_in_which_they_were_picked(
        self, open_mobile: OpenMobile, tiers: Tiers, tmp_path: Path
    ) -> None:
        mobile = open_mobile(audit=1.0, audit_bound=50.0)
        turn, rng = threading.Lock(), random.Random(3)

        def late(request: httpx2.Request) -> None:
            with turn:
                wait = rng.uniform(0, 0.02)
            time.sleep(wait)

        tiers["cloud"].behaviour = late
        some = texts(80)
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(mobile.predict, some))
        knows = known(mobile)
        mobile.close()
        with contextlib.closing(sqlite3.connect(tmp_path / "state.sqlite")) as database:
            # As they were written, and as they were picked.
            written = database.execute(
                "SELECT row FROM answers JOIN audits USING (id) ORDER BY seq"
            ).fetchall()
            picked = database.execute("SELECT different FROM audits ORDER BY row").fetchall()
        assert written != sorted(written)
        monitor = Monitor.of_differences(0.5, 1 - 0.95)
        monitor.extend([different for (different,) in picked])
        assert monitor.rows == 80
        assert knows == monitor.to_json()

    def test_of_an_asynchronous_mobile_is_the_same(
        self, bundle: Path, tiers: Tiers, open_mobile: OpenMobile
    ) -> None:
        some = texts(80)
        transports = {name: tier.async_transport() for name, tier in tiers.items()}
        urls = {name: f"http://{name}.test" for name in tiers}
        options: dict[str, Any] = {"state": ":memory:", "audit": 1.0, "audit_bound": 50.0}

        async def answer() -> tuple[list[Prediction], str, int]:
            opened = AsyncMobile.open(
                bundle, tiers=urls, transports=transports, timeout=20.0, **options
            )
            async with opened as mobile:
                first = await mobile.predict(some[0])
                rest = [one async for one in mobile.predict_many(some[1:])]
                watch = mobile._engine.state.watch
                assert watch is not None
                return [first, *rest], watch.differences.to_json(), (await mobile.ledger()).audited

        answers, knows, audited = asyncio.run(answer())
        assert audited == 80
        references = cloud_labels(open_mobile(), tiers["cloud"], some)
        assert knows == by_hand(answers, references, 50.0).to_json()


class TestWhenTheLastTierFails:
    def test_the_audit_is_given_up_and_the_answer_given(
        self, open_mobile: OpenMobile, tiers: Tiers
    ) -> None:
        mobile = open_mobile(audit=1.0, audit_bound=BOUND)
        text = by_route(mobile, texts(60))["mobile"][0]
        tiers["cloud"].behaviour = failing(401)
        answer = mobile.predict(text)
        assert (answer.answered_by, answer.fallback_reason) == ("mobile", None)
        ledger = mobile.ledger()
        assert (ledger.audited, ledger.audits_failed) == (0, 1)
        assert ledger.audit_cost == 3.0  # of sending it there; nothing ran
        tiers["cloud"].behaviour = None
        mobile.predict(text)
        assert mobile.ledger().audited == 1
        assert '"rows": 1' in known(mobile)

    def test_a_way_that_met_it_before_asks_no_second_time(
        self, open_mobile: OpenMobile, tiers: Tiers
    ) -> None:
        mobile = open_mobile(audit=1.0, audit_bound=BOUND)
        text = by_route(mobile, texts(60))["cloud"][0]
        tiers["cloud"].behaviour = failing(401)
        answer = mobile.predict(text)
        assert answer.fallback_reason == "cloud: refused"
        assert len(tiers["cloud"].requests) == 1
        assert mobile.ledger().audits_failed == 1

    def test_the_safe_policy_falls_back_and_says_so(
        self, open_mobile: OpenMobile, drifted: Tiers
    ) -> None:
        mobile = open_mobile(audit=1.0, audit_bound=BOUND)
        raise_alarm(mobile)
        drifted["cloud"].behaviour = unreachable
        answer = mobile.predict("the film is moving")
        assert (answer.safe, answer.route, answer.answered_by) == (True, "cloud", "edge")
        assert answer.fallback_reason == "cloud: unreachable"


def raise_alarm(mobile: Mobile) -> list[Prediction]:
    """Answer texts until the alarm, that one included."""
    answers = []
    for number, text in enumerate(texts(200)):
        answers.append(mobile.predict(text, id=f"text-{number}"))
        if mobile.info().safe:
            return answers
    raise AssertionError("no alarm")


class TestAnAlarm:
    def test_sends_every_later_text_to_the_last_tier(
        self,
        bundle: Path,
        drifted: Tiers,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        transports = {name: tier.transport() for name, tier in drifted.items()}
        urls = {name: f"http://{name}.test" for name in drifted}
        with Mobile.open(
            promised(bundle, tmp_path / "promised", DIFFERENT),
            state=":memory:",
            tiers=urls,
            transports=transports,
            audit=1.0,
        ) as mobile:
            with caplog.at_level(logging.WARNING):
                before = raise_alarm(mobile)
                after = [mobile.predict(text) for text in texts(20, seed=5)]
            assert [record.message for record in caplog.records] == [mobile.engine.audit.told()]
            assert "more answers differ from the cloud's than 20 %" in caplog.text
            told = "at most 20 % of answers differ, at 95 % confidence"
            assert {(a.safe, a.policy, a.contract) for a in before} == {(False, "dimec", told)}
            assert {(a.safe, a.policy, a.contract) for a in after} == {(True, "all-cloud", None)}
            assert {(a.route, a.answered_by) for a in after} == {("cloud", "cloud")}
            assert {len(a.path) for a in after} == {1}
            assert mobile.decide("the film is moving").tier_name == "cloud"
            assert mobile.info().contract == told
            ledger = mobile.ledger()
            assert ledger.alarm == ledger.safe_since == len(before)
            assert (ledger.safe, ledger.audited) == (20, len(before))  # and no later one
            again = mobile.predict("", id="text-0")
            assert (again.policy, again.contract) == ("dimec", told)

    def test_is_that_of_a_monitor_by_hand(self, open_mobile: OpenMobile, drifted: Tiers) -> None:
        mobile = open_mobile(audit=1.0, audit_bound=BOUND)
        answers = raise_alarm(mobile)
        right = cloud_labels(mobile, drifted["cloud"], texts(200)[: len(answers)])
        other = dict(zip(mobile.engine.core.labels, mobile.engine.core.labels[::-1], strict=True))
        monitor = by_hand(answers, [other[label] for label in right], BOUND)
        assert monitor.alarm == len(answers)
        assert known(mobile) == monitor.to_json()

    def test_stays_over_a_restart_until_it_is_begun_anew(
        self, open_mobile: OpenMobile, drifted: Tiers, caplog: pytest.LogCaptureFixture
    ) -> None:
        mobile = open_mobile(audit=1.0, audit_bound=BOUND)
        raise_alarm(mobile)
        mobile.close()
        mobile = open_mobile()  # with no audit of its own
        assert caplog.messages.count(mobile.engine.audit.told()) == 2
        assert mobile.predict("the film is moving").safe
        mobile.close()
        mobile = open_mobile(audit=1.0, audit_bound=BOUND, audit_reset=True)
        assert not mobile.info().safe
        assert not mobile.predict("the film is moving").safe
        assert '"rows": 1,' in known(mobile)
        raise_alarm(mobile)
        mobile.reset_audit()
        assert not mobile.predict("the film is moving", id="last").safe
        ledger = mobile.ledger()
        assert (ledger.alarm, ledger.safe_since) == (None, None)
        assert ledger.audited > 2  # what was audited before is not forgotten
        mobile.close()
        assert not open_mobile().predict("the film is moving").safe

    def test_a_policy_that_learns_learns_nothing_from_it(
        self, open_mobile: OpenMobile, drifted: Tiers
    ) -> None:
        mobile = open_mobile(audit=1.0, audit_bound=BOUND, adaptive=True)
        raise_alarm(mobile)
        learnt = mobile.ledger().learnt
        counts = mobile.engine.memory()["counts"].tolist()
        list(mobile.predict_many(texts(10, seed=9)))
        assert mobile.ledger().learnt == learnt
        assert mobile.engine.memory()["counts"].tolist() == counts


class TestRefused:
    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ({"audit": 0.0, "audit_bound": 1.0}, "share of the texts over 0 and at most 1"),
            ({"audit": 1.5, "audit_bound": 1.0}, "share of the texts over 0 and at most 1"),
            ({"audit": float("nan"), "audit_bound": 1.0}, "share of the texts over 0"),
            ({"audit": 0.1, "audit_bound": 0.0}, "over 0 and under 100 points"),
            ({"audit": 0.1, "audit_bound": 100}, "over 0 and under 100 points"),
            ({"audit": 0.1}, "fitted without a contract; state what share"),
            ({"audit_bound": 1.0}, "audit_bound does nothing without audit"),
            ({"audit": 0.1, "audit_bound": 1.0, "cloud": None}, "no address of it was given"),
        ],
    )
    def test_what_cannot_be_audited(
        self, open_mobile: OpenMobile, options: dict[str, Any], match: str
    ) -> None:
        with pytest.raises(ConfigError, match=match):
            open_mobile(**options)
        open_mobile()  # and nothing holds the state

    def test_one_tier(self) -> None:
        alone = Deployment.paper((2, 3, 6)).tiers[:1]
        with pytest.raises(ConfigError, match="these tiers are one alone"):
            AuditOptions(0.1, 1.0).watched(None, Deployment(alone))

    def test_another_bound_than_the_state_has(self, open_mobile: OpenMobile) -> None:
        mobile = open_mobile(audit=1.0, audit_bound=BOUND)
        mobile.predict("the film is moving")
        mobile.close()
        with pytest.raises(ConfigError, match="allows 20 % of answers to differ, and not 30 %"):
            open_mobile(audit=1.0, audit_bound=30.0)
        mobile = open_mobile(audit=1.0, audit_bound=30.0, audit_reset=True)
        assert '"bound": 0.3,' in known(mobile)
