"""Which tokenizers a mobile takes: those that encoders really have."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from tokenizers import Regex as Expression
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from dimec.base.errors import ConfigError
from dimec.bundle.tokens import _check_charsmaps, check_rules


def tokenizer(normalizer: Any = None, pre_tokenizer: Any = None) -> Tokenizer:
    made = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    if normalizer is not None:
        made.normalizer = normalizer
    if pre_tokenizer is not None:
        made.pre_tokenizer = pre_tokenizer
    return made


SOUND = {
    "none": tokenizer(),
    "BERT": tokenizer(normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()),
    "RoBERTa": tokenizer(None, pre_tokenizers.ByteLevel()),
    "ALBERT": tokenizer(
        normalizers.Sequence(
            [
                normalizers.Replace("``", '"'),
                normalizers.Replace("''", '"'),
                normalizers.NFKD(),
                normalizers.StripAccents(),
                normalizers.Lowercase(),
                normalizers.Replace(Expression(" {2,}"), " "),
            ]
        ),
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]),
    ),
    "Llama": tokenizer(
        normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    ),
    "ModernBERT": tokenizer(normalizers.NFC(), pre_tokenizers.ByteLevel(add_prefix_space=False)),
}


@pytest.mark.parametrize("name", SOUND)
def test_what_encoders_have_is_taken(name: str) -> None:
    check_rules(SOUND[name])


def test_what_lengthens_a_text_is_refused() -> None:
    longer = normalizers.Replace("a", "aa")
    for some in (longer, normalizers.Sequence([longer]), normalizers.Prepend("x" * 17)):
        with pytest.raises(ConfigError, match=r"longer text|long text"):
            check_rules(tokenizer(some))
    with pytest.raises(ConfigError, match="ByteLevel twice"):
        check_rules(tokenizer(normalizers.Sequence([normalizers.ByteLevel()] * 2)))


def charsmap(trie: bytes, texts: bytes, size: int | None = None) -> bytes:
    table = (len(trie) if size is None else size).to_bytes(4, "little") + trie + texts
    return b'{"precompiled_charsmap": "' + base64.b64encode(table) + b'"}'


def test_tables_of_sentencepiece() -> None:
    sound = charsmap(bytes(8), "ﬁ → fi\0ß\0".encode())
    _check_charsmaps(sound)
    normalizers.Precompiled(base64.b64decode(sound.split(b'"')[3]))  # as tokenizers sees it
    _check_charsmaps(b"{}")
    for broken in (
        charsmap(bytes(8), b"\xff\0"),
        charsmap(bytes(8), b"x" * 256 + b"\0"),
        charsmap(bytes(8), b"", size=12),
        charsmap(bytes(7), b""),
        charsmap(b"", b""),
        b'{"precompiled_charsmap": "AA"}',
        b'{"precompiled_charsmap": "not base64"}',
    ):
        with pytest.raises(ValueError):  # noqa: PT011  (base64's, Unicode's, or ours)
            _check_charsmaps(broken)
