"""A bundle's tokenizer, loaded and tried: one from a stranger must not take the process down.

What tokenizers itself bounds is left to it: a regular expression that backtracks for ever ends
with an error. It does not bound how much longer each step makes a text, and ends some of what is
malformed with a panic, an exception that ``except Exception`` does not catch. So steps that could
multiply a text are refused before any text, and all is tried on texts of many kinds.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dimec.base.errors import ConfigError, CorruptArtefactError, DataError, quoted, shown
from dimec.bundle.cutting import Cutter
from dimec.bundle.folders import TierBundle

# Normalisers that change the length of a text a little at most; Replace, Prepend, Precompiled and
# ByteLevel within bounds of their own.
_PLAIN = {"BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Strip"}
_PLAIN |= {"StripAccents", "Sequence", "Replace", "Prepend", "Precompiled", "ByteLevel"}
_MOST_STEPS = 32
_ONCE = ("Precompiled", "ByteLevel", "Prepend")  # doing these again would multiply
_LONGEST_PREFIX = 16
_LONGEST_MAPPED = 255  # bytes of what one character becomes: 33 in Unicode's own tables
_CHARSMAP = re.compile(rb'"precompiled_charsmap"\s*:\s*"([^"]*)"')
_TRIALS = (
    "",
    "".join(map(chr, range(0x21, 0x7F))),
    "a moving film, twice: a moving film",
    "Ünï\u0301côdé \ufdfa \u0e33 漢字 한국어 עברית \U0001f926\U0001f3fd\u200d\u2642\ufe0f",
    "\x00\x1b\x7f\x85\u2028\ufeff\ufffd\U0010ffff",
    "a" * 2000,
    " " * 2000,
    "ab " * 2000,
)


def load_tokenizer(bundle: TierBundle) -> Any:
    """The tokenizer of a tier that makes token ids itself: the first, or one that takes text.

    It cuts at the length of the tier's manifest and pads nothing.

    Raises:
        CorruptArtefactError: there is none, or it cannot be loaded, has rules that are refused, or
            fails on a text.
    """
    path, manifest = bundle.file("tokenizer.json"), bundle.manifest
    try:
        content = bundle.read("tokenizer.json")
        _check_charsmaps(content)
        tokenizer = _load(content)
        check_rules(tokenizer)
        tokenizer.no_padding()
        cut = tokenizer.truncation or {}
        if (cut.get("max_length"), cut.get("stride")) != (manifest.max_tokens, 0):
            tokenizer.enable_truncation(
                manifest.max_tokens, direction=cut.get("direction", "right")
            )
        for text in _TRIALS:
            _try(tokenizer, (text, text) if manifest.pairs else text, manifest.max_tokens)
    except (ConfigError, DataError, ValueError, OSError) as error:
        raise _unusable(path, f"is no tokenizer ({shown(str(error), 120)})") from None
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0)
    ids = tokenizer.encode_batch_fast([("", "") if manifest.pairs else ""])[0].ids
    if (largest := max([largest, *ids])) >= manifest.vocabulary:
        raise _unusable(
            path, f"has a token with the id {largest}, and the model knows {manifest.vocabulary}"
        )
    return tokenizer


def encode(tokenizer: Any, text: str | tuple[str, str], cutter: Cutter | None = None) -> Any:
    """The encoding of a text or of a pair, of which only what counts is tokenised with a cutter.

    Raises:
        DataError: the tokenizer's rules fail on it.
    """
    # The batch call lets other threads run meanwhile and leaves out the characters' offsets.
    try:
        if cutter is not None:
            text = cutter.pair(*text) if isinstance(text, tuple) else cutter.text(text)
        return tokenizer.encode_batch_fast([text])[0]
    except BaseException as error:
        raise _as_data_error(error, "the bundle's tokenizer fails on this text") from None


def check_rules(tokenizer: Any) -> None:
    """Whether no step of a tokenizer can make a text many times longer.

    Raises:
        ConfigError: one can, or is of an unknown kind.
    """
    steps = [*_steps(tokenizer.normalizer), *_steps(tokenizer.pre_tokenizer)]
    kinds = [step["type"] for step in steps]
    if len(steps) > _MOST_STEPS:
        raise ConfigError(f"the tokenizer has {len(steps)} steps, expected {_MOST_STEPS} at most")
    for step in _steps(tokenizer.normalizer):
        kind, content = step["type"], step.get("content", "")
        if kind not in _PLAIN:
            raise ConfigError(f"the tokenizer has a normaliser of an unknown kind, {quoted(kind)}")
        if kind in _ONCE and [s["type"] for s in _steps(tokenizer.normalizer)].count(kind) > 1:
            raise ConfigError(f"the tokenizer has the step {kind} twice")
        if kind == "Replace" and len(content) > len(step["pattern"].get("String", "x")):
            raise ConfigError("the tokenizer replaces text by longer text")
        if kind == "Prepend" and len(step["prepend"]) > _LONGEST_PREFIX:
            raise ConfigError("the tokenizer puts a long text in front of every text")
    if kinds.count("ByteLevel") > 2:  # as a normaliser and as what splits words
        raise ConfigError("the tokenizer has the step ByteLevel again and again")


def _load(content: bytes) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_buffer(content)
    except BaseException as error:
        raise _as_data_error(error, "it cannot be loaded") from None


def _as_data_error(error: BaseException, problem: str) -> BaseException:
    """A DataError for an exception or a panic; anything else, such as an interrupt, as it is."""
    # The panic's class cannot be imported, and derives from BaseException.
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        return error
    return DataError(f"{problem} ({shown(str(error).split(chr(10))[0], 100)})")


def _try(tokenizer: Any, text: str | tuple[str, str], limit: int) -> None:
    encoding = encode(tokenizer, text)
    if len(encoding.ids) > limit:
        raise DataError(f"it makes {len(encoding.ids)} tokens where it is to cut at {limit}")


def _steps(component: Any) -> Iterator[dict[str, Any]]:
    """What a normaliser or pre-tokenizer consists of, sequences unrolled."""
    todo = [] if component is None else [json.loads(component.__getstate__())]
    while todo:
        step = todo.pop()
        yield step
        todo += step.get("normalizers") or step.get("pretokenizers") or []


def _check_charsmaps(content: bytes) -> None:
    """Check the tables of SentencePiece's normaliser, which tokenizers takes apart with a panic.

    A table is the size of a trie in bytes, the trie, and texts, each with a zero behind it.

    Raises:
        ValueError: a table is none, or has a text that is longer than any character's.
    """
    for match in _CHARSMAP.finditer(content):
        table = base64.b64decode(match[1], validate=True)
        size = int.from_bytes(table[:4], "little")
        if len(table) < 4 or size % 4 or not 0 < size <= len(table) - 4:
            raise ValueError("its precompiled_charsmap is none")
        texts = table[4 + size :]
        texts.decode("utf-8")
        if max(map(len, texts.split(b"\0"))) > _LONGEST_MAPPED:
            raise ValueError("its precompiled_charsmap makes texts many times longer")


def _unusable(path: Path, problem: str) -> CorruptArtefactError:
    return CorruptArtefactError(f"{path} {problem}; make the bundle again with: dimec export")
