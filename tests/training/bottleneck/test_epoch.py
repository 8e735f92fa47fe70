"""What a bottleneck's training changes, what it leaves alone, and its losses beside plain loops."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dimec.base.errors import ConfigError, DivergedError
from dimec.base.progress import NoProgress
from dimec.runs.bottleneck import Objective
from dimec.training import MultiExitClassifier
from dimec.training.bottleneck.epoch import (
    behind_logits,
    make_optimizer,
    set_dropout,
    train_epoch,
)
from dimec.training.bottleneck.losses import batch_loss
from dimec.training.bottleneck.spliced import BottleneckedModel, answer
from support.bottlenecks import (
    CLASSES,
    SPLIT,
    make_encoded,
    make_inputs,
    make_model,
    make_schedule,
    make_student,
)
from support.encoders import KINDS, WIDTH

APART = [kind for kind in KINDS if kind != "albert"]  # layers that can be told apart


def state_of(student: BottleneckedModel) -> dict[str, Tensor]:
    """Every parameter once, by the name of the part that it belongs to."""
    names: dict[int, str] = {}
    for name, parameter in student.bottleneck.named_parameters():
        names[id(parameter)] = f"bottleneck.{name}"
    for name, parameter in student.behind.named_parameters():
        names[id(parameter)] = f"tail.{name}"
    for name, parameter in student.head.named_parameters():
        names[id(parameter)] = f"head.{name}"
    for name, parameter in student.model.named_parameters():
        names.setdefault(id(parameter), f"frozen.{name}")
    every = {id(parameter): parameter for parameter in student.parameters()}
    return {names[key]: parameter for key, parameter in every.items()}


def final_norm(model: MultiExitClassifier) -> Any:
    """What some encoders (ModernBERT, T5) have behind their last layer."""
    encoder: Any = model.encoder
    norm = getattr(encoder, "final_norm", None)
    norm = norm or getattr(getattr(encoder, "encoder", None), "final_layer_norm", None)
    return norm or torch.nn.Identity()


def test_layers_that_share_their_weights_are_refused() -> None:
    with pytest.raises(ConfigError, match="ALBERT's layers share their weights"):
        make_student(make_model("albert"))


class TestTheSplice:
    @pytest.mark.parametrize("kind", APART)
    @pytest.mark.parametrize("layer", [1, 2, 3])
    def test_the_full_width_without_quantising_is_the_model_itself(
        self, kind: str, layer: int
    ) -> None:
        model, inputs = make_model(kind), make_inputs()
        with torch.no_grad():
            wanted = model(**inputs).logits
            student = make_student(model, WIDTH, 32, layer)
            with student.spliced() as spliced:
                got = spliced(**inputs).logits
                torch.testing.assert_close(answer(spliced, inputs)[0], got[:, -1])
        torch.testing.assert_close(got, wanted, rtol=0, atol=2e-4)

    @pytest.mark.parametrize("kind", APART)
    def test_exits_up_to_the_split_stay_bit_for_bit_and_later_ones_change(self, kind: str) -> None:
        model, inputs = make_model(kind), make_inputs()
        with torch.no_grad():
            wanted = model(**inputs).logits
            student = make_student(model, 2, 2)
            with student.spliced() as spliced:
                got = spliced(**inputs).logits
            after = model(**inputs).logits
        assert torch.equal(got[:, :SPLIT], wanted[:, :SPLIT])
        assert ((got - wanted).abs().amax(dim=(0, 2))[SPLIT:] > 1e-3).all()
        assert torch.equal(after, wanted)  # nothing is left behind
        assert student.restored is None

    @pytest.mark.parametrize("kind", APART)
    def test_it_is_the_layers_behind_run_on_what_the_code_kept(self, kind: str) -> None:
        """The layers behind, called one by one on the restored hidden states, give the same."""
        model, inputs = make_model(kind), make_inputs()
        student = make_student(model, 3, 3)
        seen: list[Any] = []
        with torch.no_grad(), student.spliced() as spliced:
            # Behind the splice's own hook, so that it sees what the first layer gets; each may get
            # a mask of its own.
            handles = [
                layer.register_forward_pre_hook(
                    lambda _, args, kwargs: seen.append((args, kwargs)), with_kwargs=True
                )
                for layer in student.behind
            ]
            hidden = answer(spliced, inputs)[1]
            for handle in handles:
                handle.remove()
        with torch.no_grad():
            before = answer(model, inputs)[1][SPLIT - 1]
            state = seen[0][0][0]
            assert torch.equal(state, student.bottleneck(before))
            assert not torch.allclose(state, before, atol=0.1)
            for layer, wanted, given in zip(student.behind, hidden[SPLIT:], seen, strict=True):
                (_, *rest), options = given
                output = layer(state, *rest, **options)
                state = output[0] if isinstance(output, tuple) else output
                last = layer is student.behind[-1]
                torch.testing.assert_close(final_norm(model)(state) if last else state, wanted)
        assert torch.equal(hidden[SPLIT - 1], before)


class TestWhatIsTrained:
    @pytest.mark.parametrize("tail", [False, True])
    @pytest.mark.parametrize("objective", ["task", "distil"])
    @pytest.mark.parametrize("stage", [0, 1])
    def test_gradients_flow_where_the_stage_says_and_nowhere_else(
        self, objective: Objective, stage: int, tail: bool
    ) -> None:
        model = make_model()
        teacher = copy.deepcopy(model) if objective == "distil" else None
        student, schedule = make_student(model), make_schedule(objective, tail)
        before = {name: value.clone() for name, value in state_of(student).items()}
        optimizer = make_optimizer(student, schedule, stage)
        labels = torch.arange(6) % CLASSES
        batch_loss(student, teacher, schedule, stage, make_inputs(), labels).mean().backward()  # type: ignore[no-untyped-call]
        got = {n for n, p in state_of(student).items() if p.grad is not None and p.grad.any()}
        wanted = {"bottleneck.up.weight", "bottleneck.up.bias"}
        if (objective, stage) != ("distil", 1):
            wanted |= {"bottleneck.down.weight", "bottleneck.down.bias", "bottleneck.log_range"}
        if stage == 1 and tail:
            # A bias of keys shifts all of a query's scores alike: its gradient is zero but for
            # rounding, so whether it has one says nothing.
            keys = {n for n in before if n.endswith("key.bias")}
            wanted |= {n for n in before if n.startswith(("tail.", "head."))} - keys
            got -= keys
        assert got == wanted
        optimizer.step()
        moved = {n for n, p in state_of(student).items() if not torch.equal(p, before[n])}
        assert wanted <= moved
        assert not any(name.startswith("frozen.") for name in moved)
        assert not any(p.requires_grad for n, p in state_of(student).items() if "frozen." in n)
        if teacher is not None:
            assert all(parameter.grad is None for parameter in teacher.parameters())

    @pytest.mark.parametrize("objective", ["task", "distil"])
    def test_the_mobiles_exit_answers_as_before_after_training(self, objective: Objective) -> None:
        model, inputs = make_model(dropout=0.1), make_inputs()
        with torch.no_grad():
            wanted = model(**inputs).logits
        teacher = copy.deepcopy(model) if objective == "distil" else None
        student, schedule = make_student(model), make_schedule(objective, True, epochs=2)
        rows = (make_encoded(), np.arange(12) % CLASSES)
        for epoch in range(2):
            optimizer = make_optimizer(student, schedule, schedule.stage(epoch))
            train_epoch(student, teacher, optimizer, schedule, epoch, rows, NoProgress())
        model.eval()
        with torch.no_grad():
            got = model(**inputs).logits
        assert torch.equal(got[:, :SPLIT], wanted[:, :SPLIT])
        assert not torch.equal(got[:, -1], wanted[:, -1])

    def test_dropout_is_on_where_the_tail_is_trained_alone(self) -> None:
        student = make_student(make_model(dropout=0.1))
        for stage in (0, 1):
            for tail in (False, True):
                set_dropout(student, make_schedule(train_tail=tail), stage)
                on = stage == 1 and tail
                trained = {id(module) for module in student.behind.modules()}
                trained.add(id(student.model.dropout))
                for module in student.modules():
                    if isinstance(module, torch.nn.Dropout):
                        assert module.training == (on and id(module) in trained)

    def test_a_pass_over_the_validation_split_does_not_end_dropout(self) -> None:
        """Two epochs of a stage have the same modes, though a pass in between turns all off."""
        student, schedule = (
            make_student(make_model(dropout=0.3)),
            make_schedule(train_tail=True, epochs=4),
        )
        rows, losses = (make_encoded(), np.arange(12) % CLASSES), []
        start = copy.deepcopy(student.state_dict())
        for between in (False, True):
            student.load_state_dict(start)
            if between:
                behind_logits(student, rows[0], NoProgress(), "")
            optimizer = make_optimizer(student, schedule, 1)
            losses.append(train_epoch(student, None, optimizer, schedule, 3, rows, NoProgress()))
        assert losses[0] == losses[1]


@pytest.mark.parametrize("objective", ["task", "distil"])
def test_training_lowers_the_loss_of_each_stage(objective: Objective) -> None:
    model = make_model()
    teacher = copy.deepcopy(model) if objective == "distil" else None
    student, schedule = make_student(model, 2, 8), make_schedule(objective, epochs=12)
    rows = (make_encoded(24), np.arange(24) % CLASSES)
    losses = []
    for epoch in range(schedule.epochs):
        if epoch in (0, schedule.first_stage):
            optimizer = make_optimizer(student, schedule, schedule.stage(epoch))
        losses.append(train_epoch(student, teacher, optimizer, schedule, epoch, rows, NoProgress()))
    assert losses[5] < 0.95 * losses[0]
    assert losses[11] < losses[6]


def test_an_epoch_is_the_same_whatever_came_before() -> None:
    rows = (make_encoded(), np.arange(12) % CLASSES)
    losses = []
    for noise in (1, 2):
        student, schedule = make_student(make_model(dropout=0.2)), make_schedule(train_tail=True)
        optimizer = make_optimizer(student, schedule, 1)
        torch.manual_seed(noise)
        losses.append(train_epoch(student, None, optimizer, schedule, 2, rows, NoProgress()))
    assert losses[0] == losses[1]


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    student, schedule = make_student(make_model()), make_schedule()
    with torch.no_grad():
        student.bottleneck.up.weight.fill_(float("inf"))
    rows = (make_encoded(), np.arange(12) % CLASSES)
    with pytest.raises(DivergedError, match=r"epoch 1.*below 0\.01"):
        train_epoch(
            student, None, make_optimizer(student, schedule, 0), schedule, 0, rows, NoProgress()
        )


@pytest.mark.parametrize(("epochs", "stages"), [(2, [0, 1]), (3, [0, 0, 1]), (4, [0, 0, 1, 1])])
def test_the_first_half_of_the_epochs_is_the_first_stage(epochs: int, stages: list[int]) -> None:
    schedule = make_schedule(epochs=epochs)
    assert [schedule.stage(epoch) for epoch in range(epochs)] == stages
    assert [schedule.stage_epochs(stage) for stage in (0, 1)] == [stages.count(0), stages.count(1)]


def test_the_learning_rate_falls_to_zero_in_each_stage() -> None:
    student, schedule = (
        make_student(make_model()),
        make_schedule(train_tail=True, epochs=4, batch_size=6),
    )
    rows, seen = (make_encoded(12), np.arange(12) % CLASSES), []
    for epoch in range(4):
        if epoch in (0, 2):
            optimizer = make_optimizer(student, schedule, schedule.stage(epoch))
        step = optimizer.step

        def watched(step: Any = step, optimizer: Any = optimizer) -> None:
            seen.append([group["lr"] for group in optimizer.param_groups])
            step()

        optimizer.step = watched  # type: ignore[method-assign, assignment]
        train_epoch(student, None, optimizer, schedule, epoch, rows, NoProgress())
        optimizer.step = step  # type: ignore[method-assign]
    falling = [1.0, 0.75, 0.5, 0.25]  # two steps an epoch, two epochs a stage
    np.testing.assert_allclose([rates[0] for rates in seen], [1e-2 * f for f in falling * 2])
    assert [len(rates) for rates in seen] == [1] * 4 + [2] * 4
    np.testing.assert_allclose([rates[1] for rates in seen[4:]], [1e-3 * f for f in falling])
