"""Gradual magnitude pruning: its schedule, which weights go, and that they stay gone."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dimec.base.errors import DivergedError
from dimec.base.progress import NoProgress
from dimec.training.compression.magnitude import (
    PruningEpochs,
    PruningSchedule,
    end_pruning,
    make_optimizer,
    prune_to,
    share_left,
    start_pruning,
    train_epoch,
)
from dimec.training.compression.operations import linear_layers
from dimec.training.model import MultiExitClassifier
from support.compressing import LABELS, ROWS, make_encoded, make_model


def plan_of(epochs: int = 2, final: float = 0.75, times: int = 3) -> PruningEpochs:
    schedule = PruningSchedule.over(final, epochs * 3, times)
    return PruningEpochs(schedule, epochs, 4, 1e-2, seed=0)


def trained(model: MultiExitClassifier, plan: PruningEpochs) -> list[float]:
    layers, losses = linear_layers(model), []
    start_pruning(layers)
    optimizer = make_optimizer(model, plan.learning_rate, 0.01)
    for epoch in range(plan.epochs):
        rows = (make_encoded(), LABELS)
        losses.append(train_epoch(model, layers, optimizer, plan, epoch, rows, NoProgress()))
    return losses


def test_the_schedule_is_equation_1_by_hand() -> None:
    """From 0.2 to 0.8 in n = 3 steps of 10, from step 5 on: what is left falls as a cube."""
    schedule = PruningSchedule(0.8, every=10, times=3, initial=0.2, begin=5)
    table = {
        0: 0.2,
        5: 0.2,
        14: 0.2,
        15: 0.8 - 0.6 * 8 / 27,
        24: 0.8 - 0.6 * 8 / 27,
        25: 0.8 - 0.6 * 1 / 27,
        35: 0.8,
        36: 0.8,
        1000: 0.8,
    }
    for step, sparsity in table.items():
        assert schedule.sparsity(step) == pytest.approx(sparsity), step


@given(st.floats(0.01, 0.99), st.integers(2, 5000), st.integers(1, 200))
def test_it_is_at_the_end_when_half_of_the_steps_are_done(
    final: float, steps: int, times: int
) -> None:
    schedule = PruningSchedule.over(final, steps, times)
    shares = [schedule.sparsity(step) for step in range(steps)]
    assert shares[0] == pytest.approx(0)
    assert shares == sorted(shares)
    assert shares[steps // 2 :] == [final] * (steps - steps // 2)


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.937, 1.0])
def test_the_smallest_weights_go_and_exactly_so_many(sparsity: float) -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(7, 5), nn.Linear(3, 11)]
    before = [layer.weight.detach().clone() for layer in layers]
    start_pruning(layers)
    for share in (sparsity / 3, sparsity):  # on the way there, and there
        prune_to(layers, share)
    end_pruning(layers)
    for layer, old in zip(layers, before, strict=True):
        ranked = sorted(old.abs().flatten().tolist())
        gone = round(sparsity * old.numel())
        for new, value in zip(layer.weight.flatten().tolist(), old.flatten().tolist(), strict=True):
            assert new == (0.0 if ranked.index(abs(value)) < gone else value)
    total = sum(round(sparsity * old.numel()) for old in before)
    assert share_left(layers) == pytest.approx(1 - total / (35 + 33))


def test_less_than_what_is_gone_brings_nothing_back() -> None:
    layer = nn.Linear(8, 8)
    start_pruning([layer])
    prune_to([layer], 0.5)
    mask = layer.get_buffer("weight_mask").clone()
    prune_to([layer], 0.25)
    assert torch.equal(layer.get_buffer("weight_mask"), mask)


def test_a_weight_that_is_gone_stays_zero_while_others_learn() -> None:
    model, plan = make_model(), plan_of()
    layers = linear_layers(model)
    start_pruning(layers)
    prune_to(layers, 0.5)
    gone = [layer.get_buffer("weight_mask") == 0 for layer in layers]
    before = [layer.weight.detach().clone() for layer in layers]
    optimizer = make_optimizer(model, plan.learning_rate, 0.01)
    for epoch in range(2):
        train_epoch(model, layers, optimizer, plan, epoch, (make_encoded(), LABELS), NoProgress())
        assert all((one.weight[where] == 0).all() for one, where in zip(layers, gone, strict=True))
    end_pruning(layers)
    for layer, where, old in zip(layers, gone, before, strict=True):
        assert (layer.weight[where] == 0).all()
        moved = (layer.weight != old) & ~where
        assert moved.any()
        assert int((layer.weight == 0).sum()) == round(0.75 * where.numel())


def test_what_is_zero_is_zero_when_it_is_loaded_again(tmp_path: Path) -> None:
    model = make_model()
    trained(model, plan_of())
    end_pruning(linear_layers(model))
    model.save_pretrained(tmp_path)
    again = MultiExitClassifier.from_pretrained(tmp_path)
    assert share_left(linear_layers(again)) == share_left(linear_layers(model))
    inputs = make_encoded().batch(np.arange(ROWS), model.device)
    with torch.no_grad():
        assert torch.equal(again.eval()(**inputs).logits, model.eval()(**inputs).logits)


def test_the_embeddings_and_the_classifiers_are_not_pruned() -> None:
    model: Any = make_model()
    pruned = {id(layer) for layer in linear_layers(model)}
    assert not pruned & {id(head) for head in model.heads.values()}
    trained(model, plan_of())
    assert (model.encoder.get_input_embeddings().weight[5:] != 0).all()
    assert all((head.weight != 0).all() for head in model.heads.values())


def test_the_loss_is_the_last_exits_and_the_others_learn_nothing() -> None:
    model: Any = make_model()
    first, last = (copy.deepcopy(model.heads[layer].state_dict()) for layer in ("1", "2"))
    losses = trained(model, plan_of(epochs=8, final=0.25))
    assert losses[-1] < losses[0]
    assert torch.equal(model.heads["1"].weight, first["weight"])
    assert not torch.equal(model.heads["2"].weight, last["weight"])


def test_an_epoch_is_the_same_whatever_came_before() -> None:
    losses = []
    for noise in (1, 2):
        model = make_model()
        torch.manual_seed(noise)
        losses.append(trained(model, plan_of()))
    assert losses[0] == losses[1]


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    model: Any = make_model()
    with torch.no_grad():
        model.heads["2"].weight.fill_(float("inf"))
    with pytest.raises(DivergedError, match=r"epoch 1.*below 0\.01"):
        trained(model, plan_of())
