"""The asynchronous mobile: the same answers, and nothing half done where a task is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest

from dimec.base.errors import ConfigError, DataError, MissingArtefactError, StateBusyError
from dimec.mobile import AsyncMobile, Mobile, Prediction
from dimec.tiers.names import TIER_NAMES
from support.tiers import (
    Behaviour,
    Tier,
    assert_pools_fit,
    by_route,
    failing,
    offline_routes,
    texts,
    timeless,
    unreachable,
)

T = TypeVar("T")
OpenAsync = Callable[..., AsyncMobile]
Tiers = dict[str, Tier]


@pytest.fixture
def open_async(bundle: Path, tiers: Tiers, tmp_path: Path) -> OpenAsync:
    """``open_async(adaptive=True)``: an asynchronous mobile with these tiers, to be entered."""

    def open_(**options: Any) -> AsyncMobile:
        options = {
            "state": tmp_path / "state.sqlite",
            "edge": "http://edge.test",
            "cloud": "http://cloud.test",
            "timeout": 20.0,
            "transports": {name: tier.async_transport() for name, tier in tiers.items()},
            **options,
        }
        return AsyncMobile.open(bundle, **options)

    return open_


def run(mobile: AsyncMobile, work: Callable[[AsyncMobile], Awaitable[T]]) -> T:
    """Do something with a mobile in an event loop; nothing may be left behind."""

    async def whole() -> T:
        async with mobile:
            result = await work(mobile)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert left == set()
        return result

    result = asyncio.run(whole())
    assert [t for t in threading.enumerate() if t.name.startswith("dimec-mobile")] == []
    return result


async def collect(stream: AsyncIterator[Prediction]) -> list[Prediction]:
    return [prediction async for prediction in stream]


def check(open_mobile: Callable[..., Mobile]) -> int:
    """The state that an adaptive mobile left is sound; how many answers it has."""
    with open_mobile(adaptive=True) as mobile:
        assert_pools_fit(mobile)
        return mobile.ledger().answers


class TestOneText:
    def test_has_the_answer_that_the_other_mobile_gives(
        self, open_async: OpenAsync, open_mobile: Callable[..., Mobile]
    ) -> None:
        with open_mobile() as mobile:
            some = [part[0] for part in by_route(mobile, texts(60)).values()]
            expected = [mobile.predict(text) for text in some]
            decisions = [mobile.decide(text) for text in some]

        async def work(mobile: AsyncMobile) -> list[Prediction]:
            assert [await mobile.decide(text) for text in some] == decisions
            return [await mobile.predict(text) for text in some]

        answers = run(open_async(), work)
        assert timeless(answers) == timeless(expected)
        assert [a.answered_by for a in answers] == list(TIER_NAMES)

    @pytest.mark.parametrize(
        ("route", "edge", "cloud", "answered_by", "reason"),
        [
            ("edge", unreachable, None, "cloud", "edge: unreachable"),
            ("cloud", None, failing(500), "edge", "cloud: server error"),
            (
                "cloud",
                failing(404),
                unreachable,
                "mobile",
                "cloud: unreachable; edge: wrong version",
            ),
        ],
    )
    def test_falls_back(
        self,
        open_async: OpenAsync,
        open_mobile: Callable[..., Mobile],
        tiers: Tiers,
        route: str,
        edge: Behaviour | None,
        cloud: Behaviour | None,
        answered_by: str,
        reason: str,
    ) -> None:
        tiers["edge"].behaviour, tiers["cloud"].behaviour = edge, cloud
        with open_mobile() as other:
            text = by_route(other, texts(60))[route][0]
            expected = other.predict(text)
        answer = run(open_async(), lambda mobile: mobile.predict(text))
        assert timeless([answer]) == timeless([expected])
        assert (answer.answered_by, answer.fallback_reason) == (answered_by, reason)

    def test_that_is_none_is_refused(self, open_async: OpenAsync) -> None:
        async def work(mobile: AsyncMobile) -> int:
            with pytest.raises(DataError, match="expected one text, got int"):
                await mobile.predict(3, id="one")  # type: ignore[arg-type]
            with pytest.raises(DataError, match="got one; use predict"):
                mobile.predict_many("text")
            with pytest.raises(ConfigError, match="at least 1 worker"):
                mobile.predict_many([], workers=0)
            assert (await mobile.predict("a text", id="one")).id == "one"
            return (await mobile.ledger()).answers

        assert run(open_async(), work) == 1

    def test_of_the_same_id_is_answered_once(
        self, open_async: OpenAsync, open_mobile: Callable[..., Mobile], tiers: Tiers
    ) -> None:
        with open_mobile() as mobile:
            text = by_route(mobile, texts(60))["edge"][0]
        tiers["edge"].behaviour = lambda request: time.sleep(0.05)

        async def work(mobile: AsyncMobile) -> list[Prediction]:
            answers = await asyncio.gather(*(mobile.predict(text, id="one") for _ in range(8)))
            return [*answers, await mobile.predict("another", id="one")]

        answers = run(open_async(adaptive=True), work)
        assert answers == [answers[0]] * 9
        assert len(tiers["edge"].requests) == 1
        assert check(open_mobile) == 1


class TestCancelled:
    def test_while_a_tier_is_asked(
        self, open_async: OpenAsync, open_mobile: Callable[..., Mobile], tiers: Tiers
    ) -> None:
        with open_mobile() as other:
            text = by_route(other, texts(60))["edge"][0]

        async def work(mobile: AsyncMobile) -> Prediction:
            loop, asked = asyncio.get_running_loop(), asyncio.Event()

            def slow(request: httpx2.Request) -> None:
                tiers["edge"].behaviour = None
                loop.call_soon_threadsafe(asked.set)
                time.sleep(0.1)

            tiers["edge"].behaviour = slow
            first = asyncio.create_task(mobile.predict(text, id="one"))
            second = asyncio.create_task(mobile.predict(text, id="one"))
            await asked.wait()
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            # Whoever waited for the answer gets one of his own.
            return await second

        assert run(open_async(adaptive=True), work).answered_by == "edge"
        assert check(open_mobile) == 1

    def test_at_any_moment(
        self, open_async: OpenAsync, open_mobile: Callable[..., Mobile], tiers: Tiers
    ) -> None:
        some = texts(60)

        async def work(mobile: AsyncMobile) -> tuple[int, int]:
            given, cancelled = 0, 0
            for number, text in enumerate(some):
                task = asyncio.create_task(mobile.predict(text, id=f"{number}"))
                # From the first step on to beyond the last.
                for _ in range(number % 12):
                    await asyncio.sleep(0)
                await asyncio.sleep(0.0005 * (number % 7))
                task.cancel()
                try:
                    await task
                    given += 1
                except asyncio.CancelledError:
                    cancelled += 1
            again = [await mobile.predict(text, id=f"{n}") for n, text in enumerate(some)]
            assert [a.id for a in again] == [f"{number}" for number in range(60)]
            assert (await mobile.ledger()).answers == 60
            return given, cancelled

        _, cancelled = run(open_async(adaptive=True), work)
        assert cancelled > 5
        assert check(open_mobile) == 60

    def test_while_it_opens(
        self, open_async: OpenAsync, open_mobile: Callable[..., Mobile]
    ) -> None:
        async def whole() -> None:
            async def enter() -> None:
                async with open_async():
                    raise AssertionError("it was cancelled before")

            task = asyncio.create_task(enter())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(whole())
        open_mobile()  # the state was let go of


class TestManyTexts:
    @pytest.mark.parametrize("adaptive", [False, True])
    @pytest.mark.parametrize("workers", [1, 8])
    def test_come_back_in_order_and_are_learnt_in_order(
        self,
        open_async: OpenAsync,
        open_mobile: Callable[..., Mobile],
        bundle: Path,
        tiers: Tiers,
        adaptive: bool,
        workers: int,
    ) -> None:
        tiers["edge"].behaviour = lambda request: time.sleep(0.005)
        some, ids = texts(200), [f"{number}" for number in range(200)]
        with open_mobile() as mobile:
            expected = offline_routes(bundle, mobile, some, adaptive)

        async def asynchronously() -> AsyncIterator[str]:
            for text in some:
                await asyncio.sleep(0)
                yield text

        async def work(mobile: AsyncMobile) -> list[Prediction]:
            source = asynchronously() if adaptive else some
            return await collect(mobile.predict_many(source, ids=ids, workers=workers))

        answers = run(open_async(adaptive=adaptive), work)
        assert [a.id for a in answers] == ids
        assert [a.route for a in answers] == expected
        assert all(a.answered_by == a.route and a.recorded for a in answers)

    def test_that_are_long_in_coming_hold_no_answer_back(self, open_async: OpenAsync) -> None:
        async def work(mobile: AsyncMobile) -> int:
            come: asyncio.Queue[str] = asyncio.Queue()

            async def source() -> AsyncIterator[str]:
                while True:
                    yield await come.get()

            stream = mobile.predict_many(source())
            for text in texts(20):
                await come.put(text)
                await anext(stream)
                assert come.empty()
            await stream.aclose()
            return (await mobile.ledger()).answers

        assert run(open_async(), work) == 20

    def test_given_up_halfway(
        self, open_async: OpenAsync, open_mobile: Callable[..., Mobile], tiers: Tiers
    ) -> None:
        tiers["cloud"].behaviour = lambda request: time.sleep(0.2)

        async def work(mobile: AsyncMobile) -> int:
            async with contextlib.aclosing(mobile.predict_many(texts(500))) as stream:
                async for _ in stream:
                    if (await mobile.ledger()).answers > 10:
                        break
            async for _ in mobile.predict_many(texts(500)):
                break  # left to the mobile to end
            return (await mobile.ledger()).answers

        answers = run(open_async(adaptive=True), work)
        assert 10 < answers < 400
        # What was being recorded at that moment still is.
        assert answers <= check(open_mobile) < 500

    def test_of_a_task_that_is_cancelled(
        self, open_async: OpenAsync, open_mobile: Callable[..., Mobile]
    ) -> None:
        async def work(mobile: AsyncMobile) -> None:
            task = asyncio.create_task(collect(mobile.predict_many(texts(2000))))
            while (await mobile.ledger()).answers < 50:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        run(open_async(adaptive=True), work)
        assert 50 <= check(open_mobile) < 2000

    def test_a_bad_one_is_told_after_the_answers_before_it(self, open_async: OpenAsync) -> None:
        async def work(mobile: AsyncMobile) -> None:
            bad: list[Any] = [*texts(30), None, "after it"]
            stream = mobile.predict_many(bad)
            for _ in range(30):
                await anext(stream)
            with pytest.raises(DataError, match="got NoneType"):
                await anext(stream)
            with pytest.raises(DataError, match="the ids ended early"):
                await collect(mobile.predict_many(texts(3), ids=["a"]))

        run(open_async(), work)

    def test_a_bug_ends_the_stream_and_not_the_state(
        self, open_async: OpenAsync, open_mobile: Callable[..., Mobile], tiers: Tiers
    ) -> None:
        def breaks(request: httpx2.Request) -> None:
            raise RuntimeError("a bug")

        async def work(mobile: AsyncMobile) -> int:
            tiers["edge"].behaviour = breaks
            with pytest.raises(RuntimeError, match="a bug"):
                await collect(mobile.predict_many(texts(100)))
            tiers["edge"].behaviour = None
            return len(await collect(mobile.predict_many(texts(100))))

        assert run(open_async(adaptive=True), work) == 100
        assert check(open_mobile) >= 100

    def test_ids_that_come_again_get_the_same_answer(
        self, open_async: OpenAsync, open_mobile: Callable[..., Mobile]
    ) -> None:
        ids = [f"{number % 20}" for number in range(100)]

        async def work(mobile: AsyncMobile) -> list[Prediction]:
            return await collect(mobile.predict_many(texts(100), ids=ids))

        answers = run(open_async(adaptive=True), work)
        assert answers == answers[:20] * 5
        assert check(open_mobile) == 20

    def test_the_end_of_the_mobile_is_the_end_of_its_streams(self, open_async: OpenAsync) -> None:
        async def whole() -> None:
            mobile = open_async()
            async with mobile:
                stream = mobile.predict_many(texts(500))
                await anext(stream)
            with pytest.raises(ConfigError, match="was closed while a stream was running"):
                await collect(stream)
            with pytest.raises(ConfigError, match="closed; open it again"):
                await mobile.predict("text")

        asyncio.run(whole())


class TestOpening:
    def test_it_is_to_be_entered(self, open_async: OpenAsync, tmp_path: Path) -> None:
        mobile = open_async()
        with pytest.raises(ConfigError, match="not open; use it inside of: async with"):
            asyncio.run(mobile.predict("text"))
        assert not (tmp_path / "state.sqlite").exists()

    def test_what_cannot_be_opened_leaves_nothing(
        self, open_async: OpenAsync, open_mobile: Callable[..., Mobile], tmp_path: Path
    ) -> None:
        async def nothing(mobile: AsyncMobile) -> None:
            raise AssertionError("it must not open")

        with pytest.raises(MissingArtefactError):
            run(AsyncMobile.open(tmp_path / "nowhere"), nothing)
        with pytest.raises(ConfigError, match="expected an address"):
            run(open_async(edge="nonsense"), nothing)
        with open_mobile(), pytest.raises(StateBusyError):
            run(open_async(), nothing)
        info = run(open_async(), lambda mobile: asyncio.to_thread(mobile.info))
        assert info.start_seconds > 0
