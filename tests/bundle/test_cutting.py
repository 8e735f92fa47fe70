"""Texts that were cut give the tokens of the whole ones, whatever the tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from dimec.bundle.cutting import Cutter
from support.tiny import make_tokenizer, reviews

SPECIAL = ["<s>", "</s>", "<unk>", "<pad>", "<mask>"]
CORPUS = [
    *(text for text, _ in reviews(300)),
    "Größe, élan, naïve Ångström: 電影很好看。劇情無聊 👩‍👩‍👧 ﷺ ﬁ ½ a\u0301\u0323",
    "abababab babababa aabbaabb xyxyxyxyx      spaces\t\ttabs\n\nlines",
]


def _framed(tokenizer: Tokenizer, mask: bool = True) -> Tokenizer:
    known = tokenizer.get_vocab()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(name, known[name]) for name in ("<s>", "</s>")],
    )
    if mask:
        tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    return tokenizer


def _wordpiece() -> Tokenizer:
    tokenizer: Tokenizer = make_tokenizer(CORPUS).backend_tokenizer
    return tokenizer


def _bytes() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _framed(tokenizer)


def _unigram(split: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(split=split)
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _framed(tokenizer)


def _characters() -> Tokenizer:
    """BPE over the whole text as one word, unknown characters fused."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents()])
    trainer = trainers.BpeTrainer(vocab_size=150, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator([text[:40] for text in CORPUS[:60]], trainer)
    return _framed(tokenizer)


KINDS: dict[str, Callable[[], Tokenizer]] = {
    "wordpiece": _wordpiece,
    "bytes": _bytes,
    "unigram by words": lambda: _unigram(True),
    "unigram as a whole": lambda: _unigram(False),
    "characters": _characters,
}
ODD, EVEN = 32, 33  # tokens; with three special ones around a pair, an odd and an even room


@cache
def made(kind: str) -> Tokenizer:
    return KINDS[kind]()


PIECES = [
    *("the film is dull ", "x", " ", "\t", "\n", "é", "e\u0301", "\u0323\u0301", "\u200b", "\0"),
    *("電影", "ﷺ", "\U0001f469\u200d\U0001f467", "ab", "a\u200b", "<mask>", "   <mask>"),
    *("[SEP]", "the", ", ", "☃", "ǅ"),
]
BLOCK = st.tuples(
    st.sampled_from(PIECES) | st.text(max_size=5), st.sampled_from([1, 2, 30, 200, 1100, 5000])
)
SHORT = st.tuples(st.sampled_from(PIECES), st.sampled_from([1, 30, 150]))
# What cannot be cut is left to the library, which makes a piece of every two ends of a pair.
SIDE = st.lists(SHORT, max_size=5).map(lambda blocks: "".join(p * n for p, n in blocks))
TEXT = st.lists(BLOCK, max_size=5).map(lambda blocks: "".join(p * n for p, n in blocks))


def _tokens(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


def _lengths(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens of each text of a pair stay: the longer one loses first."""
    if first + second <= room:
        return first, second
    short, half = min(first, second), room // 2
    kept = (short, room - short) if short <= half else (half, room - half)
    return kept[::-1] if first > second else kept


def _same(kind: str, limit: int, *texts: str) -> tuple[str, ...]:
    """Checks that the cut texts have the same tokens; returns them."""
    tokenizer = made(kind)
    tokenizer.no_truncation()
    whole = [_tokens(tokenizer, text) for text in texts]
    room = limit - tokenizer.num_special_tokens_to_add(len(texts) > 1)
    lengths = _lengths(len(whole[0]), len(whole[1]), room) if len(texts) > 1 else (room,)
    expected = [ids[:length] for ids, length in zip(whole, lengths, strict=True)]
    tokenizer.enable_truncation(limit)
    cutter = Cutter(tokenizer, limit)
    cut = cutter.pair(*texts) if len(texts) > 1 else (cutter.text(*texts),)
    found = tokenizer.encode(*cut)
    sides = [
        [
            token
            for token, side, special in zip(
                found.ids, found.sequence_ids, found.special_tokens_mask, strict=True
            )
            if side == number and not special
        ]
        for number in range(len(texts))
    ]
    assert sides == expected
    return cut


@pytest.mark.parametrize("kind", KINDS)
@given(text=TEXT, limit=st.sampled_from([ODD, EVEN]))
@example(text="a" + " " * 9000 + "<mask>", limit=ODD)
@example(text="the film " * 300 + " " * 9000 + "<mask>", limit=ODD)
@example(text="ab" + "\u200b" * 9000 + "cd", limit=ODD)
@example(text="the film " * 300 + "a" * 9000, limit=ODD)
@example(text="e" + "\u0301" * 9000 + "\u0323", limit=ODD)
def test_of_one_text(kind: str, text: str, limit: int) -> None:
    (cut,) = _same(kind, limit, text)
    assert text.startswith(cut)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12)
@given(text=SIDE, other=SIDE, limit=st.sampled_from([ODD, EVEN]))
@example(text="the film " * 400, other="the film " * 401, limit=ODD)
@example(text="the film " * 401, other="the film " * 400, limit=ODD)
@example(text="the film " * 400, other="the film " * 400, limit=EVEN)
@example(text="the " * 900, other="電影" * 1500, limit=ODD)
def test_of_a_pair(kind: str, text: str, other: str, limit: int) -> None:
    _same(kind, limit, text, other)


class Counting:
    """A tokenizer that counts the characters that it is given."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer, self.characters = tokenizer, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def encode_batch_fast(self, texts: list[str], **options: Any) -> Any:
        self.characters += sum(map(len, texts))
        return self._tokenizer.encode_batch_fast(texts, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_text_is_hardly_looked_at(kind: str) -> None:
    counting = Counting(made(kind))
    cut = Cutter(counting, 32).text("the plot is dull and " * 400_000)
    assert len(cut) < 20_000
    assert counting.characters < 40_000
    assert Cutter(counting, 32).pair("the plot", "the plot is dull " * 400_000)[0] == "the plot"
    assert counting.characters < 80_000


def test_what_gives_few_tokens_is_looked_at_a_few_times_at_most() -> None:
    counting = Counting(made("wordpiece"))
    text = "x" * 500_000  # one word, one unknown token
    assert Cutter(counting, 32).text(text) == text
    assert counting.characters < 3 * len(text)


def test_a_tokenizer_that_cuts_the_beginning_gets_the_whole_text() -> None:
    tokenizer = _wordpiece()
    tokenizer.enable_truncation(8, direction="left")
    text = "the film is dull " * 5000
    assert Cutter(tokenizer, 8).text(text) == text
    assert Cutter(tokenizer, 8).pair(text, "x") == (text, "x")
