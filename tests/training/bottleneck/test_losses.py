"""What a bottleneck is trained to: every loss against one that is written out by hand."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

from dimec.base.progress import NoProgress
from dimec.runs.bottleneck import Objective
from dimec.training.bottleneck.epoch import make_optimizer, train_epoch
from dimec.training.bottleneck.losses import answer_loss, batch_loss, hidden_distance
from support.bottlenecks import (
    CLASSES,
    LAYERS,
    SPLIT,
    make_encoded,
    make_inputs,
    make_model,
    make_schedule,
    make_student,
)
from support.encoders import WIDTH


def test_the_distance_is_that_of_real_tokens_alone() -> None:
    torch.manual_seed(0)
    ours, theirs = torch.randn(3, 2, 5, 4), torch.randn(3, 2, 5, 4)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    got = hidden_distance(list(ours), list(theirs), mask)
    for text, tokens in enumerate((5, 2)):
        total = 0.0
        for layer in range(3):
            for token in range(tokens):
                for d in range(4):
                    apart = ours[layer, text, token, d] - theirs[layer, text, token, d]
                    total += apart.item() ** 2
        assert got[text].item() == pytest.approx(total / tokens, rel=1e-5)


def test_the_distance_to_oneself_is_nought() -> None:
    model, inputs = make_model(), make_inputs()
    student, schedule = make_student(model, WIDTH, 32), make_schedule("distil")
    labels = torch.zeros(6, dtype=torch.int64)
    with torch.no_grad():
        loss = batch_loss(student, copy.deepcopy(model), schedule, 0, inputs, labels)
        assert float(loss.max()) < 1e-6
        student = make_student(model, 1, 1)
        loss = batch_loss(student, copy.deepcopy(model), schedule, 0, inputs, labels)
        assert float(loss.min()) > 1e-2


def test_every_layer_from_the_split_on_counts_in_the_distance() -> None:
    """The loss of the first stage, put together from hidden states that are taken by hand."""
    model, inputs = make_model(), make_inputs()
    student, schedule = make_student(model, 2, 3), make_schedule("distil")
    labels = torch.zeros(6, dtype=torch.int64)
    with torch.no_grad():
        loss = batch_loss(student, copy.deepcopy(model), schedule, 0, inputs, labels)
        whole = model.encoder(**inputs, output_hidden_states=True).hidden_states
        with student.spliced():
            behind = model.encoder(**inputs, output_hidden_states=True).hidden_states
        pairs = [(student.bottleneck(whole[SPLIT]), whole[SPLIT])]
    pairs += [(behind[layer], whole[layer]) for layer in range(SPLIT + 1, LAYERS + 1)]
    assert len(pairs) == 3
    for text, tokens in enumerate(inputs["attention_mask"].sum(dim=1).tolist()):
        total = sum(
            float(((ours[text, t] - theirs[text, t]) ** 2).sum())
            for ours, theirs in pairs
            for t in range(tokens)
        )
        assert loss[text].item() == pytest.approx(total / tokens, rel=1e-4)


def test_the_loss_of_answers_is_half_the_labels_and_half_the_models() -> None:
    torch.manual_seed(0)
    logits, wanted, labels = torch.randn(4, 3), torch.randn(4, 3), torch.tensor([0, 2, 1, 1])

    def odds(row: list[float]) -> list[float]:
        total = sum(math.exp(z) for z in row)
        return [math.exp(z) / total for z in row]

    both, alone = answer_loss(logits, labels, wanted), answer_loss(logits, labels)
    for i in range(4):
        p, q = odds(logits[i].tolist()), odds(wanted[i].tolist())
        entropy = -math.log(p[int(labels[i])])
        divergence = sum(b * math.log(b / a) for a, b in zip(p, q, strict=True))
        assert alone[i].item() == pytest.approx(entropy, rel=1e-5)
        assert both[i].item() == pytest.approx(0.5 * entropy + 0.5 * divergence, rel=1e-5)


class TestTheLossAtTheSplit:
    """Reconstruction, and head-network distillation: what tells them apart is what learns."""

    @pytest.mark.parametrize("objective", ["reconstruction", "head-distillation"])
    @pytest.mark.parametrize("stage", [0, 1])
    def test_it_is_the_distance_to_the_original_hidden_states(
        self, objective: Objective, stage: int
    ) -> None:
        model, inputs = make_model(), make_inputs()
        teacher = copy.deepcopy(model) if objective == "head-distillation" else None
        student, schedule = make_student(model), make_schedule(objective)
        with torch.no_grad():
            wanted = model.encoder(**inputs, output_hidden_states=True).hidden_states[SPLIT]
            if objective == "head-distillation":  # a head that is no longer the original
                next(iter(student.before.parameters())).add_(0.1)
            own = model.encoder(**inputs, output_hidden_states=True).hidden_states[SPLIT]
            apart = (student.bottleneck(own) - wanted) ** 2
            labels = torch.zeros(6, dtype=torch.int64)
            loss = batch_loss(student, teacher, schedule, stage, inputs, labels)
        for text, tokens in enumerate(inputs["attention_mask"].sum(dim=1).tolist()):
            by_hand = sum(float(apart[text, t].sum()) for t in range(tokens)) / tokens
            assert loss[text].item() == pytest.approx(by_hand, rel=1e-4)

    @pytest.mark.parametrize("objective", ["reconstruction", "head-distillation"])
    def test_the_code_learns_and_of_the_layers_the_altered_heads_alone(
        self, objective: Objective
    ) -> None:
        model = make_model(dropout=0.1)
        teacher = copy.deepcopy(model) if objective == "head-distillation" else None
        student, schedule = make_student(model), make_schedule(objective, epochs=2)
        before = {name: value.clone() for name, value in student.state_dict().items()}
        rows, moved = (make_encoded(), np.arange(12) % CLASSES), []
        for epoch in range(2):
            optimizer = make_optimizer(student, schedule, schedule.stage(epoch))
            train_epoch(student, teacher, optimizer, schedule, epoch, rows, NoProgress())
            now = student.state_dict()
            moved.append({name for name in now if not torch.equal(now[name], before[name])})
        stored = student.trained(tail=False, front=objective == "head-distillation")
        own = {id(value) for value in stored.parameters()}
        named = student.named_parameters(remove_duplicate=False)
        learnt = {name for name, parameter in named if id(parameter) in own}
        assert all("bottleneck." in name for name in moved[0])
        front = {name for name in moved[1] if name.startswith("before.")}
        assert bool(front) == (objective == "head-distillation")
        assert not any(name.startswith(("behind.", "head.", "model.heads")) for name in moved[1])
        assert {n for n in moved[1] if n.startswith(("before.", "bottleneck."))} <= learnt
        if teacher is not None:
            assert not any(parameter.grad is not None for parameter in teacher.parameters())

    def test_a_head_that_may_change_comes_nearer(self) -> None:
        """Once the mobile learns too, the distance falls below what the code alone reached."""
        model, losses = make_model(), []
        schedule = make_schedule("head-distillation", epochs=16)
        student, teacher = make_student(model, 3, 8), copy.deepcopy(model)
        rows = (make_encoded(24), np.arange(24) % CLASSES)
        for epoch in range(schedule.epochs):
            if epoch in (0, schedule.first_stage):
                optimizer = make_optimizer(student, schedule, schedule.stage(epoch))
            losses.append(
                train_epoch(student, teacher, optimizer, schedule, epoch, rows, NoProgress())
            )
        assert losses[-1] < 0.99 * losses[schedule.first_stage - 1]
