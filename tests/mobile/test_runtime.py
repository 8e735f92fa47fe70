"""The mobile: each text has one answer, from the tier that the router chose."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.base.errors import (
    DataError,
)
from dimec.mobile import Mobile
from support.tiers import (
    Tier,
    by_route,
    one_pool_bundle,
    pools,
    texts,
)

OpenMobile = Callable[..., Mobile]
Tiers = dict[str, Tier]


class TestOneText:
    def test_is_answered_by_the_tier_that_the_router_chose(
        self, open_mobile: OpenMobile, tiers: Tiers
    ) -> None:
        mobile = open_mobile()
        core = mobile.engine.core
        prices = {tier.name: tier.price for tier in mobile.engine.deployment.tiers}
        for route, some in by_route(mobile, texts(60)).items():
            answer, decision = mobile.predict(some[0]), mobile.decide(some[0])
            embedded = core.embed(core.tokenise(some[0]))
            if route == "mobile":
                expected = core.classify(embedded)
            else:
                expected = tiers[route].graph(**embedded.inputs)[0][0]
            assert list(answer.probabilities) == list(core.labels)
            np.testing.assert_allclose(list(answer.probabilities.values()), expected, atol=1e-6)
            assert answer.label == core.labels[int(expected.argmax())]
            assert answer.probability == max(answer.probabilities.values())
            assert answer.route == answer.answered_by == decision.tier_name == route
            assert answer.distances == decision.scores
            assert answer.margin == decision.margin
            assert answer.cost == prices[route]
            assert (answer.fallback_reason, answer.tried, answer.recorded) == (None, (), True)
            assert 0 < answer.milliseconds < 20_000
            assert json.loads(json.dumps(answer.to_dict())) == {
                **dataclasses.asdict(answer),
                "path": [dataclasses.asdict(stay) for stay in answer.path],
                "tried": [],
            }
        assert tiers["edge"].rows == tiers["cloud"].rows == [1]

    @pytest.mark.parametrize("text", ["", " ", "a\0b", "Größe ☃", "the film is moving " * 9000])
    def test_may_be_any(self, open_mobile: OpenMobile, text: str) -> None:
        answer = open_mobile().predict(text)
        assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-5)

    @pytest.mark.parametrize("text", [None, b"bytes", ("a", "pair"), "\ud800"])
    def test_is_a_text_or_nothing_happens(self, open_mobile: OpenMobile, text: Any) -> None:
        mobile = open_mobile(adaptive=True)
        before = pools(mobile)
        with pytest.raises(DataError):
            mobile.predict(text, id="one")
        assert mobile.ledger().answers == 0
        assert pools(mobile) == before
        assert mobile.predict("a text", id="one").id == "one"

    def test_of_a_pool_that_is_empty_tells_no_distance(self, bundle: Path, tmp_path: Path) -> None:
        folder = one_pool_bundle(bundle, tmp_path / "bundle")
        with Mobile.open(folder, state=":memory:") as mobile:
            answer = mobile.predict("the film is moving")
        assert answer.route == "edge"
        assert answer.distances["mobile"] is answer.distances["cloud"] is answer.margin is None
        json.dumps(answer.to_dict(), allow_nan=False)

    def test_is_nowhere_in_the_state(self, open_mobile: OpenMobile, tmp_path: Path) -> None:
        mobile = open_mobile(adaptive=True)
        secret = "unmistakable gripping words"
        mobile.predict(secret)
        list(mobile.predict_many([secret] * 3))
        mobile.close()
        files = list(tmp_path.glob("state.sqlite*"))
        assert files
        for file in files:
            assert b"unmistakable" not in file.read_bytes()

    def test_goes_with_its_id_and_trace(self, open_mobile: OpenMobile, tiers: Tiers) -> None:
        mobile = open_mobile()
        some = by_route(mobile, texts(60))["edge"]
        given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        assert mobile.predict(some[0], id="my id", traceparent=given).id == "my id"
        mobile.predict(some[1])
        mobile.predict(some[2], traceparent="not a trace\r\nX-Evil: 1")
        traces = [request.headers["traceparent"] for request in tiers["edge"].requests]
        assert traces[0] == given
        assert len(set(traces)) == 3
        for trace in traces:
            assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", trace)
