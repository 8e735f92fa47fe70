"""Policies that look again, live: as their replay, and what happens where a tier fails."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.base.errors import ConfigError
from dimec.bundle.graphs import Graph
from dimec.mobile import AsyncMobile, Mobile, Prediction
from dimec.mobile.prediction import Stay
from dimec.policies.base import Policy
from dimec.policies.drive import walked
from dimec.policies.literature.ceebert import CeeBERTPolicy
from dimec.policies.literature.dee import DEEPolicy
from dimec.policies.literature.dimee import MaxSoftmaxPolicy, MaxSoftmaxTiersPolicy
from dimec.policies.literature.lee import LEEPolicy
from dimec.policies.literature.uee_ucb import UEEUCBPolicy
from dimec.policies.step import Site
from dimec.runs.run import Run
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace
from support.named import named_run
from support.tiers import Behaviour, Tier, cut_off, failing, texts, timeless, unreachable
from support.tiny import reviews, train_tiny, write_reviews

TIERS = {"phone": 2, "box": 3, "dc": 4}
URLS = {"box": "http://box.test", "dc": "http://dc.test"}
PRICES = dict(zip(TIERS, Deployment.paper(tuple(TIERS.values())).prices, strict=True))


@pytest.fixture(scope="module")
def deep_run(
    tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path, one_trace: None
) -> Path:
    """A tiny run with an exit at each of four layers."""
    folder = tmp_path_factory.mktemp("deep")
    table = write_reviews(folder / "reviews.csv", reviews(240))
    return train_tiny(table, tiny_backbone, folder / "run", exits=(1, 2, 3, 4)).path


def exported(run: Path, folder: Path, policy: Policy, tiers: dict[str, int]) -> Path:
    named_run(run, folder / "run", tiers, policy).export(folder / "bundle")
    return folder / "bundle"


@pytest.fixture(scope="module")
def threshold(deep_run: Path) -> float:
    """Of a confidence that every exit but the last reaches on some texts, and not on others."""
    return float(np.quantile(Run(deep_run).trace("validation").confidences[:, :3], 0.7))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, deep_run: Path, threshold: float) -> Path:
    """Early exit over three tiers, the device's two exits among them."""
    folder = tmp_path_factory.mktemp("again")
    return exported(deep_run, folder, MaxSoftmaxTiersPolicy(threshold), TIERS)


@pytest.fixture
def servers(bundle: Path) -> dict[str, Tier]:
    return {name: Tier(bundle, name) for name in URLS}


@pytest.fixture
def mobile(bundle: Path, servers: dict[str, Tier]) -> Any:
    transports = {name: tier.transport() for name, tier in servers.items()}
    with Mobile.open(
        bundle, state=":memory:", tiers=URLS, timeout=20.0, transports=transports
    ) as opened:
        yield opened


def by_end(mobile: Mobile, number: int = 80) -> dict[str, str]:
    """Tier → a text that it answers."""
    some = texts(number)
    answers = list(mobile.predict_many(some))
    found = {answer.answered_by: text for text, answer in zip(some, answers, strict=True)}
    assert set(found) == set(TIERS)
    return found


class TestWhereNoTierFails:
    def test_a_text_goes_on_until_an_exit_is_sure(self, mobile: Mobile, threshold: float) -> None:
        core, some = mobile.engine.core, texts(80)
        answers = list(mobile.predict_many(some, workers=3))
        ends = set()
        for text, answer in zip(some, answers, strict=True):
            embedded = core.embed(core.tokenise(text))
            sure = [core.run(embedded, exit_).max() >= threshold for exit_ in (1, 2)]
            stop = 1 if sure[0] else 2
            assert answer.path[0] == Stay("phone", 0, stop, None)
            assert (answer.answered_by == "phone") == any(sure)
            assert answer.path[-1].tier == answer.answered_by
            assert [stay.tier for stay in answer.path] == list(TIERS)[: len(answer.path)]
            cost = 1.5 * stop + sum(PRICES[stay.tier] for stay in answer.path[1:])
            assert answer.cost == cost
            assert (answer.route, answer.tried, answer.fallback_reason) == ("phone", (), None)
            assert (answer.distances, answer.margin) == ({}, None)
            ends.add((answer.answered_by, stop))
        assert ends == {("phone", 1), ("phone", 2), ("box", 2), ("dc", 2)}

    def test_one_by_one_and_asynchronously_it_is_the_same(
        self, mobile: Mobile, bundle: Path, servers: dict[str, Tier]
    ) -> None:
        some = texts(40)
        expected = timeless([mobile.predict(text) for text in some])

        async def ask() -> tuple[list[Prediction], list[Prediction]]:
            transports = {name: tier.async_transport() for name, tier in servers.items()}
            async with AsyncMobile.open(
                bundle, state=":memory:", tiers=URLS, timeout=20.0, transports=transports
            ) as other:
                singles = [await other.predict(text) for text in some]
                return singles, [answer async for answer in other.predict_many(some)]

        singles, many = asyncio.run(ask())
        assert timeless(singles) == timeless(many) == expected

    def test_of_a_decision_there_is_the_first_step(self, mobile: Mobile) -> None:
        chosen = mobile.decide("the film is moving")
        assert (chosen.tier_name, chosen.scores, chosen.margin) == ("phone", {}, None)

    def test_what_stops_at_layer_1_runs_layer_1(
        self, mobile: Mobile, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ran: list[str] = []
        run = Graph.__call__

        def noted(self: Graph, **inputs: Any) -> Any:
            if self.segment:
                ran.append(self.segment)
            return run(self, **inputs)

        monkeypatch.setattr(Graph, "__call__", noted)
        answers = [mobile.predict(text) for text in texts(40)]
        expected = [["1-1"] if a.path[0].stop == 1 else ["1-1", "2-2"] for a in answers]
        assert ran == list(itertools.chain(*expected))
        assert ["1-1"] in expected


class TestWhereATierFails:
    @pytest.mark.parametrize(
        ("end", "failing_", "behaviour", "answered_by", "reason", "extra"),
        [
            ("box", "box", unreachable, "phone", "box: unreachable", 0),
            ("box", "box", cut_off, "phone", "box: timeout", 2.5),
            ("dc", "box", failing(500), "phone", "box: server error", 2.5),
            ("dc", "dc", cut_off, "box", "dc: timeout", 5.5 + 3),
            ("dc", "dc", unreachable, "box", "dc: unreachable", 5.5),
        ],
    )
    def test_what_was_said_before_is_the_answer(
        self,
        mobile: Mobile,
        servers: dict[str, Tier],
        end: str,
        failing_: str,
        behaviour: Behaviour,
        answered_by: str,
        reason: str,
        extra: float,
    ) -> None:
        text = by_end(mobile)[end]
        whole = mobile.predict(text)
        asked = {name: len(tier.requests) for name, tier in servers.items()}
        servers[failing_].behaviour = behaviour
        answer = mobile.predict(text)
        assert (answer.answered_by, answer.fallback_reason) == (answered_by, reason)
        assert answer.tried == (failing_,)
        assert answer.cost == 3 + extra
        assert answer.path == whole.path[: list(TIERS).index(failing_)]
        assert timeless(list(mobile.predict_many([text]))) == timeless([answer])
        if failing_ == "box":  # nobody goes round it
            assert len(servers["dc"].requests) == asked["dc"]
        mine = mobile.engine.core.embed(mobile.engine.core.tokenise(text))
        expected = {
            "phone": mobile.engine.core.classify(mine),
            "box": servers["box"].graph(**mine.inputs)[0][0],
        }[answered_by]
        np.testing.assert_allclose(list(answer.probabilities.values()), expected, atol=1e-6)

    def test_without_addresses_the_phone_answers_all(self, bundle: Path) -> None:
        some = texts(40)
        with Mobile.open(bundle, state=":memory:") as alone:
            answers = list(alone.predict_many(some))
        assert {answer.answered_by for answer in answers} == {"phone"}
        reasons = {answer.fallback_reason for answer in answers}
        assert reasons == {None, "box: not configured"}
        assert {answer.cost for answer in answers} == {1.5, 3.0}


class TestWhatCannotBeServed:
    def test_is_refused_at_the_export(self, deep_run: Path, tmp_path: Path) -> None:
        """Layer 3 is the dc's too; the box's server, and the phone without looks, cannot say."""
        run = named_run(deep_run, tmp_path / "run", TIERS, MaxSoftmaxTiersPolicy(0.9))
        with pytest.raises(ConfigError, match=r"layer 1 on the phone, .* leave looks"):
            run.export(tmp_path / "bundle", looks=())
        wide = {"phone": 2, "dc": 4}
        skipping = named_run(deep_run, tmp_path / "wide", wide, MaxSoftmaxPolicy(0.9))
        with pytest.raises(ConfigError, match="layer 3 on the phone, which can stop at 0, 1, 2"):
            skipping.export(tmp_path / "bundle")
        assert not (tmp_path / "bundle").exists()

    def test_is_refused_at_the_start(self, bundle: Path, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"max-softmax-tiers has nothing to learn"):
            Mobile.open(bundle, state=tmp_path / "s.sqlite", adaptive=True)
        assert list(tmp_path.iterdir()) == []


BANDITS: list[Callable[[], Policy]] = [
    lambda: UEEUCBPolicy(scale=0.1, alpha=1.0),
    lambda: LEEPolicy(mu=0.01),
    lambda: DEEPolicy(mu=0.2),
    lambda: CeeBERTPolicy(mu=0.01),
]


@pytest.fixture(scope="module", params=BANDITS, ids=["uee-ucb", "lee", "dee", "ceebert"])
def learner(
    request: pytest.FixtureRequest, deep_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Policy]:
    """A bandit's bundle, all layers on the device, and the bandit."""
    policy, folder = request.param(), tmp_path_factory.mktemp("bandit")
    return exported(deep_run, folder, policy, {"mobile": 4}), policy


class TestABandit:
    """Learns from each answer."""

    def replayed(self, policy: Policy, trace: Trace) -> list[tuple[int, str]]:
        """(exit, label) of each sample, driven over the trace."""
        deployment = Deployment.paper((4,))
        steps = policy.steps(Site(deployment, trace.exits))
        found = []
        for sample in range(len(trace)):
            walk, look = walked(steps, trace, deployment, sample)
            found.append((walk.looks[look].layer, trace.label_names[walk.looks[look].prediction]))
        return found

    def test_learns_as_in_the_replay_and_over_a_restart(
        self, learner: tuple[Path, Policy], deep_run: Path, tmp_path: Path
    ) -> None:
        bundle, policy = learner
        trace = Run(deep_run).trace("test")
        rows = reviews(240)
        some = [rows[int(guid.removeprefix("row-"))][0] for guid in trace.guids]
        expected = self.replayed(policy, trace)
        answers: list[Prediction] = []
        half = len(some) // 2
        for part in (some[:half], some[half:]):
            with Mobile.open(bundle, state=tmp_path / "s.sqlite") as mobile:
                assert mobile.info().adaptive
                answers += [mobile.predict(text) for text in part]
                ledger = mobile.ledger()
        assert ledger.learnt == ledger.answers == len(some)
        assert [(a.path[-1].stop, a.label) for a in answers] == expected
        assert len({layer for layer, _ in expected}) > 1

    def test_stays_as_it_was_where_it_shall_not_learn(self, learner: tuple[Path, Policy]) -> None:
        with Mobile.open(learner[0], state=":memory:", adaptive=False) as mobile:
            answers = [mobile.predict(text) for text in texts(12)]
            assert mobile.ledger().learnt == 0
            assert not mobile.info().adaptive
            assert mobile.engine.state.arrays == {}
        assert len(answers) == 12
