"""Long texts cut before they are tokenised, so that the tokens stay what they were.

A model takes the first tokens of a text, and a tokenizer all of it: eight million characters take
seconds and gigabytes to become 128 tokens. What stands far behind the last token that counts has no
say in it, because every rule of a tokenizer looks a bounded way ahead, but for these:

* white space, marks and control characters: a run of them, however long, may belong to what stands
  behind it (a special token swallows the spaces before it, a normaliser merges, sorts or drops);
* a long word, which is one unknown token where it is longer than the tokenizer's limit;
* unknown characters, of which a run may be one token.

So a beginning is taken only where its first half without a run at its end gives more tokens than
are wanted, by more than any word's limit, and the wanted ones are the same in half and whole. Else
the beginning grows, at last to the whole text.
"""

from __future__ import annotations

import unicodedata
from typing import Any

_AHEAD = 1024  # characters that a tokenizer may look ahead, but for the exceptions above
_PER_TOKEN = 16  # characters a token that are tried first, twice what most texts need
_SPARE = 128  # tokens beyond those wanted
_GROWTH = 4


class Cutter:
    """Cuts texts for one tokenizer and one length.

    Args:
        tokenizer: a :class:`tokenizers.Tokenizer`. Its truncation may change meanwhile.
        limit: the tokens that the model takes, special ones included.
    """

    def __init__(self, tokenizer: Any, limit: int) -> None:
        self._tokenizer = tokenizer
        self._limit = limit
        word = getattr(tokenizer.model, "max_input_chars_per_word", 0)
        added = tokenizer.get_added_tokens_decoder().values()
        ahead = max([_AHEAD, 2 * word, *(2 * len(token.content) for token in added)])
        self._spare = max(_SPARE, word + 1)
        self._first = _PER_TOKEN * limit + 2 * ahead
        # Where the longest text of a pair loses first, an odd place goes to the longer one.
        self._odd = (limit - tokenizer.num_special_tokens_to_add(True)) % 2 == 1

    def text(self, text: str) -> str:
        """The text, or a beginning of it that gives the same tokens up to the limit."""
        if len(text) <= self._first or not self._cuts_at_the_end():
            return text
        return text[: self._enough(text)]

    def pair(self, text: str, other: str) -> tuple[str, str]:
        """Likewise of two texts that are tokenised together, the longer one cut first."""
        long = max(len(text), len(other)) > self._first
        if not long or not self._cuts_at_the_end():
            return text, other
        ends = (self._enough(text), self._enough(other))
        if self._odd and ends[0] < len(text) and ends[1] < len(other):
            ends = self._in_order(text, other, ends)
        return text[: ends[0]], other[: ends[1]]

    def _cuts_at_the_end(self) -> bool:
        rule = self._tokenizer.truncation
        return rule is None or (
            rule["direction"] == "right"
            and rule["strategy"] == "longest_first"
            and not rule["stride"]
        )

    def _enough(self, text: str) -> int:
        """How many characters give the tokens."""
        size, limit = self._first, self._limit
        while size < len(text):
            end = _before_run(text, size // 2)
            half = self._tokens(text[:end])
            if (
                len(half) >= limit + self._spare
                and self._tokens(text[:size])[:limit] == half[:limit]
            ):
                return end
            size *= _GROWTH
        return len(text)

    def _in_order(self, text: str, other: str, ends: tuple[int, int]) -> tuple[int, int]:
        """Ends so that the beginnings say which of the two texts has more tokens, as they do."""
        first = self._has_more(text, other)
        counts = [
            len(self._tokens(part[:end])) for part, end in zip((text, other), ends, strict=True)
        ]
        end, other_end = ends
        while first and counts[0] <= counts[1]:
            end = min(2 * end, len(text))
            counts[0] = len(self._tokens(text[:end]))
        while not first and counts[0] > counts[1]:
            other_end = min(2 * other_end, len(other))
            counts[1] = len(self._tokens(other[:other_end]))
        return end, other_end

    def _has_more(self, text: str, other: str) -> bool:
        """Whether ``text`` has more tokens than ``other``; looks as far as the shorter one."""
        size = self._first
        while True:
            size *= _GROWTH
            lead = len(self._tokens(text[:size])) - len(self._tokens(other[:size]))
            # What goes on has at least about the tokens that its beginning has.
            settled = lead > self._spare if size >= len(other) else False
            settled |= -lead > self._spare if size >= len(text) else False
            if settled or size >= max(len(text), len(other)):
                return lead > 0

    def _tokens(self, text: str) -> list[int]:
        """All tokens, without special ones around them and without padding."""
        (encoding,) = self._tokenizer.encode_batch_fast([text], add_special_tokens=False)
        parts = [encoding, *encoding.overflowing]
        return [
            token
            for part in parts
            for token, real in zip(part.ids, part.attention_mask, strict=True)
            if real
        ]


def _before_run(text: str, end: int) -> int:
    """``end``, or where the run of characters that are no base begins that it stands in."""
    while end and _joins(text[end - 1]):
        end -= 1
    return end


def _joins(character: str) -> bool:
    return character.isspace() or unicodedata.category(character)[0] in "MZC"
