"""What is tried before the first epoch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers as hf
from tokenizers import Tokenizer

import dimec
from dimec.base.errors import ConfigError
from dimec.base.progress import NoProgress
from dimec.bundle.folders import TierBundle
from dimec.bundle.graphs import MASK
from dimec.training import MultiExitClassifier, checks
from dimec.training.batching import Encoded
from dimec.training.checks import (
    TESTED_KINDS,
    _difference,
    check_vocabulary,
    fit_vocabulary,
    try_export,
)
from dimec.training.export.graphs import trace_graph
from dimec.training.export.verdict import TOLERANCE
from dimec.training.prepare import load_tokenizer
from support.encoders import KINDS, save_encoder
from support.tiny import make_tokenizer, reviews

_SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 60,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}


class Notes(NoProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def _with_added_tokens(folder: Path, kind: str) -> int:
    """A tiny encoder with a tokenizer that knows two tokens more; returns the encoder's words."""
    tokenizer = make_tokenizer([text for text, _ in reviews(240)])
    words = len(tokenizer)
    save_encoder(folder, kind, 3, vocab_size=words)
    tokenizer.add_tokens(["<user>", "<url>"])
    tokenizer.save_pretrained(folder)
    return words


def test_added_tokens_are_learnt_and_answered_by_the_bundle(
    tmp_path: Path, tiny_reviews: Path
) -> None:
    """With T5, all the way: none of the texts has such a token, those of an export do."""
    words = _with_added_tokens(tmp_path / "encoder", "t5")
    run = dimec.train(
        task=f"csv:{tiny_reviews}",
        backbone=str(tmp_path / "encoder"),
        exits=(1, 2, 3),
        epochs=2,
        max_tokens=32,
        precision="fp32",
        out=tmp_path / "run",
    )
    run.fit()
    report = run.export(tmp_path / "bundle")
    assert report.tiers[0].parity.made_up == 2  # all added tokens, and the longest text
    mobile = TierBundle.open(tmp_path / "bundle" / "mobile")
    tokenizer = Tokenizer.from_file(str(mobile.file("tokenizer.json")))
    ids = tokenizer.encode("dear <user> see <url>").ids
    assert max(ids) == words + 1 < mobile.manifest.vocabulary


def test_a_table_without_the_added_tokens_is_refused_at_export(tmp_path: Path) -> None:
    words = _with_added_tokens(tmp_path, "bert")
    model = MultiExitClassifier.from_backbone(tmp_path, labels=("a", "b"))
    tokenizer, notes = load_tokenizer(str(tmp_path)), Notes()
    with pytest.raises(ConfigError, match=f"gives {words + 2} ids, .* has {words}"):
        check_vocabulary(model, tokenizer)
    fit_vocabulary(model, tokenizer, notes)
    check_vocabulary(model, tokenizer)
    assert model.config.encoder.vocab_size == words + 2
    assert "2 added tokens" in notes.lines[0]
    fit_vocabulary(model, tokenizer, notes)
    assert len(notes.lines) == 1


def test_another_encoders_tokenizer_does_not_grow_the_table(tmp_path: Path) -> None:
    _with_added_tokens(tmp_path, "bert")
    save_encoder(tmp_path, "bert", 3, vocab_size=20)
    model = MultiExitClassifier.from_backbone(tmp_path, labels=("a", "b"))
    with pytest.raises(ConfigError, match="do not belong together"):
        fit_vocabulary(model, load_tokenizer(str(tmp_path)), NoProgress())


def test_kinds_that_are_not_tried_are_those_that_the_tests_export() -> None:
    assert TESTED_KINDS == KINDS


def test_the_guide_names_every_tested_kind() -> None:
    guide = Path(__file__).parents[2] / "docs" / "guide.md"
    said = guide.read_text("utf-8").lower().replace("-", "")
    names = {"xlm-roberta": "xlmr", "deberta-v2": "debertav3"}
    for kind in KINDS:
        assert names.get(kind, kind).replace("-", "") in said, kind


def _texts() -> Encoded:
    """Two tokenised texts, of 9 and of 3 tokens."""
    ids, ends = np.arange(5, 17, dtype=np.int64), np.array([0, 9, 12])
    return Encoded({"input_ids": ids}, ends, {"input_ids": 0})


def test_an_encoder_that_cannot_be_exported_is_said_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Longformer: torch has pages of words for it, of which one line is left."""
    config: Any = hf.LongformerConfig(**_SMALL, attention_window=8)
    hf.LongformerModel(config).save_pretrained(tmp_path)
    model = MultiExitClassifier.from_backbone(tmp_path, labels=("a", "b"))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    capfd.readouterr()
    notes = Notes()
    monkeypatch.setattr(checks, "_tried", {})
    try_export(model, _texts(), False, 32, notes)
    trying, warning = notes.lines
    assert "trying" in trying
    assert warning.startswith("warning: dimec export will refuse this run: torch cannot export")
    assert "\n" not in warning
    assert "\x1b" not in warning
    assert len(warning) < 300
    assert "".join(capfd.readouterr()) == ""
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
    # A grid's next point: said again, not tried again.
    try_export(model, _texts(), False, 32, notes)
    assert notes.lines[2:] == [warning]
    tested = MultiExitClassifier.from_backbone(
        save_encoder(tmp_path / "bert", "bert"), labels=("a", "b")
    )
    try_export(tested, _texts(), False, 32, notes)
    assert len(notes.lines) == 3


def test_graphs_that_answer_otherwise_are_said_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FNet's graph can be made, but what it says of a text depends on the padding beside it."""
    hf.FNetModel(hf.FNetConfig(**_SMALL)).save_pretrained(tmp_path)
    model = MultiExitClassifier.from_backbone(tmp_path, labels=("a", "b")).train()
    traces: list[Any] = []

    def trace(*given: Any) -> Any:
        traces.append(trace_graph(*given))
        return traces[0]

    monkeypatch.setattr(checks, "_tried", {})
    monkeypatch.setattr(checks, "trace_graph", trace)
    notes = Notes()
    try_export(model, _texts(), False, 32, notes)
    assert notes.lines[1].startswith("warning: dimec export will refuse this run: the graphs of")
    assert "FNetModel answer otherwise than it does itself" in notes.lines[1]
    assert model.training
    even = replace(_texts(), offsets=np.array([0, 6, 12]))
    assert _difference(model, traces[0], even, ("input_ids", MASK)) < TOLERANCE
