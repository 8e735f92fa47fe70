"""Texts from a file or a pipe: one a line, plain or as JSON objects."""

from __future__ import annotations

import codecs
import json
import os
import select
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from dimec.base.errors import DataError, option, quoted
from dimec.mobile.core import Text

_CHUNK = 1 << 16
_GZIP = b"\x1f\x8b"
LONGEST_LINE = 1 << 24  # bytes; a book has less
_LULL = 0.05  # seconds without anything to read after which what came is answered first


@dataclass(frozen=True)
class Line:
    """A text of a file.

    Attributes:
        number: of its line, from 1.
        text: the text, or the pair.
        id: its name, where the line gives one.
    """

    number: int
    text: Text
    id: str | None = None


def read_lines(
    descriptor: int,
    name: str,
    *,
    pairs: bool,
    check: Callable[[Text, str | None], None],
    jsonl: bool = False,
    plain: bool = False,
) -> Iterator[Line | None]:
    """Texts from an open file or pipe; None stands for a lull, when the next may be long in coming.

    Plain text has one text a line, the empty one included, and for pairs a tab between the two.
    JSON lines are objects with ``text`` and, if wanted, ``pair`` and ``id``; empty lines are
    skipped. The first line that is not empty tells which of the two it is; one that begins a JSON
    array, which would be one text, is refused.

    Args:
        descriptor: of the file.
        name: of the file, for messages.
        pairs: whether an input is a pair of texts.
        check: raises a DataError for a text or an id that the mobile cannot take.
        jsonl: whether it must be JSON lines.
        plain: whether it is plain text, whatever it looks like.

    Raises:
        DataError: names the line: longer than :data:`LONGEST_LINE`, not UTF-8, not JSON, no text,
            an id that came before.
    """
    parse = _Parser(name, pairs, check)
    form: bool | None = jsonl or (False if plain else None)
    held: list[tuple[int, str]] = []  # empty lines, until it is known whether they are texts
    for numbered in _decoded_lines(descriptor, name):
        if numbered is None:
            yield None
            continue
        held.append(numbered)
        if form is None and numbered[1].strip():
            _refuse_array(numbered, name)
            form = _is_object(numbered[1])
        if form is not None:
            yield from parse(held, form)
            held = []
    yield from parse(held, form=False)


class Checked:
    """Texts and ids that the mobile can take, no id twice; an error names the place.

    Args:
        name: of the file, for messages.
        check: raises a DataError for a text or an id that the mobile cannot take.
        unit: what is counted.
    """

    def __init__(
        self, name: str, check: Callable[[Text, str | None], None], unit: str = "line"
    ) -> None:
        self._name, self._check, self._unit = name, check, unit
        self._seen: dict[str, int] = {}

    def row(self, number: int, text: Any, pair: Any, id_: Any, *, pairs: bool) -> Line:
        """The cells of a row of a table."""
        try:
            if not isinstance(text, str) or (pairs and not isinstance(pair, str)):
                raise DataError(
                    'expected a text in every column of texts; write an empty one as ""'
                )
            return self.line(number, (text, pair) if pairs else text, _id(id_))
        except DataError as error:
            if str(error).startswith(self._name):
                raise
            raise self.error(number, error) from None

    def line(self, number: int, text: Text, id_: str | None) -> Line:
        """A text and its id."""
        self._check(text, id_)
        if id_ is not None and (first := self._seen.setdefault(id_, number)) != number:
            raise DataError(
                f"{self._name}, {self._unit}s {first} and {number}: both have the id {id_!r}; an "
                "id names one input"
            )
        return Line(number, text, id_)

    def error(self, number: int, error: DataError) -> DataError:
        """The error with its place."""
        return DataError(f"{self._name}, {self._unit} {number}: {error}")


class _Parser:
    def __init__(self, name: str, pairs: bool, check: Callable[[Text, str | None], None]) -> None:
        self._name = name
        self._pairs = pairs
        self._checked = Checked(name, check)

    def __call__(self, numbered: Iterable[tuple[int, str]], form: bool) -> Iterator[Line]:
        for number, content in numbered:
            if form and not content.strip():
                continue
            try:
                if form:
                    text, id_ = _from_json(content, self._pairs)
                else:
                    text, id_ = _from_text(content, self._pairs), None
                line = self._checked.line(number, text, id_)
            except DataError as error:
                if str(error).startswith(f"{self._name}, lines "):
                    raise
                raise _at(self._name, number, error) from None
            yield line


def _at(name: str, number: int, error: DataError) -> DataError:
    return DataError(f"{name}, line {number}: {error}")


def _decoded_lines(descriptor: int, name: str) -> Iterator[tuple[int, str] | None]:
    number = 0
    for raw in raw_lines(descriptor, name):
        if raw is None:
            yield None
            continue
        number += 1
        try:
            yield number, _decoded(raw, first=number == 1)
        except DataError as error:
            raise _at(name, number, error) from None


def raw_lines(descriptor: int, name: str) -> Iterator[bytes | None]:
    """Lines without their newlines, as they come; None for a lull.

    Raises:
        DataError: one is longer than :data:`LONGEST_LINE`.
    """
    parts: list[bytes] = []  # of the line that has no end yet
    number, size = 1, 0
    for chunk in chunks(descriptor):
        if chunk is None:
            yield None
            continue
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            if size + len(end) > LONGEST_LINE:
                raise too_long(name, number)
            yield b"".join([*parts, end])
            parts, size, number = [], 0, number + 1
        parts.append(rest)
        size += len(rest)
        if size > LONGEST_LINE:
            raise too_long(name, number)
    if size:
        yield b"".join(parts)


def chunks(descriptor: int) -> Iterator[bytes | None]:
    """What can be read, as it comes; None for a lull."""
    waits = os.name == "posix"  # elsewhere only sockets can be looked at
    while True:
        if waits and not select.select([descriptor], [], [], _LULL)[0]:
            yield None
        chunk = os.read(descriptor, _CHUNK)
        if not chunk:
            return
        yield chunk


def too_long(name: str, number: int) -> DataError:
    return DataError(
        f"{name}, line {number}: longer than {LONGEST_LINE:,} bytes, the most that a line may "
        "have; is it text, one a line?"
    )


def _decoded(raw: bytes, first: bool) -> str:
    if first:
        raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        return raw.removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        remedy = "convert it to UTF-8"
        if first and raw.startswith(_GZIP):
            remedy = "it is compressed by gzip: decompress it, or pipe what zcat says of it here"
        raise DataError(
            f"expected UTF-8, got the byte 0x{raw[error.start]:02x}; {remedy}"
        ) from None


def _refuse_array(numbered: tuple[int, str], name: str) -> None:
    """Raise DataError where the first line begins an array of objects, or is one of texts."""
    number, content = numbered
    start = content.strip()
    if start != "[" and not start.startswith("[{"):
        try:
            value = json.loads(start) if start.startswith("[") else None
        except (ValueError, RecursionError):
            return
        if not value or not all(isinstance(item, str) for item in value):
            return
    raise DataError(
        f"{name}, line {number}: a JSON array begins here, which is no text a line; give a file of "
        f"objects with {option('format', 'json')}, or say {option('format', 'text')} where it is "
        "a text"
    )


def _is_object(content: str) -> bool:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "text" in value


def _from_text(content: str, pairs: bool) -> Text:
    if not pairs:
        return content
    parts = content.split("\t")
    if len(parts) != 2:
        raise DataError(f"expected two texts with a tab between them, got {len(parts)}")
    return parts[0], parts[1]


def _from_json(content: str, pairs: bool) -> tuple[Text, str | None]:
    try:
        value: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"not valid JSON ({error}); write one JSON object a line") from None
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        raise DataError('expected an object like {"text": "..."}')
    return _paired(value["text"], value.get("pair"), pairs), _id(value.get("id"))


def _id(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        raise DataError(f"expected an id that is a text or a whole number, got {quoted(value)}")
    return None if value is None else str(value)


def _paired(text: str, pair: Any, pairs: bool) -> Text:
    if pairs:
        if not isinstance(pair, str):
            raise DataError('expected an object like {"text": "...", "pair": "..."}')
        return text, pair
    if pair is not None:
        raise DataError("it has a second text, which this model does not take; remove 'pair'")
    return text
