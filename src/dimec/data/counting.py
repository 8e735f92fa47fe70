"""Counting tokens without torch: :func:`token_counter`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dimec.data.survey import Counter

FILE = "tokenizer.json"


def tokenizer_file(backbone: str) -> Path | None:
    """The tokenizer of an encoder's folder, or of a hub name that was fetched before.

    None where there is none on this machine: nothing is fetched.
    """
    folder = Path(backbone)
    if folder.is_dir():
        return folder / FILE if (folder / FILE).is_file() else None
    try:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        return None
    try:
        found = try_to_load_from_cache(backbone, FILE)
    except HFValidationError:  # a path that does not exist
        return None
    return Path(found) if isinstance(found, str) else None


def token_counter(path: Path) -> Counter | None:
    """Counts as the tokenizer in a ``tokenizer.json`` does; None where it cannot be loaded.

    What is wrong with it is said when training loads it.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer: Any = Tokenizer.from_file(str(path))
    except Exception:  # the library raises nothing narrower
        return None
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count(texts: Sequence[str], pairs: Sequence[str] | None) -> list[int]:
        rows = texts if pairs is None else list(zip(texts, pairs, strict=True))
        return [len(one) for one in tokenizer.encode_batch_fast(rows)]

    return count
