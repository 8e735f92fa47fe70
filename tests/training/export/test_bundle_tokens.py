"""The tokenizer of a bundle: a text has the tokens there that it had in training."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from dimec.base.errors import ConfigError
from dimec.training.export.writing import tokenizer_text
from dimec.training.prepare import load_tokenizer

HARD_TEXTS = [
    "",
    " ",
    "dull",
    "the film is moving",
    "🎬🎬 so 😀 good",
    "\uff26\uff35\uff2c\uff2c full width and ünïcödé café",
    "一部 很好 的 电影",
    "\x00\u200b\ufeff\u202e control",
    "no  [SEP]  special [CLS] words [PAD]",
    "a" * 5000,
    "the plot is tedious and " * 400,
]


class TestTheTokenizer:
    @pytest.mark.parametrize("text", HARD_TEXTS, ids=range(len(HARD_TEXTS)))
    def test_a_text_has_the_tokens_that_it_has_in_training(
        self, tiny_bundle: Path, finished_run: Path, text: str
    ) -> None:
        ours = Tokenizer.from_file(str(tiny_bundle / "mobile" / "tokenizer.json"))
        theirs = load_tokenizer(str(finished_run / "model"))
        expected = theirs(text, truncation=True, max_length=32)
        got = ours.encode(text)
        assert got.ids == expected["input_ids"]
        assert got.attention_mask == expected["attention_mask"]
        assert len(got.ids) <= 32

    @pytest.mark.parametrize("first", range(0, len(HARD_TEXTS), 3))
    def test_a_pair_is_cut_as_in_training(
        self, tiny_bundle: Path, finished_run: Path, first: int
    ) -> None:
        ours = Tokenizer.from_file(str(tiny_bundle / "mobile" / "tokenizer.json"))
        theirs = load_tokenizer(str(finished_run / "model"))
        firsts = [HARD_TEXTS[first]] * len(HARD_TEXTS)
        expected = theirs(firsts, HARD_TEXTS, truncation=True, max_length=32)
        for row, second in enumerate(HARD_TEXTS):
            got = ours.encode(firsts[row], second)
            assert got.ids == expected["input_ids"][row]
            assert got.type_ids == expected["token_type_ids"][row]

    def test_one_in_python_only_is_refused(self) -> None:
        class Slow:
            truncation_side = "right"

        with pytest.raises(ConfigError, match="Slow is a tokenizer in Python only"):
            tokenizer_text(Slow(), 32)
