"""Texts and their ids, without a mobile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable

import pytest

from dimec.base.errors import DataError
from dimec.mobile.arrivals import paired, paired_as_they_come
from dimec.mobile.core import Text

Pairs = list[tuple[Text, str | None]]
Pair = Callable[[list[Text], Iterable[str | None] | None], Pairs]


def at_once(texts: list[Text], ids: Iterable[str | None] | None) -> Pairs:
    return list(paired(texts, ids))


async def _all(
    texts: Iterable[Text] | AsyncIterable[Text], ids: Iterable[str | None] | None
) -> Pairs:
    return [pair async for pair in paired_as_they_come(texts, ids)]


def in_an_event_loop(texts: list[Text], ids: Iterable[str | None] | None) -> Pairs:
    return asyncio.run(_all(texts, ids))


def asynchronously(texts: list[Text], ids: Iterable[str | None] | None) -> Pairs:
    async def source() -> AsyncIterator[Text]:
        for text in texts:
            await asyncio.sleep(0)
            yield text

    return asyncio.run(_all(source(), ids))


@pytest.mark.parametrize("pair", [at_once, in_an_event_loop, asynchronously])
class TestPairs:
    def test_have_their_ids_or_none(self, pair: Pair) -> None:
        assert pair(["a", ("b", "c")], None) == [("a", None), (("b", "c"), None)]
        assert pair(["a", "b"], iter(["1", None])) == [("a", "1"), ("b", None)]
        assert pair([], []) == []

    def test_need_as_many_ids_as_texts(self, pair: Pair) -> None:
        with pytest.raises(DataError, match="the ids ended early"):
            pair(["a", "b"], ["1"])
        with pytest.raises(DataError, match="the texts ended early"):
            pair(["a"], ["1", "2"])
