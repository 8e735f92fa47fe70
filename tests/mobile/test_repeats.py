"""The same input again has the same answer, and is answered once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from dimec.base.errors import (
    DataError,
)
from dimec.mobile import Mobile, Prediction
from support.tiers import (
    Tier,
    by_route,
    pools,
    texts,
)

OpenMobile = Callable[..., Mobile]
Tiers = dict[str, Tier]


class TestTheSameInputAgain:
    def test_has_the_same_answer(self, open_mobile: OpenMobile, tiers: Tiers) -> None:
        mobile = open_mobile(adaptive=True)
        first = mobile.predict("the film is moving", id="one")
        before = pools(mobile)
        assert mobile.predict("the film is moving", id="one") == first
        assert mobile.predict("quite another text", id="one") == first
        assert list(mobile.predict_many(["and another"], ids=["one"])) == [first]
        assert pools(mobile) == before
        assert mobile.ledger().answers == 1
        mobile.close()
        again = open_mobile(adaptive=True)
        assert again.predict("the film is moving", id="one") == first
        assert pools(again) == before

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
