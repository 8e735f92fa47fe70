"""Heads by importance: beside finite differences, and gone in every architecture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from dimec.base.progress import NoProgress
from dimec.training.compression.heads import (
    by_layer,
    choose_heads,
    head_importance,
    least_important,
    masked_heads,
    remove_heads,
    wanted_heads,
)
from dimec.training.compression.operations import attention_outputs
from dimec.training.model import MultiExitClassifier
from support.compressing import APART, LABELS, ROWS, make_encoded, make_model

LAYERS, HEADS = 2, 2
ALL = np.ones((LAYERS, HEADS), bool)


def loss_of(model: MultiExitClassifier, row: int, masks: np.ndarray) -> float:
    """Cross-entropy of one text at the last exit, in double precision."""
    inputs = make_encoded().batch(np.array([row]), model.device)
    given = [torch.tensor(mask, dtype=torch.float64)[None] for mask in masks]
    with torch.no_grad(), masked_heads(attention_outputs(model), given):
        logits = model(**inputs).logits[:, -1]
    return float(nn.functional.cross_entropy(logits, torch.tensor(LABELS[row : row + 1])))


@pytest.mark.parametrize("kept", [ALL, np.array([[True, False], [True, True]])])
def test_the_importance_is_that_of_finite_differences_text_by_text(kept: np.ndarray) -> None:
    model, step = make_model(), 1e-5
    got = head_importance(model, kept, (make_encoded(), LABELS), NoProgress())
    exact, wanted = model.double(), np.zeros(kept.shape)
    for layer, head in np.ndindex(*kept.shape):
        for row in range(ROWS):
            up, down = kept.astype(float), kept.astype(float)
            up[layer, head] += step
            down[layer, head] -= step
            slope = (loss_of(exact, row, up) - loss_of(exact, row, down)) / (2 * step)
            wanted[layer, head] += abs(slope) / ROWS
    for layer in range(LAYERS):
        wanted[layer] /= sum(value**2 for value in wanted[layer]) ** 0.5
    np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-6)


def test_a_layer_whose_heads_do_nothing_has_no_importance() -> None:
    table = by_layer(np.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(table, [[0.6, 0.8], [0.0, 0.0]])


@pytest.mark.parametrize("kind", APART)
def test_a_head_that_was_removed_is_one_whose_mask_is_nought(kind: str) -> None:
    model = make_model(kind)
    kept = np.array([[False, True], [True, False]])
    inputs = make_encoded().batch(np.arange(ROWS), model.device)
    with torch.no_grad():
        whole = model(**inputs).logits
        masks = [torch.tensor(row, dtype=torch.float32)[None] for row in kept]
        with masked_heads(attention_outputs(model), masks):
            wanted = model(**inputs).logits
        remove_heads(model, kept)
        got = model(**inputs).logits
    torch.testing.assert_close(got, wanted)
    assert not torch.allclose(got, whole, atol=1e-4)
    assert not any("orig" in name for name in model.state_dict())


def test_the_least_important_go_and_the_last_of_a_layer_stays() -> None:
    importance = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.05]])
    kept = np.ones((2, 3), bool)
    two = least_important(importance, kept, 2)
    assert two.tolist() == [[False, True, True], [True, True, False]]
    # Of those that are left, 0.2 and then 0.4: the first layer has one head only by then.
    assert least_important(importance, two, 2).tolist() == [
        [False, False, True],
        [False, True, False],
    ]
    assert least_important(importance, kept, 6).sum(axis=1).tolist() == [1, 1]
    assert kept.all()


@pytest.mark.parametrize(
    ("sparsity", "count"), [(0.01, 1), (0.25, 3), (0.26, 4), (2 / 3, 8), (0.9, 8), (1.4, 8)]
)
def test_so_many_go_but_for_one_of_each_layer(sparsity: float, count: int) -> None:
    assert wanted_heads(sparsity, 4, 3) == count


def test_importances_are_computed_anew_after_each_tenth() -> None:
    """By hand: the least important of all heads, then of those that are left."""
    model, rows, told = make_model(), (make_encoded(), LABELS), NoProgress()
    kept = ALL
    for _ in range(2):
        importance = head_importance(model, kept, rows, told)
        free = [
            (importance[layer, head], layer, head)
            for layer, head in np.ndindex(*ALL.shape)
            if kept[layer, head] and kept[layer].sum() > 1
        ]
        kept = kept.copy()
        kept[min(free)[1:]] = False
    assert kept.sum(axis=1).tolist() == [1, 1]
    assert np.array_equal(choose_heads(model, 1.0, rows, told), kept)
