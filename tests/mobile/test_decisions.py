"""The policy and its file: what is under way, what is recorded, what is forgotten."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import DataError
from dimec.mobile import decisions as module
from dimec.mobile.decisions import Claims, Decision, Decisions
from dimec.mobile.prediction import Prediction
from dimec.mobile.state.store import MEMORY, State
from dimec.policies.routed import RouterPolicy
from dimec.policies.step import Answer, FixedSteps, Go, Signal, Site, Step, Steps, Walk
from dimec.routing import CentroidRouter
from dimec.tiers.deployment import Deployment
from dimec.tiers.names import TIER_NAMES
from support.tiers import full_disk

WIDTH = 6
Embedding = npt.NDArray[np.float32]


def fitted() -> CentroidRouter:
    rng = np.random.default_rng(0)
    return CentroidRouter().fit(rng.standard_normal((9, WIDTH)), np.arange(9) % 3)


def embeddings(number: int, seed: int = 1) -> list[Embedding]:
    return list(np.random.default_rng(seed).standard_normal((number, WIDTH)).astype(np.float32))


def answer(decision: Decision, id_: str) -> tuple[Decision, Prediction]:
    route = TIER_NAMES[decision.first.tier]
    none: dict[str, Any] = {"fallback_reason": None, "tried": ()}
    given_ = Prediction(
        id_, "a", 1.0, {"a": 1.0}, route, {}, 0.0, (), route, milliseconds=1.0, cost=1.0,
        recorded=True, **none,
    )  # fmt: skip
    return decision, given_


def steps_of(router: CentroidRouter) -> Steps:
    deployment = Deployment.paper((2, 3, 6))
    return RouterPolicy("dimec", router).steps(Site(deployment, deployment.exits))


def open_state(path: Path | str) -> State:
    return State(path, "ab" * 32, TIER_NAMES, steps_of(fitted().copy(adaptive=True)).restore)


def decisions(state: State, *, adaptive: bool) -> Decisions:
    steps, twin = (steps_of(fitted().copy(adaptive)) for _ in range(2))
    return Decisions(steps, twin, state, steps.learns)


class Failing(FixedSteps):
    """Steps that look at what need not be there."""

    reach = (Go(0, 2),)

    def begin(self, signal: Signal) -> Step:
        return Go(int(signal.embedding[0]) * 0, 2)

    def after(self, walk: Walk) -> Step:
        return Answer(walk.last.layer)


def counts(online: Decisions) -> list[int]:
    """Of the pools that decisions rest on."""
    known: list[int] = (online.memory() or fitted().state())["counts"].tolist()
    return known


def in_file(state: State) -> list[int]:
    """Of the pools in the file."""
    known: list[int] = (state.arrays or fitted().state())["counts"].tolist()
    return known


def signal(embedding: Embedding) -> Signal:
    return Signal(embedding, 9)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "here" / "state.sqlite"


@pytest.fixture
def state(path: Path) -> Iterator[State]:
    with contextlib.closing(open_state(path)) as opened:
        yield opened


class TestDeciding:
    def test_an_adaptive_router_decides_as_it_does_offline(self, state: State) -> None:
        stream, offline = embeddings(200), fitted().copy(adaptive=True)
        online = decisions(state, adaptive=True)
        decided = [online.decide(signal(x)) for x in stream]
        assert [d.first.tier for d in decided] == offline.route(np.stack(stream)).tolist()
        assert counts(online) == offline.counts.tolist()
        for number, decision in enumerate(decided):
            online.record([answer(decision, f"{number}")])
        # Recorded in the same order, the sums agree to the last bit.
        assert state.arrays["sums"].tobytes() == offline.sums.tobytes()
        assert in_file(state) == offline.counts.tolist()

    def test_a_policy_that_fails_on_a_text_is_that_texts_error(self, state: State) -> None:
        """Whatever a stranger's policy raises; the next text is decided on as ever."""
        failing = Failing()
        online = Decisions(failing, failing, state, "never")
        short, sound = Signal(np.zeros(0, np.float32), 9), signal(embeddings(1)[0])
        for ask in (online.look, online.decide):
            with pytest.raises(DataError, match=r"policy fails on this text \(IndexError: "):
                ask(short)
        with pytest.raises(DataError, match=r"policy fails on this text \(IndexError: "):
            online.after(Walk(sound))
        assert online.decide(sound).first == online.look(sound) == Go(0, 2)

    def test_looking_teaches_nothing(self, state: State) -> None:
        online = decisions(state, adaptive=True)
        x = embeddings(1)[0]
        before = counts(online)
        looks = [online.look(signal(x)) for _ in range(2)]
        assert looks[0] == looks[1]
        assert looks[0].scores == fitted().route_one(x).distances
        assert counts(online) == before

    def test_a_fixed_router_stays_as_fitted_whatever_the_file_has_learnt(
        self, state: State
    ) -> None:
        learner = decisions(state, adaptive=True)
        for number, x in enumerate(embeddings(50)):
            learner.record([answer(learner.decide(signal(x)), f"{number}")])
        assert sum(in_file(state)) == 59
        fixed = decisions(state, adaptive=False)
        for number, x in enumerate(embeddings(50, seed=2)):
            decision = fixed.decide(signal(x))
            assert decision.first.scores == fitted().route_one(x).distances
            fixed.record([answer(decision, f"fixed {number}")])
        assert counts(fixed) == fitted().counts.tolist()
        assert sum(in_file(state)) == 59
        assert state.totals().answers == 100
        goes_on = decisions(state, adaptive=True)
        assert counts(goes_on) == counts(learner)


class TestForgetting:
    def test_what_is_abandoned_was_never_learnt(self, state: State) -> None:
        online = decisions(state, adaptive=True)
        one, two, three = (online.decide(signal(x)) for x in embeddings(3))
        online.record([answer(two, "two")])
        online.abandon([one])
        online.abandon([one, two])
        twin = fitted().copy(adaptive=True)
        for decision in (two, three):
            twin.learn_one(decision.walk.signal.embedding, decision.first.tier)
        assert counts(online) == twin.counts.tolist()
        x = embeddings(1, seed=5)[0]
        assert online.look(signal(x)).scores == twin.route_one(x).distances
        online.record([answer(three, "three")])
        assert in_file(state) == twin.counts.tolist()

    @given(st.lists(st.tuples(st.sampled_from("dra"), st.integers(0, 5)), max_size=40))
    def test_what_it_knows_is_the_file_and_what_is_under_way(
        self, steps: list[tuple[str, int]]
    ) -> None:
        stream = iter(embeddings(50, seed=3))
        with contextlib.closing(open_state(MEMORY)) as state:
            online = decisions(state, adaptive=True)
            under_way: list[Decision] = []
            known = fitted().counts
            for number, (step, pick) in enumerate(steps):
                if step == "d":
                    under_way.append(online.decide(signal(next(stream))))
                    known[under_way[-1].first.tier] += 1
                elif under_way:
                    decision = under_way.pop(pick % len(under_way))
                    if step == "r":
                        assert online.record([answer(decision, f"{number}")])
                    else:
                        online.abandon([decision])
                        known[decision.first.tier] -= 1
            assert counts(online) == known.tolist()
            file = fitted().copy(adaptive=True)
            file.restore(state.arrays or file.state())
            for decision in under_way:
                file.learn_one(decision.walk.signal.embedding, decision.first.tier)
            x = embeddings(1, seed=9)[0]
            seen, expected = online.look(signal(x)), file.route_one(x)
            np.testing.assert_allclose(seen.scores, expected.distances, rtol=1e-9)


class TestNoRoom:
    @pytest.mark.parametrize("adaptive", [True, False])
    def test_from_the_start_it_is_as_later(self, path: Path, adaptive: bool) -> None:
        stream = embeddings(120)
        with full_disk(2000):
            state = open_state(path)
            online = decisions(state, adaptive=adaptive)
            for number, x in enumerate(stream[:60]):
                assert not online.record([answer(online.decide(signal(x)), f"{number}")])
            assert online.waiting == 60
            assert online.find("59") is not None
        with contextlib.closing(state):
            for number, x in enumerate(stream[60:], 60):
                assert online.record([answer(online.decide(signal(x)), f"{number}")])
            assert online.waiting == 0
            assert state.totals().answers == 120
            offline = fitted().copy(adaptive)
            offline.route(np.stack(stream))
            assert counts(online) == offline.counts.tolist()
            assert in_file(state) == offline.counts.tolist()

    def test_answers_wait_and_are_recorded_later_in_their_order(self, state: State) -> None:
        online = decisions(state, adaptive=True)
        stream = embeddings(200)
        with full_disk(60_000):
            kept = [
                online.record([answer(online.decide(signal(x)), f"{number}")])
                for number, x in enumerate(stream[:150])
            ]
            assert 0 < sum(kept) < 150
            assert kept == sorted(kept, reverse=True)
            assert online.waiting == 150 - sum(kept)
            late = online.find("149")
            assert late is not None
            assert not late.recorded
            early = online.find("0")
            assert early is not None
            assert early.recorded
        offline = fitted().copy(adaptive=True)
        offline.route(np.stack(stream[:150]))
        assert counts(online) == offline.counts.tolist()
        assert online.record([answer(online.decide(signal(stream[150])), "150")])
        assert online.waiting == 0
        offline.route(stream[150][None])
        assert state.arrays["sums"].tobytes() == offline.sums.tobytes()
        recorded = online.find("149")
        assert recorded is not None
        assert recorded.recorded
        assert state.totals().answers == 151

    def test_the_rest_is_recorded_on_the_way_out(self, state: State) -> None:
        online = decisions(state, adaptive=True)
        with full_disk(0):
            assert not online.record([answer(online.decide(signal(embeddings(1)[0])), "one")])
            assert not online.flush()
        assert online.flush()
        assert state.find("one") is not None

    def test_only_so_many_wait(
        self, state: State, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(module, "MOST_WAITING", 10)
        online = decisions(state, adaptive=True)
        with full_disk(0):
            for number, x in enumerate(embeddings(25)):
                assert not online.record([answer(online.decide(signal(x)), f"{number}")])
        assert (online.waiting, online.lost) == (10, 15)
        assert [r.message for r in caplog.records if "not recorded" in r.message] == [
            caplog.records[0].message
        ]
        assert online.flush()
        assert state.totals().answers == 10
        assert state.find("15") is not None
        assert sum(in_file(state)) == fitted().counts.sum() + 10
        # Forgetting one input now leaves a router of what the file has.
        online.abandon([online.decide(signal(embeddings(1)[0]))])
        assert counts(online) == in_file(state)


class TestTheFileGoesAway:
    def test_the_router_begins_anew_with_it(self, state: State, path: Path) -> None:
        online = decisions(state, adaptive=True)
        stream = embeddings(20)
        for number, x in enumerate(stream[:10]):
            online.record([answer(online.decide(signal(x)), f"{number}")])
        pending = online.decide(signal(stream[10]))
        shutil.rmtree(path.parent)
        last = online.decide(signal(stream[11]))
        assert online.record([answer(last, "last")])
        twin = fitted().copy(adaptive=True)
        for decision in (last, pending):
            twin.learn_one(decision.walk.signal.embedding, decision.first.tier)
        assert counts(online) == twin.counts.tolist()
        assert online.record([answer(pending, "pending")])
        assert in_file(state) == twin.counts.tolist()

    def test_another_bundles_state_in_its_place_makes_answers_wait(
        self, state: State, path: Path
    ) -> None:
        online = decisions(state, adaptive=False)
        other = path.with_name("other")
        State(other, "cd" * 32, TIER_NAMES).close()
        other.replace(path)
        assert not online.record([answer(online.decide(signal(embeddings(1)[0])), "one")])
        path.unlink()
        assert online.flush()


def test_many_threads_at_once(state: State) -> None:
    online = decisions(state, adaptive=True)

    def work(worker: int) -> None:
        for number, x in enumerate(embeddings(40, seed=worker)):
            decision = online.decide(signal(x))
            if number % 5 == 0:
                online.abandon([decision])
            else:
                online.record([answer(decision, f"{worker}-{number}")])

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    totals = state.totals()
    assert totals.answers == 6 * 32
    assert list(totals.routes) == list(TIER_NAMES)
    learnt = np.array(in_file(state)) - fitted().counts
    assert learnt.tolist() == list(totals.routes.values())
    assert counts(online) == in_file(state)


def test_a_claim_is_held_by_one() -> None:
    claims = Claims()
    assert claims.claim("a") is None
    assert claims.claim("b") is None
    held = claims.claim("a")
    assert held is not None
    assert not held.done()
    claims.release("a")
    assert held.done()
    assert claims.claim("a") is None
    claims.release("never claimed")
