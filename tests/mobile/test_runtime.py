"""The mobile: each text has one answer, from the right tier or from the next best."""

from __future__ import annotations

import dataclasses
import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

import dimec
from dimec.base.errors import (
    ConfigError,
    CorruptArtefactError,
    DataError,
    MissingArtefactError,
    StateBusyError,
)
from dimec.bundle.manifest import TierBundle
from dimec.mobile import Mobile, Prediction
from dimec.routing import CentroidRouter
from support.tiers import (
    Behaviour,
    Tier,
    by_route,
    cut_off,
    failing,
    offline_routes,
    texts,
    timeless,
    unreachable,
)

OpenMobile = Callable[..., Mobile]
Tiers = dict[str, Tier]


class TestOneText:
    def test_is_answered_by_the_tier_that_the_router_chose(
        self, open_mobile: OpenMobile, tiers: Tiers
    ) -> None:
        mobile = open_mobile()
        core = mobile.engine.core
        prices = {tier.name: tier.price for tier in mobile.engine.tariff.tiers}
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
            assert answer.route == answer.served_by == decision.tier_name == route
            assert tuple(answer.distances.values()) == decision.distances
            assert answer.margin == decision.margin
            assert answer.cost == prices[route]
            assert (answer.fallback_reason, answer.tried, answer.recorded) == (None, (), True)
            assert 0 < answer.milliseconds < 20_000
            assert json.loads(json.dumps(answer.to_dict())) == {
                **dataclasses.asdict(answer),
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
        pools = mobile.ledger().pools
        with pytest.raises(DataError):
            mobile.predict(text, id="one")
        assert mobile.ledger().answers == 0
        assert mobile.ledger().pools == pools
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


def one_pool_bundle(bundle: Path, folder: Path) -> Path:
    """A copy of the mobile tier whose router knows the edge only."""
    import shutil

    from dimec.bundle.manifest import file_records, write_manifest

    shutil.copytree(bundle / "mobile", folder)
    manifest = TierBundle.open(folder).manifest
    router = CentroidRouter().fit(np.zeros((2, manifest.width)), np.array([1, 1]))
    router.save(folder / "router.safetensors")
    write_manifest(folder, manifest.model_copy(update={"files": file_records(folder)}))
    return folder


class TestWhenATierFails:
    @pytest.mark.parametrize(
        ("route", "fallback", "edge", "cloud", "served_by", "reason", "extra"),
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
        served_by: str,
        reason: str,
        extra: float,
    ) -> None:
        mobile = open_mobile(fallback=fallback)
        text = by_route(mobile, texts(60))[route][0]
        tiers["edge"].behaviour, tiers["cloud"].behaviour = edge, cloud
        answer = mobile.predict(text, id="one")
        prices = {tier.name: tier.price for tier in mobile.engine.tariff.tiers}
        assert (answer.route, answer.served_by) == (route, served_by)
        assert answer.fallback_reason == reason
        assert answer.tried == tuple(part.split(":")[0] for part in reason.split("; "))
        assert answer.cost == pytest.approx(prices[served_by] + extra)
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
            assert edge.served_by == cloud.served_by == "mobile"
            assert edge.cost == cloud.cost == mobile.engine.tariff.tiers[0].price
            assert mobile.ledger().fallbacks == {edge.fallback_reason: 1, cloud.fallback_reason: 1}

    def test_a_whole_request_falls_back_for_the_same_reason(
        self, open_mobile: OpenMobile, tiers: Tiers
    ) -> None:
        tiers["edge"].behaviour = tiers["cloud"].behaviour = failing(500)
        mobile = open_mobile()
        answers = list(mobile.predict_many(texts(100)))
        assert {a.served_by for a in answers} == {"mobile"}
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


class TestTheSameInputAgain:
    def test_has_the_same_answer(self, open_mobile: OpenMobile, tiers: Tiers) -> None:
        mobile = open_mobile(adaptive=True)
        first = mobile.predict("the film is moving", id="one")
        pools = mobile.ledger().pools
        assert mobile.predict("the film is moving", id="one") == first
        assert mobile.predict("quite another text", id="one") == first
        assert list(mobile.predict_many(["and another"], ids=["one"])) == [first]
        assert mobile.ledger().pools == pools
        assert mobile.ledger().answers == 1
        mobile.close()
        again = open_mobile(adaptive=True)
        assert again.predict("the film is moving", id="one") == first
        assert again.ledger().pools == pools

    def test_without_an_id_it_is_another_input(self, open_mobile: OpenMobile) -> None:
        mobile = open_mobile()
        assert len({mobile.predict("the film").id for _ in range(20)}) == 20

    def test_at_the_same_moment_is_answered_once(
        self, open_mobile: OpenMobile, tiers: Tiers
    ) -> None:
        mobile = open_mobile(adaptive=True)
        text = by_route(mobile, texts(60))["edge"][0]
        enough = threading.Event()

        def slow(request: httpx2.Request) -> None:
            enough.wait(5)

        tiers["edge"].behaviour = slow
        answers: list[Prediction] = []
        threads = [
            threading.Thread(target=lambda: answers.append(mobile.predict(text, id="one")))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        enough.set()
        for thread in threads:
            thread.join()
        assert len(answers) == 8
        assert answers == [answers[0]] * 8
        assert len(tiers["edge"].requests) == 1
        assert mobile.ledger().answers == 1

    def test_when_the_first_one_fails_the_next_takes_over(
        self, open_mobile: OpenMobile, tiers: Tiers
    ) -> None:
        mobile = open_mobile(adaptive=True)
        text = by_route(mobile, texts(60))["edge"][0]
        entered, go = threading.Event(), threading.Event()

        def breaks(request: httpx2.Request) -> None:
            if not entered.is_set():
                entered.set()
                go.wait(5)
                raise RuntimeError("a bug")

        tiers["edge"].behaviour = breaks
        outcomes: list[object] = []

        def ask() -> None:
            try:
                outcomes.append(mobile.predict(text, id="one"))
            except RuntimeError as error:
                outcomes.append(error)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        threads[0].start()
        entered.wait(5)
        for thread in threads[1:]:
            thread.start()
        go.set()
        for thread in threads:
            thread.join()
        answers = [o for o in outcomes if isinstance(o, Prediction)]
        assert [type(o) for o in outcomes].count(RuntimeError) == 1
        assert len(answers) == 2
        assert answers[0] == answers[1]
        assert mobile.ledger().answers == 1

    @pytest.mark.parametrize("id_", ["", "x" * 201, "line\nbreak", "nul\0", "\ud800", 7])
    def test_an_id_must_be_one(self, open_mobile: OpenMobile, id_: Any) -> None:
        mobile = open_mobile()
        with pytest.raises(DataError, match="an id must be 1 to 200 printable characters"):
            mobile.predict("text", id=id_)
        assert mobile.predict("text", id="Größe ☃ 'id'").id == "Größe ☃ 'id'"


class TestOpening:
    def test_tells_what_it_takes(self, bundle: Path, tmp_path: Path) -> None:
        with dimec.Mobile.open(bundle / "mobile", state=tmp_path / "s.sqlite") as mobile:
            info = mobile.info()
            disk = sum(f.stat().st_size for f in (bundle / "mobile").iterdir())
            assert 0 < info.start_seconds < 60
            assert info.disk_bytes == disk - (bundle / "mobile" / "manifest.json").stat().st_size
            assert 1 << 20 < info.memory_base_bytes <= info.memory_bytes * 2
            assert info.state == str(tmp_path / "s.sqlite")
            assert info.version == TierBundle.open(bundle / "mobile").manifest.version
            assert not info.adaptive

    def test_the_state_has_a_place_of_its_own(
        self, bundle: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        for path in (bundle, tiny_bundle):
            with Mobile.open(path) as mobile:
                mobile.predict("the film")
        assert len(list(tmp_path.glob("dimec/*/state.sqlite"))) == 2

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"edge": "not an address"}, "edge: expected an address such as"),
            ({"cloud": "ftp://host"}, "cloud: expected an address such as"),
            ({"edge": "http://h:99999"}, "edge: expected an address"),
            ({"timeout": 0}, "expected a timeout above 0"),
            ({"timeout": float("nan")}, "expected a timeout above 0"),
            ({"fallback": "speed"}, "fallback must be one of accuracy, cost"),
            ({"token": "secret-token"}, "would travel unencrypted"),
            ({"edge": "https://edge.test", "ca": "none.pem"}, "cannot read certificates"),
        ],
    )
    def test_settings_that_cannot_work(
        self, open_mobile: OpenMobile, options: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ConfigError, match=message) as caught:
            open_mobile(**{**options, "transports": None})
        assert "secret-token" not in str(caught.value)
        open_mobile()  # the state was let go of

    def test_of_what_is_no_bundle(self, bundle: Path, tmp_path: Path) -> None:
        with pytest.raises(MissingArtefactError, match="no bundle folder"):
            Mobile.open(tmp_path / "nowhere")
        with pytest.raises(MissingArtefactError):
            Mobile.open(tmp_path)
        with pytest.raises(CorruptArtefactError, match="the edge tier, expected the mobile"):
            Mobile.open(bundle / "edge")

    def test_with_another_models_router(self, bundle: Path, tmp_path: Path) -> None:
        folder = one_pool_bundle(bundle, tmp_path / "bundle")
        manifest = json.loads((folder / "manifest.json").read_text())
        router = CentroidRouter().fit(np.zeros((3, 5)), np.arange(3))
        router.save(folder / "router.safetensors")
        from dimec.bundle.manifest import TierManifest, file_records, write_manifest

        manifest["files"] = {
            name: record.model_dump() for name, record in file_records(folder).items()
        }
        write_manifest(folder, TierManifest.model_validate(manifest))
        with pytest.raises(CorruptArtefactError, match="embeddings of 5 values, expected 32"):
            Mobile.open(folder, state=":memory:")

    def test_twice(self, open_mobile: OpenMobile) -> None:
        open_mobile()
        with pytest.raises(StateBusyError, match="in use by another dimec process"):
            open_mobile()

    def test_what_an_adaptive_mobile_learnt_is_there_again(
        self, open_mobile: OpenMobile, bundle: Path
    ) -> None:
        some = texts(200)
        first = open_mobile(adaptive=True)
        routes = [a.route for a in first.predict_many(some[:100])]
        first.close()
        second = open_mobile(adaptive=True)
        routes += [a.route for a in second.predict_many(some[100:])]
        assert routes == offline_routes(bundle, second, some, adaptive=True)
        second.close()
        fixed = open_mobile()
        routes = [a.route for a in fixed.predict_many(some)]
        assert routes == offline_routes(bundle, fixed, some, adaptive=False)
        ledger = fixed.ledger()
        assert ledger.answers == 400
        assert ledger.mean_cost is not None
        assert ledger.reduction == pytest.approx(1 - ledger.mean_cost / fixed.engine.tariff.cloud)
