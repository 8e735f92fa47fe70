from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dimec.data import Dataset
from dimec.training import MultiExitClassifier
from dimec.training.batching import Encoded, encode
from dimec.training.inference import predict, record_trace
from support.tiny import make_tokenizer, reviews

TEXTS = [*(text for text, _ in reviews(60, seed=3)), "", "film"]


@pytest.fixture(scope="module")
def model(tiny_backbone: Path) -> MultiExitClassifier:
    torch.manual_seed(0)
    return MultiExitClassifier.from_backbone(
        tiny_backbone, labels=("negative", "positive"), exits=(1, 2, 4)
    )


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    n = len(TEXTS)
    return Dataset(
        task="csv:x",
        texts=tuple(TEXTS),
        pairs=None,
        labels=np.arange(n) % 2,
        label_names=("negative", "positive"),
        guids=tuple(f"row-{row}" for row in range(n)),
        metric="f1",
        predefined=None,
        extra={"rating": np.arange(n, dtype=np.float64)},
    )


@pytest.fixture(scope="module")
def encoded(dataset: Dataset) -> Encoded:
    return encode(make_tokenizer(text for text, _ in reviews(400)), dataset, 24)


def test_rows_come_back_in_their_own_order(model: MultiExitClassifier, encoded: Encoded) -> None:
    logits, embeddings = predict(model, encoded)
    assert logits.shape == (len(TEXTS), 3, 2)
    assert embeddings.shape == (len(TEXTS), 32)
    model.eval()
    with torch.inference_mode():
        for row in range(len(TEXTS)):
            output = model(**encoded.batch(np.array([row]), model.device))
            np.testing.assert_allclose(logits[row], output.logits[0], atol=1e-5)
            np.testing.assert_allclose(embeddings[row], output.embedding[0], atol=1e-5)


def test_it_is_without_dropout_and_leaves_the_model_as_it_was(
    model: MultiExitClassifier, encoded: Encoded
) -> None:
    for mode in (True, False):
        model.train(mode)
        first, second = predict(model, encoded)[0], predict(model, encoded)[0]
        assert np.array_equal(first, second)
        assert model.training is mode


def test_a_trace_holds_what_the_model_said_and_what_the_data_set_knows(
    model: MultiExitClassifier, encoded: Encoded, dataset: Dataset
) -> None:
    logits, embeddings = predict(model, encoded)
    trace = record_trace(model, dataset, encoded, split="test", fingerprint="f" * 64)
    odds = np.exp(logits[..., 1].astype(np.float64) - logits[..., 0])
    np.testing.assert_allclose(trace.probabilities[..., 1], odds / (1 + odds), atol=1e-6)
    assert np.array_equal(trace.embeddings, embeddings)
    assert np.array_equal(trace.labels, dataset.labels)
    assert np.array_equal(trace.lengths, encoded.lengths)
    assert np.array_equal(trace.extra["rating"], dataset.extra["rating"])
    assert (trace.exits, trace.tiers) == ((1, 2, 4), (1, 2, 4))
    assert (trace.guids, trace.label_names) == (dataset.guids, dataset.label_names)
    assert (trace.task, trace.split, trace.metric) == ("csv:x", "test", "f1")
    assert trace.model == "f" * 64
