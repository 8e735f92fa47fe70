"""When a tier fails, the next best answers and says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dimec.mobile import Mobile
from support.tiers import (
    Behaviour,
    Tier,
    by_route,
    cut_off,
    failing,
    texts,
    timeless,
    unreachable,
)

OpenMobile = Callable[..., Mobile]
Tiers = dict[str, Tier]


class TestWhenATierFails:
    @pytest.mark.parametrize(
        ("route", "fallback", "edge", "cloud", "answered_by", "reason", "extra"),
        [
            ("edge", "accuracy", unreachable, None, "cloud", "edge: unreachable", 0),
            ("edge", "cost", unreachable, None, "mobile", "edge: unreachable", 0),
            ("edge", "accuracy", cut_off, None, "cloud", "edge: timeout", 2.5),
            ("cloud", "accuracy", None, cut_off, "edge", "cloud: timeout", 3),
            ("cloud", "cost", None, failing(500), "edge", "cloud: server error", 3),
            ("cloud", "cost", None, failing(404), "edge", "cloud: wrong version", 3),
            ("cloud", "accuracy", None, failing(401), "edge", "cloud: refused", 3),
            (
                "cloud",
                "accuracy",
                failing(500),
                unreachable,
                "mobile",
                "cloud: unreachable; edge: server error",
                2.5,
            ),
            (
                "edge",
                "accuracy",
                cut_off,
                cut_off,
                "mobile",
                "edge: timeout; cloud: timeout",
                5.5,
            ),
        ],
    )
    def test_the_next_best_answers_and_says_so(
        self,
        open_mobile: OpenMobile,
        tiers: Tiers,
        route: str,
        fallback: str,
        edge: Behaviour | None,
        cloud: Behaviour | None,
        answered_by: str,
        reason: str,
        extra: float,
    ) -> None:
        mobile = open_mobile(fallback=fallback)
        text = by_route(mobile, texts(60))[route][0]
        tiers["edge"].behaviour, tiers["cloud"].behaviour = edge, cloud
        answer = mobile.predict(text, id="one")
        prices = {tier.name: tier.price for tier in mobile.engine.deployment.tiers}
        assert (answer.route, answer.answered_by) == (route, answered_by)
        assert answer.fallback_reason == reason
        assert answer.tried == tuple(part.split(":")[0] for part in reason.split("; "))
        assert answer.cost == pytest.approx(prices[answered_by] + extra)
        many = list(mobile.predict_many([text], ids=["two"]))
        assert timeless(many) == timeless([answer])

    def test_the_same_answer_comes_as_if_it_had_been_sent_there(
        self, open_mobile: OpenMobile, tiers: Tiers
    ) -> None:
        mobile = open_mobile()
        text = by_route(mobile, texts(60))["cloud"][0]
        tiers["cloud"].behaviour = failing(503)
        answer = mobile.predict(text)
        embedded = mobile.engine.core.embed(mobile.engine.core.tokenise(text))
        expected = tiers["edge"].graph(**embedded.inputs)[0][0]
        np.testing.assert_allclose(list(answer.probabilities.values()), expected, atol=1e-6)

    def test_a_tier_without_an_address_is_not_configured(self, bundle: Path) -> None:
        with Mobile.open(bundle, state=":memory:") as mobile:
            routes = by_route(mobile, texts(60))
            edge, cloud = mobile.predict(routes["edge"][0]), mobile.predict(routes["cloud"][0])
            assert edge.fallback_reason == "edge: not configured; cloud: not configured"
            assert cloud.fallback_reason == "cloud: not configured; edge: not configured"
            assert edge.answered_by == cloud.answered_by == "mobile"
            assert edge.cost == cloud.cost == mobile.engine.deployment.tiers[0].price
            assert mobile.ledger().fallbacks == {edge.fallback_reason: 1, cloud.fallback_reason: 1}

    def test_a_whole_request_falls_back_for_the_same_reason(
        self, open_mobile: OpenMobile, tiers: Tiers
    ) -> None:
        tiers["edge"].behaviour = tiers["cloud"].behaviour = failing(500)
        mobile = open_mobile()
        answers = list(mobile.predict_many(texts(100)))
        assert {a.answered_by for a in answers} == {"mobile"}
        for answer in answers:
            assert (answer.fallback_reason is None) == (answer.route == "mobile")
        assert len(tiers["edge"].rows) < 60

    def test_a_dead_tier_is_left_alone(self, open_mobile: OpenMobile, tiers: Tiers) -> None:
        tiers["edge"].behaviour = unreachable
        mobile = open_mobile(fallback="cost")
        some = by_route(mobile, texts(60))["edge"]
        reasons = [mobile.predict(text).fallback_reason for text in some[:10]]
        assert reasons[0] == "edge: unreachable"
        assert reasons[-1] == "edge: circuit open"
        asked = len(tiers["edge"].requests)
        mobile.predict(some[0])
        assert len(tiers["edge"].requests) == asked
