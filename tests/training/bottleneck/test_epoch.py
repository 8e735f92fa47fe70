"""What a bottleneck's training changes, what it leaves alone, and its losses beside plain loops."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dimec.base.errors import ConfigError, DivergedError
from dimec.base.progress import NoProgress
from dimec.runs.bottleneck import BottleneckSchedule, Objective
from dimec.training import MultiExitClassifier, MultiExitConfig
from dimec.training.batching import Encoded
from dimec.training.bottleneck.code import Bottleneck
from dimec.training.bottleneck.epoch import (
    BottleneckedModel,
    answer,
    answer_loss,
    batch_loss,
    behind_logits,
    hidden_distance,
    make_optimizer,
    set_dropout,
    train_epoch,
)
from support.encoders import KINDS, WIDTH, WORDS, make_encoder

LAYERS, SPLIT, CLASSES = 4, 2, 3
APART = [kind for kind in KINDS if kind != "albert"]  # layers that can be told apart


def make_model(kind: str = "bert", dropout: float = 0.0) -> MultiExitClassifier:
    encoder = make_encoder(kind, LAYERS)
    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
    config = MultiExitConfig(
        encoder=encoder.config,
        exits=[1, 2, 3, 4],
        tiers=[2, 3, 4],
        head_dropout=dropout,
        id2label={code: f"class {code}" for code in range(CLASSES)},
    )
    torch.manual_seed(1)
    model = MultiExitClassifier(config, encoder)
    for parameter in model.heads.parameters():
        torch.nn.init.normal_(parameter)
    model.eval()
    return model


def make_encoded(rows: int = 12, seed: int = 0, pad: int = 0) -> Encoded:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, 11, rows)
    tokens = rng.integers(5, WORDS, lengths.sum()).astype(np.int32)
    offsets = np.cumsum([0, *lengths]).astype(np.int64)
    return Encoded({"input_ids": tokens}, offsets, {"input_ids": pad})


def make_inputs(rows: int = 6) -> dict[str, Tensor]:
    return make_encoded(rows).batch(np.arange(rows), torch.device("cpu"))


def make_student(
    model: MultiExitClassifier, width: int = 3, bits: int = 4, layer: int = SPLIT
) -> BottleneckedModel:
    student = BottleneckedModel(model, Bottleneck(WIDTH, width, bits), layer)
    with torch.no_grad():
        hidden = answer(model, make_inputs())[1][layer - 1]
    student.bottleneck.start_from(hidden.flatten(0, 1).double().numpy())
    return student


def make_schedule(
    objective: Objective = "task", train_tail: bool = False, **others: Any
) -> BottleneckSchedule:
    values = {"epochs": 4, "batch_size": 4, "learning_rate": 1e-2, "tail_learning_rate": 1e-3}
    return BottleneckSchedule(objective, train_tail, **{**values, "seed": 0, **others})


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
