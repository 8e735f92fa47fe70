"""Streams of texts, many threads, and sudden ends: in order, once each, nothing left behind."""

from __future__ import annotations

import itertools
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from dimec.base.errors import ConfigError, DataError
from dimec.mobile import Mobile, Prediction
from support.stored import stored_router
from support.tiers import (
    Tier,
    assert_pools_fit,
    by_route,
    full_disk,
    offline_routes,
    pools,
    texts,
    timeless,
)

OpenMobile = Callable[..., Mobile]
Tiers = dict[str, Tier]


def strays() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("dimec-predict")]


class TestManyTexts:
    @pytest.mark.parametrize("adaptive", [False, True])
    @pytest.mark.parametrize("workers", [1, 3, 8])
    def test_come_back_in_order_and_are_learnt_in_order(
        self, open_mobile: OpenMobile, bundle: Path, tiers: Tiers, adaptive: bool, workers: int
    ) -> None:
        rng = np.random.default_rng(workers)

        def at_any_time(request: httpx2.Request) -> None:
            time.sleep(rng.uniform(0, 0.01))

        tiers["edge"].behaviour = tiers["cloud"].behaviour = at_any_time
        some = texts(300)
        mobile = open_mobile(adaptive=adaptive)
        ids = [f"n{number}" for number in range(len(some))]
        answers = list(mobile.predict_many(iter(some), ids=ids, workers=workers))
        assert [a.id for a in answers] == ids
        assert [a.route for a in answers] == offline_routes(bundle, mobile, some, adaptive)
        assert all(a.answered_by == a.route and a.recorded for a in answers)
        assert mobile.ledger().answers == 300
        with sqlite3.connect(mobile.engine.state.path) as database:
            assert [
                row[0] for row in database.execute("SELECT id FROM answers ORDER BY seq")
            ] == ids
        database.close()
        assert sum(tiers["edge"].rows) == sum(a.route == "edge" for a in answers)
        assert strays() == []

    def test_have_the_answers_that_each_would_have_alone(self, open_mobile: OpenMobile) -> None:
        mobile = open_mobile()
        some = texts(100)
        alone, together = [mobile.predict(t) for t in some], list(mobile.predict_many(some))
        for one, other in zip(alone, together, strict=True):
            if one.route == "mobile":
                assert timeless([one]) == timeless([other])
            assert one.label == other.label
            assert one.probability == pytest.approx(other.probability, abs=1e-5)

    def test_none(self, open_mobile: OpenMobile) -> None:
        assert list(open_mobile().predict_many([])) == []

    def test_without_end_are_taken_as_they_are_needed(self, open_mobile: OpenMobile) -> None:
        mobile = open_mobile()
        taken = 0

        def endless() -> Iterator[str]:
            nonlocal taken
            for number in itertools.count():
                taken += 1
                yield f"the film is moving {number}"

        stream = mobile.predict_many(endless(), workers=4)
        for _ in itertools.islice(stream, 500):
            pass
        time.sleep(0.1)
        assert taken <= 500 + 16 * 4 + 1
        stream.close()
        assert strays() == []
        assert 500 <= mobile.ledger().answers <= taken

    def test_given_up_halfway_are_forgotten_where_they_have_no_answer(
        self, open_mobile: OpenMobile, bundle: Path, tiers: Tiers
    ) -> None:
        mobile = open_mobile(adaptive=True)
        late = threading.Event()

        def slow(request: httpx2.Request) -> None:
            late.wait(0.3)

        tiers["cloud"].behaviour = slow
        some = texts(200)
        for number, _ in enumerate(mobile.predict_many(some)):
            if number == 20:
                break
        assert strays() == []
        answers = mobile.ledger().answers
        assert 20 < answers < 200
        fitted = stored_router(bundle / "mobile").counts
        assert sum(pools(mobile)) == fitted.sum() + answers
        # What was forgotten has left no trace: the rest decides as it would have anyway.
        rest = [a.route for a in mobile.predict_many(some[answers:])]
        assert rest == offline_routes(bundle, mobile, some, adaptive=True)[answers:]

    def test_a_bad_one_is_told_after_the_answers_before_it(self, open_mobile: OpenMobile) -> None:
        mobile = open_mobile()
        bad: list[Any] = [*texts(50), None, "after it"]
        stream = mobile.predict_many(bad)
        answers = list(itertools.islice(stream, 50))
        with pytest.raises(DataError, match="got NoneType"):
            next(stream)
        assert len(answers) == mobile.ledger().answers == 50
        assert strays() == []

    def test_a_source_that_breaks_is_told_likewise(self, open_mobile: OpenMobile) -> None:
        def source() -> Iterator[str]:
            yield from texts(30)
            raise OSError("the disk is gone")

        stream = open_mobile().predict_many(source())
        assert len(list(itertools.islice(stream, 30))) == 30
        with pytest.raises(OSError, match="the disk is gone"):
            next(stream)

    def test_a_bug_ends_the_stream_and_not_the_state(
        self, open_mobile: OpenMobile, tiers: Tiers
    ) -> None:
        def breaks(request: httpx2.Request) -> None:
            raise RuntimeError("a bug")

        tiers["edge"].behaviour = breaks
        mobile = open_mobile(adaptive=True)
        with pytest.raises(RuntimeError, match="a bug"):
            list(mobile.predict_many(texts(100)))
        assert strays() == []
        tiers["edge"].behaviour = None
        assert len(list(mobile.predict_many(texts(100)))) == 100
        assert_pools_fit(mobile)

    def test_a_bug_keeps_nobody_waiting(self, open_mobile: OpenMobile, tiers: Tiers) -> None:
        asked, delivered = threading.Event(), threading.Event()

        def breaks(request: httpx2.Request) -> None:
            tiers["edge"].behaviour = None
            asked.set()
            delivered.wait(10)
            raise RuntimeError("a bug")

        mobile = open_mobile(adaptive=True)
        routes = by_route(mobile, texts(60))
        first, there = routes["cloud"][0], routes["edge"][0]
        tiers["edge"].behaviour = breaks
        # The first answer waits until the second input is under way.
        tiers["cloud"].behaviour = lambda request: [asked.wait(10)].clear()
        stream = mobile.predict_arrivals(iter([(first, "one"), (there, "two"), None]))
        assert next(stream).id == "one"
        delivered.set()
        # The stream has broken while nobody looked, and does not hold on to its inputs.
        assert mobile.predict(there, id="two").answered_by == "edge"
        with pytest.raises(RuntimeError, match="a bug"):
            next(stream)
        assert_pools_fit(mobile)

    def test_ids_that_come_again_get_the_same_answer(
        self, open_mobile: OpenMobile, tiers: Tiers
    ) -> None:
        tiers["cloud"].behaviour = lambda request: time.sleep(0.02)
        mobile = open_mobile(adaptive=True)
        ids = [f"{number % 40}" for number in range(200)]
        answers = list(mobile.predict_many(texts(200), ids=ids))
        assert [a.id for a in answers] == ids
        assert answers == answers[:40] * 5
        assert mobile.ledger().answers == 40
        assert list(mobile.predict_many(texts(60), ids=ids[:60]))[:40] == answers[:40]
        assert_pools_fit(mobile)

    @pytest.mark.parametrize(("ids", "who"), [(9, "ids"), (11, "texts")])
    def test_ids_must_be_as_many(self, open_mobile: OpenMobile, ids: int, who: str) -> None:
        stream = open_mobile().predict_many(texts(10), ids=[f"{n}" for n in range(ids)])
        with pytest.raises(DataError, match=f"the {who} ended early"):
            list(stream)

    def test_are_several_and_for_at_least_one_worker(self, open_mobile: OpenMobile) -> None:
        mobile = open_mobile()
        with pytest.raises(DataError, match="expected several texts, got one"):
            mobile.predict_many("the film")
        with pytest.raises(ConfigError, match="at least 1 worker, got 0"):
            mobile.predict_many(["the film"], workers=0)

    def test_that_are_long_in_coming_hold_no_answer_back(self, open_mobile: OpenMobile) -> None:
        mobile = open_mobile()
        seen: list[str] = []

        def slowly() -> Iterator[Any]:
            for number, text in enumerate(texts(30)):
                yield text, f"{number}"
                if number % 10 == 9:
                    yield None
                    # All that came before has been answered and given.
                    assert seen == [f"{n}" for n in range(number + 1)]

        for answer in mobile.predict_arrivals(slowly()):
            seen.append(answer.id)
        assert len(seen) == 30

    def test_report_their_progress(self, open_mobile: OpenMobile) -> None:
        told: list[object] = []

        class Listener:
            def say(self, text: str) -> None: ...

            def start(self, stage: str, total: int) -> None:
                told.append((stage, total))

            def advance(self, steps: int, note: str = "") -> None:
                told.append(steps)

            def end(self) -> None:
                told.append("end")

        list(open_mobile().predict_many(texts(5), progress=Listener()))
        assert told == [("predict", 5), 1, 1, 1, 1, 1, "end"]


class TestManyThreads:
    def test_with_streams_and_single_texts_at_once(
        self, open_mobile: OpenMobile, tiers: Tiers
    ) -> None:
        mobile = open_mobile(adaptive=True)
        answers: list[Prediction] = []
        failures: list[BaseException] = []

        def work(worker: int) -> None:
            try:
                some = texts(40, seed=worker)
                if worker % 2:
                    answers.extend(mobile.predict(text) for text in some)
                else:
                    answers.extend(mobile.predict_many(some, workers=2))
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len({a.id for a in answers}) == mobile.ledger().answers == 240
        assert Counter(a.route for a in answers) == mobile.ledger().routes
        assert_pools_fit(mobile)


class TestTheEnd:
    def test_of_the_mobile_is_the_end_of_its_streams(self, open_mobile: OpenMobile) -> None:
        mobile = open_mobile()
        stream = mobile.predict_many(texts(500))
        next(stream)
        mobile.close()
        assert strays() == []
        with pytest.raises(ConfigError, match="was closed while a stream was running"):
            list(stream)
        with pytest.raises(ConfigError, match="closed; open it again"):
            mobile.predict("text")
        mobile.close()

    def test_by_ctrl_c(self, open_mobile: OpenMobile) -> None:
        mobile = open_mobile(adaptive=True)

        def consume() -> None:
            stream = mobile.predict_many(itertools.repeat("the film is moving"))
            for _ in itertools.islice(stream, 100):
                pass
            signal.raise_signal(signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            consume()
        mobile.close()
        assert strays() == []
        again = open_mobile(adaptive=True)
        assert again.ledger().answers >= 100
        assert_pools_fit(again)

    @pytest.mark.parametrize("launched", [False, True])
    def test_by_ctrl_c_while_a_thread_is_being_started(
        self, open_mobile: OpenMobile, monkeypatch: pytest.MonkeyPatch, launched: bool
    ) -> None:
        """Before the system has made it, or just after."""
        start = threading.Thread.start
        born: list[threading.Thread] = []

        def interrupted(thread: threading.Thread) -> None:
            if thread.name == "dimec-predict" and not born:
                born.append(thread)
                if launched:
                    start(thread)
                raise KeyboardInterrupt
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", interrupted)
        mobile = open_mobile(adaptive=True)
        with pytest.raises(KeyboardInterrupt):
            list(mobile.predict_many(texts(50)))
        assert len(born) == 1
        mobile.close()
        assert strays() == []
        again = open_mobile(adaptive=True)
        assert len(list(again.predict_many(texts(50)))) == 50
        assert_pools_fit(again)

    def test_while_it_waits_for_a_tier(self, open_mobile: OpenMobile, tiers: Tiers) -> None:
        main = threading.get_ident()

        def interrupts(request: httpx2.Request) -> None:
            tiers["edge"].behaviour = None
            signal.pthread_kill(main, signal.SIGINT)
            time.sleep(0.2)

        mobile = open_mobile(adaptive=True)
        text = by_route(mobile, texts(60))["edge"][0]
        tiers["edge"].behaviour = interrupts
        stream = mobile.predict_many([text])
        with pytest.raises(KeyboardInterrupt):
            next(stream)
        assert strays() == []
        assert_pools_fit(mobile)


class TestNoRoom:
    def test_answers_are_given_all_the_same(self, open_mobile: OpenMobile) -> None:
        mobile = open_mobile(adaptive=True)
        with full_disk(100_000):
            answers = list(mobile.predict_many(texts(200), ids=[f"{n}" for n in range(200)]))
            last = mobile.predict("the film", id="last")
            assert mobile.predict("the film", id="last") == last
            assert not last.recorded
        kept = sum(a.recorded for a in answers)
        assert 0 < kept < 200
        ledger = mobile.ledger()
        assert (ledger.answers, ledger.waiting, ledger.lost) == (kept, 201 - kept, 0)
        mobile.predict("the film is dull")
        assert mobile.ledger().answers == 202
        assert_pools_fit(mobile)

    def test_and_written_when_it_is_closed(self, open_mobile: OpenMobile) -> None:
        mobile = open_mobile()
        with full_disk(0):
            assert not mobile.predict("the film", id="one").recorded
        mobile.close()
        again = open_mobile()
        assert again.predict("the film", id="one").recorded
        assert again.ledger().answers == 1
