"""Tokens counted without torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from dimec.data.counting import token_counter, tokenizer_file
from support.tiny import make_tokenizer, reviews

TEXTS = [text for text, _ in reviews(20)] + ["", "unknown wörds"]


@pytest.mark.parametrize("pairs", [None, TEXTS[::-1]])
def test_as_many_as_training_takes(tmp_path: Path, pairs: list[str] | None) -> None:
    tokenizer = make_tokenizer(TEXTS[:20])
    tokenizer.model_max_length = 8
    # What the file says of cutting and padding is of no matter here.
    tokenizer(TEXTS, truncation=True, max_length=8, padding="max_length")
    tokenizer.save_pretrained(tmp_path)
    path = tokenizer_file(str(tmp_path))
    assert path is not None
    count = token_counter(path)
    assert count is not None
    rows = [TEXTS] if pairs is None else [TEXTS, pairs]
    assert count(TEXTS, pairs) == [len(ids) for ids in tokenizer(*rows)["input_ids"]]
    assert max(count(TEXTS, pairs)) > 8


def test_where_there_is_no_tokenizer_nothing_is_counted(tmp_path: Path) -> None:
    assert tokenizer_file(str(tmp_path)) is None
    assert tokenizer_file(str(tmp_path / "none" / "at" / "all")) is None
    assert tokenizer_file("someone/a-name-never-fetched") is None
    (tmp_path / "tokenizer.json").write_text("{")
    path = tokenizer_file(str(tmp_path))
    assert path is not None
    assert token_counter(path) is None
