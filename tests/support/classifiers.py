"""Tiny random classifiers, as somebody else would have fine-tuned and saved them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from support.encoders import make_config
from support.tiny import make_tokenizer, reviews


def make_classifier(kind: str, labels: Sequence[str], layers: int = 2, **options: Any) -> Any:
    """A random classifier of transformers; ``options`` go over its configuration's own."""
    import torch
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(3)
    config = make_config(kind, layers)
    config.id2label = dict(enumerate(labels))
    config.label2id = {name: code for code, name in enumerate(labels)}
    for name, value in options.items():
        setattr(config, name, value)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    with torch.no_grad():
        for name, values in model.named_parameters():
            if name.startswith("classifier.") and name.endswith("bias"):
                values.normal_()  # a head that was trained has one, and another for each class
    return model


def save_classifier(folder: Path, kind: str, labels: Sequence[str], **options: Any) -> Path:
    """The same in ``save_pretrained`` form, without a tokenizer; returns the folder."""
    make_classifier(kind, labels, **options).save_pretrained(folder)
    return folder


def save_with_tokenizer(
    folder: Path, kind: str, labels: Sequence[str], texts: Iterable[str] = (), **options: Any
) -> Path:
    """A classifier with the tokenizer of some texts, of reviews where none are given."""
    tokenizer = make_tokenizer(texts or [text for text, _ in reviews(400)])
    save_classifier(folder, kind, labels, vocab_size=len(tokenizer), **options)
    tokenizer.save_pretrained(folder)
    return folder
