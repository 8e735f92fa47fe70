"""Tiers that take texts: with the graph of ``support.served``, and of exported bundles."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dimec.bundle.folders import file_records
from dimec.bundle.manifest import MANIFEST
from support.served import FAILING, make_tier
from support.tampering import change, sign

PANICKING = "q" * 60  # what the tokenizer's rules fail on


def make_text_tier(folder: Path, *, pairs: bool = False) -> Path:
    """As :func:`support.served.make_tier`, of a tier that takes texts; returns its folder.

    The words ``t0`` to ``t1999`` have the ids of their numbers, ``failing`` has one on which the
    graph fails, and all others are word 0.
    """
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    words = {"[UNK]": 0, **{f"t{n}": n for n in range(1, 2000)}, "failing": FAILING}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    # The expression backtracks without end where the trials at the start do not look.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex("(q+q+)+z"), "isolated"), pre_tokenizers.WhitespaceSplit()]
    )
    make_tier(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    sign(folder)
    _let_take_texts(folder, "edge")
    change(folder, pairs=pairs)
    return folder


def words_of(*rows: list[int]) -> list[str]:
    """Texts of which that tier's tokenizer makes these ids."""
    return [" ".join(f"t{n}" for n in row) for row in rows]


def column(*texts: str | bytes) -> npt.NDArray[Any]:
    """An input of these texts, (B, 1)."""
    array = np.empty((len(texts), 1), object)
    array[:, 0] = [text.encode() if isinstance(text, str) else text for text in texts]
    return array


def let_tier_take_texts(bundle: Path, tier: str, *, pairs: bool = False) -> None:
    """Change a whole bundle so that a tier has the device's tokenizer and is sent texts, or pairs.

    A bundle is of pairs in all of its tiers.
    """
    first = json.loads((bundle / MANIFEST).read_text())["tiers"][0]["name"]
    shutil.copy(bundle / first / "tokenizer.json", bundle / tier)
    sign(bundle / tier)
    names = [path.parent.name for path in bundle.glob(f"*/{MANIFEST}")]
    for folder in (bundle, *(bundle / name for name in names)):
        _let_take_texts(folder, tier)
    for name in names:
        change(bundle / name, pairs=pairs)
    files = {
        f"{name}/{file}": record.model_dump()
        for name in names
        for file, record in file_records(bundle / name, manifest=True).items()
    }
    change(bundle, files=files)


def _let_take_texts(folder: Path, tier: str) -> None:
    tiers = json.loads((folder / MANIFEST).read_text())["tiers"]
    takes = {record["name"]: record["takes"] for record in tiers} | {tier: "text"}
    change(folder, tiers=[{**record, "takes": takes[record["name"]]} for record in tiers])
