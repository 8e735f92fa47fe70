"""Texts as they come, each with its id."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator

from dimec.base.errors import DataError
from dimec.mobile.core import Text

# A text and its id, if it has one; None says that the next one may be long in coming.
Arrival = tuple[Text, str | None] | None


def paired(
    texts: Iterable[Text], ids: Iterable[str | None] | None
) -> Iterator[tuple[Text, str | None]]:
    """Texts with their ids.

    Raises:
        DataError: one of the two ends before the other.
    """
    names = None if ids is None else iter(ids)
    for text in texts:
        yield text, None if names is None else _next_id(names)
    if names is not None:
        _no_more_ids(names)


async def paired_as_they_come(
    texts: Iterable[Text] | AsyncIterable[Text], ids: Iterable[str | None] | None
) -> AsyncIterator[tuple[Text, str | None]]:
    """As :func:`paired`; the texts may come asynchronously."""
    if not isinstance(texts, AsyncIterable):
        for pair in paired(texts, ids):
            yield pair
        return
    names = None if ids is None else iter(ids)
    async for text in texts:
        yield text, None if names is None else _next_id(names)
    if names is not None:
        _no_more_ids(names)


def _next_id(names: Iterator[str | None]) -> str | None:
    """The id of the next text."""
    for name in names:
        return name
    raise DataError("expected one id for each text, and the ids ended early")


def _no_more_ids(names: Iterator[str | None]) -> None:
    """To be called when the texts have ended."""
    for _ in names:
        raise DataError("expected one id for each text, and the texts ended early")
