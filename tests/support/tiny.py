"""A tiny random encoder with a tokenizer, and short reviews: what a run needs to take seconds."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from dimec.runs.run import Run

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_GOOD = ("moving", "charming", "clever", "funny", "tender", "gripping", "witty", "superb")
_BAD = ("dull", "tedious", "clumsy", "hollow", "silly", "stale", "shapeless", "grating")
_NOUNS = ("film", "plot", "cast", "script", "ending", "score", "dialogue", "lead", "direction")
_FILLERS = ("", "at times ", "from start to finish ", "in spite of its length ", "as ever ")

# Options of tiny runs: they learn something within seconds, the same on every processor.
FAST = ("--exits", "1,2,4", "--max-tokens", "32", "--learning-rate", "3e-3", "--precision", "fp32")


def reviews(n: int, seed: int = 0) -> list[tuple[str, str]]:
    """``n`` different short reviews with their labels, ``positive`` and ``negative`` by turns.

    One word in ten is of the other side, so that not every review is easy.
    """
    rng = np.random.default_rng(seed)
    rows: list[tuple[str, str]] = []
    for number in range(n):
        label = ("negative", "positive")[number % 2]
        own, other = (_GOOD, _BAD) if label == "positive" else (_BAD, _GOOD)
        clauses = []
        for _ in range(rng.integers(1, 4)):
            words = other if rng.random() < 0.1 else own
            noun, filler = rng.choice(_NOUNS), rng.choice(_FILLERS)
            clauses.append(f"the {noun} is {filler}{rng.choice(words)}")
        rows.append((f"{', and '.join(clauses)} (no. {number})", label))
    return rows


def write_reviews(path: Path, rows: Iterable[Sequence[str]], header: Sequence[str] = ()) -> Path:
    """A CSV file with the columns ``text`` and ``label``, or those of ``header``."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header or ("text", "label"))
        writer.writerows(rows)
    return path


def make_tokenizer(texts: Iterable[str]) -> Any:
    """A WordPiece tokenizer, lower case, with all words and characters of ``texts``."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    split = pre_tokenizers.BertPreTokenizer()
    words = {word for text in texts for word, _ in split.pre_tokenize_str(text.lower())}
    letters = {char for word in words for char in word}
    pieces = [*SPECIAL, *sorted(words | letters), *sorted(f"##{char}" for char in letters)]
    vocab = {piece: code for code, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = split
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def make_backbone(
    folder: Path,
    *,
    layers: int = 4,
    width: int = 32,
    dropout: float = 0.1,
    positions: int = 64,
    texts: Iterable[str] = (),
) -> Path:
    """A folder with a random BERT encoder, in ``save_pretrained`` form, and a tokenizer."""
    import torch
    from transformers import BertConfig, BertModel

    tokenizer = make_tokenizer(texts or [text for text, _ in reviews(400)])
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=positions,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        initializer_range=0.1,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def train_tiny(table: Path, backbone: Path, out: Path, **options: Any) -> Run:
    """A run of a few seconds on a table of texts; options in place of these, or beside them."""
    import dimec

    settings: dict[str, Any] = {
        "exits": (1, 2, 4),
        "epochs": 3,
        "learning_rate": 3e-3,
        "max_tokens": 32,
        "precision": "fp32",
    }
    run: Run = dimec.train(
        task=f"csv:{table}", backbone=str(backbone), out=out, **{**settings, **options}
    )
    return run


def train_tiny_pairs(folder: Path, backbone: Path) -> Run:
    """A run of a few seconds on 80 pairs of texts, in ``folder/run``."""
    rows = [
        (f"{first} {number}", second, label)
        for number, ((first, label), (second, _)) in enumerate(
            zip(reviews(80, seed=1), reviews(80, seed=2), strict=True)
        )
    ]
    folder.mkdir()
    table = write_reviews(folder / "pairs.csv", rows, ("text", "other", "label"))
    options = {"pair_column": "other", "epochs": 2, "max_tokens": 24}
    return train_tiny(table, backbone, folder / "run", **options)


# Three tiers: two students of one encoder, and a last tier with another encoder and tokenizer.
OWN_TIERS: tuple[dict[str, Any], ...] = (
    {"name": "phone", "model": "small", "layer": 1},
    {"name": "edge", "model": "small", "layer": 2},
    {"name": "cloud", "model": "large", "layer": None},
)


def make_own_backbones(folder: Path, small: Path) -> tuple[Path, Path]:
    """The encoder of the first two of :data:`OWN_TIERS`, and a wider one with other words."""
    large = folder / "large"
    if not large.exists():
        make_backbone(large, layers=3, width=48, texts=[text for text, _ in reviews(300, seed=5)])
    return small, large


def train_own_tiny(table: Path, backbones: tuple[Path, Path], out: Path, **options: Any) -> Run:
    """A run of a few seconds whose tiers have a model each; see :data:`OWN_TIERS`."""
    import dimec

    named = dict(zip(("small", "large"), map(str, backbones), strict=True))
    settings: dict[str, Any] = {
        "tier": [{**tier, "model": named[tier["model"]]} for tier in OWN_TIERS],
        "epochs": 2,
        "student_epochs": 4,
        "learning_rate": 3e-3,
        "max_tokens": 32,
        "precision": "fp32",
    }
    run: Run = dimec.train(task=f"csv:{table}", out=out, **{**settings, **options})
    return run


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder but the lock: relative path → bytes; empty where there is none."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


class Said(NamedTuple):
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str

    def complaint(self) -> str:
        """The error message, checked to be what every error must be.

        One line on standard error behind the notes of progress, nothing on standard output, no
        traceback, exit code 2.
        """
        assert self.code == 2, self
        assert self.out == ""
        *notes, line = self.err.splitlines()
        assert line.startswith("dimec: "), self.err
        assert not any("dimec: " in note or "Traceback" in note for note in notes), self.err
        return line.removeprefix("dimec: ")


def environment(**changes: str) -> dict[str, str]:
    """This process's environment for a child, which is to print no colours and wide lines."""
    return {**os.environ, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200", **changes}


def command(*arguments: str | Path) -> list[str]:
    """``python -m dimec …``."""
    return [sys.executable, "-m", "dimec", *map(str, arguments)]


def dimec(*arguments: str | Path, **changes: str) -> Said:
    """Run the command line in a process of its own."""
    done = subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env=environment(**changes),
    )
    return Said(done.returncode, done.stdout, done.stderr)
