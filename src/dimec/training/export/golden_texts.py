"""The inputs of golden vectors: texts of the run's data, and made-up ones at the edges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dimec.training.export.parity_rows import ParityRows

_LONGEST = 1000  # characters of a text of the data
_MOST_TOKENS = 1024  # a text beyond a longer limit would take half of the file
_SPACE = " \t\n "
# Precomposed and combining marks, a ligature, scripts with and without spaces and from right to
# left, and characters that are one sign of several code points: all in Unicode for many years.
_UNICODE = (
    "\u00dcn\u00ef\u0301c\u00f6d\u00e9 na\u00efve \ufb01n \u6f22\u5b57 \ud55c\uad6d\uc5b4 "
    "\u05e2\u05d1\u05e8\u05d9\u05ea \u0e44\u0e17\u0e22 \U0001f926\U0001f3fd\u200d\u2642\ufe0f "
    "\u2014 \u201cok\u201d\u2026"
)
_MARKS = "3.14% of #1,000 (well\u2026 NOT bad!?) <b>&amp;</b> https://a.example/?q=x+y_z @you 'tis"
_WORD = "pneumono" * 20  # longer than any word that WordPiece takes apart


@dataclass(frozen=True)
class Candidate:
    """An input that golden vectors may take: where it is from, and the text or pair of texts."""

    of: str
    text: str
    pair: str | None


def candidates(rows: ParityRows, most: int) -> list[Candidate]:
    """At most so many texts of the data, spread over the rows, each the beginning of a long one."""
    chosen = np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64)
    found = []
    for row in dict.fromkeys(chosen.tolist()):
        text = rows.texts[row][:_LONGEST]
        pair = None if rows.pairs is None else rows.pairs[row][:_LONGEST]
        if _is_text(text) and (pair is None or _is_text(pair)):
            found.append(Candidate("data", text, pair))
    return found


def made_up(pairs: bool, max_tokens: int) -> list[Candidate]:
    """Empty, blank, odd and overlong inputs.

    Args:
        pairs: whether an input is a pair of texts.
        max_tokens: the model's limit.
    """
    return [Candidate(*each) for each in (_pairs if pairs else _singles)(max_tokens)]


def _singles(max_tokens: int) -> Iterator[tuple[str, str, None]]:
    yield "empty", "", None
    yield "space", _SPACE, None
    yield "unicode", _UNICODE, None
    yield "marks", _MARKS, None
    yield "word", _WORD, None
    if max_tokens <= _MOST_TOKENS:
        yield "long", _long(max_tokens), None


def _pairs(max_tokens: int) -> Iterator[tuple[str, str, str]]:
    yield "empty", "", ""
    yield "space", _SPACE, _MARKS
    yield "unicode", _UNICODE, _WORD
    if max_tokens <= _MOST_TOKENS:
        long = _long(max_tokens)
        yield "long", long, long
        yield "long first", long, _MARKS
        yield "long second", _MARKS, long


def _long(max_tokens: int) -> str:
    """A text beyond the limit, no two words of which are the same: one sees where it is cut."""
    return " ".join(map(str, range(max_tokens + 8)))  # a word has a token or more


def _is_text(text: str) -> bool:
    """Whether a mobile takes it: half a surrogate pair is none."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
