"""One epoch of training a bottleneck inside a trained model: stages, losses, what is frozen.

The layers up to the split, the mobile's, run without dropout, and but for ``head-distillation``
stay as they are: the mobile tier that answers by itself must be the one that feeds the bottleneck.
Each objective has two stages, the first half of the epochs and the rest; each stage starts an Adam
of its own, whose learning rate falls linearly to zero.

``task``, after BottleNet++ (arXiv 1910.14315; its authors' code has three phases: the model, then
encoder and decoder with the model frozen, then all together): the cross-entropy of the last exit
throughout. First the bottleneck alone; then, with ``train_tail``, the layers behind the split and
the last exit with it. BottleNet++ trains the layers before the split as well.

``distil``, after BottleFit (arXiv 2201.02693, and the configurations in its authors' repository):
first the bottleneck alone learns the full model's hidden states at the split and after every layer
behind it, by their squared distance; then, the way down frozen, the way up, and with ``train_tail``
the layers behind it, learn the labels and the full model's answers, half of the cross-entropy and
half of KL(full model ‖ bottleneck) at temperature 1. BottleFit trains the layers behind always.

``reconstruction``, after CDE (Yao et al., Deep compressive offloading, SenSys 2020): the bottleneck
alone learns to give back the hidden states at the split, by their squared distance, in both stages.
Neither labels nor answers are looked at, and no layer changes.

``head-distillation``, after HND (Matsubara et al., 2020, arXiv 2007.15818): an altered
head, with the bottleneck in it, learns to give the original head's output, again by the squared
distance at the split, and the tail stays frozen. With the bottleneck at the very end of the head
that is reconstruction, unless the head itself may change. So it does: first the bottleneck alone,
then the mobile's layers with it (the embeddings stay). The target is always the original head's.
What the altered layers say by themselves is no exit of the run's any more: the mobile runs them for
the code alone. In the papers the bottleneck lies earlier in the head, and the head is smaller than
the original; here its layers are as many, so that what a code costs is what it costs the others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from dimec.base.errors import DivergedError
from dimec.base.metrics import accuracy, confusion_matrix, score
from dimec.base.progress import Progress
from dimec.data import Dataset
from dimec.runs.bottleneck import AT_THE_SPLIT, BottleneckSchedule
from dimec.training.batching import Encoded, training_batches
from dimec.training.bottleneck.code import Bottleneck
from dimec.training.encoders import layer_list
from dimec.training.inference import cross_entropy, predict
from dimec.training.model import MultiExitClassifier, pool

MAX_GRAD_NORM = 1.0
_REPORT_EVERY = 10  # steps


@dataclass(frozen=True)
class BottleneckEpoch:
    """What one epoch did.

    Attributes:
        epoch: from 0.
        stage: what was learnt, see :meth:`BottleneckSchedule.stage_name`.
        loss: mean over the training rows.
        seconds: of training.
        validation_seconds: of the pass over the validation split.
        accuracy, metric, validation_loss: of the last exit behind the bottleneck, on the validation
            split; no loss in runs of earlier versions.
    """

    epoch: int
    stage: str
    loss: float
    seconds: float
    validation_seconds: float
    accuracy: float
    metric: float
    validation_loss: float | None = None


class BottleneckedModel(nn.Module):
    """A trained model with a bottleneck at a split, and all of it frozen but what a stage trains.

    Args:
        model: the run's; frozen, and without dropout, from here on.
        bottleneck: fresh or trained.
        layer: m, of the split; the bottleneck stands between the layers m and m + 1.
    """

    def __init__(self, model: MultiExitClassifier, bottleneck: Bottleneck, layer: int) -> None:
        super().__init__()
        self.model = model.requires_grad_(False).eval()
        self.bottleneck = bottleneck
        self.layer = layer
        self.before = layer_list(model.encoder)[:layer]
        self.behind = layer_list(model.encoder)[layer:]
        self.head = model.heads[str(model.exits[-1])]
        self.restored: Tensor | None = None

    def trained(self, tail: bool, front: bool = False) -> nn.ModuleDict:
        """All that training may change.

        The bottleneck; the layers behind it with ``tail``; those before it with ``front``.
        """
        parts: dict[str, nn.Module] = {"bottleneck": self.bottleneck}
        if front:
            parts["front"] = self.before
        if tail:
            parts |= {"tail": self.behind, "head": self.head}
        return nn.ModuleDict(parts)

    @contextmanager
    def spliced(self) -> Iterator[MultiExitClassifier]:
        """The model with the bottleneck between its layers; without it again behind the block.

        Its exits up to the split answer as ever. What the bottleneck gave back last is kept in
        ``restored``.
        """

        def replace(_: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
            if args:
                self.restored = self.bottleneck(args[0])
                return (self.restored, *args[1:]), kwargs
            self.restored = self.bottleneck(kwargs["hidden_states"])
            return args, {**kwargs, "hidden_states": self.restored}

        # In front of the next layer: what the layer before it hands to its exit stays untouched.
        handle = self.behind[0].register_forward_pre_hook(replace, with_kwargs=True)
        try:
            yield self.model
        finally:
            handle.remove()
            self.restored = None


def answer(
    model: MultiExitClassifier, inputs: dict[str, Tensor]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Logits (B, C) of the last exit, and the hidden states (B, T, D) after each layer."""
    hidden = model.encoder(**inputs, output_hidden_states=True).hidden_states
    last = model.exits[-1]
    pooled = pool(hidden[last], inputs["attention_mask"], model.config.head_pooling)
    return model.heads[str(last)](model.dropout(pooled)), hidden[1:]


def parameter_groups(
    student: BottleneckedModel, schedule: BottleneckSchedule, stage: int
) -> list[dict[str, Any]]:
    """What a stage trains, each group of parameters with its learning rate at the peak."""
    decoder = student.bottleneck.decoder_parameters()
    narrow = [*student.bottleneck.encoder_parameters(), *decoder]
    if stage == 1 and schedule.objective == "distil":
        narrow = decoder
    groups: list[dict[str, Any]] = [{"params": narrow, "peak": schedule.learning_rate}]
    if stage == 1 and schedule.objective == "head-distillation":
        front = list(student.before.parameters())
        groups.append({"params": front, "peak": schedule.tail_learning_rate})
    if stage == 1 and schedule.train_tail:
        tail = [*student.behind.parameters(), *student.head.parameters()]
        groups.append({"params": tail, "peak": schedule.tail_learning_rate})
    return groups


def make_optimizer(
    student: BottleneckedModel, schedule: BottleneckSchedule, stage: int
) -> torch.optim.Optimizer:
    """A fresh Adam over what a stage trains; all else is frozen."""
    groups = parameter_groups(student, schedule, stage)
    student.requires_grad_(False)
    for group in groups:
        for parameter in group["params"]:
            parameter.requires_grad_(True)
    return torch.optim.Adam(groups, lr=schedule.learning_rate)


def set_dropout(student: BottleneckedModel, schedule: BottleneckSchedule, stage: int) -> None:
    """Dropout where the layers behind the split are trained, and nowhere else."""
    tail = stage == 1 and schedule.train_tail
    student.eval()
    student.behind.train(tail)
    student.model.dropout.train(tail)


def hidden_distance(
    restored: Sequence[Tensor], wanted: Sequence[Tensor], attention_mask: Tensor
) -> Tensor:
    """(B,) squared distance of hidden states, summed over layers, averaged over a text's tokens.

    BottleFit sums over the batch as well; for Adam that is a matter of scale alone.

    Args:
        restored: of each layer (B, T, D), behind the bottleneck.
        wanted: the same of the full model.
        attention_mask: (B, T), 1 at real tokens.
    """
    weights = attention_mask.to(restored[0].dtype)
    apart = sum(
        (((a - b) ** 2).sum(dim=-1) for a, b in zip(restored, wanted, strict=True)),
        start=torch.zeros_like(weights),
    )
    return (apart * weights).sum(dim=1) / weights.sum(dim=1)


def answer_loss(logits: Tensor, labels: Tensor, wanted: Tensor | None = None) -> Tensor:
    """(B,) cross-entropy; with the full model's logits half of it, and half of their divergence.

    Args:
        logits: (B, C).
        labels: (B,) right codes.
        wanted: (B, C) logits of the full model, for ½·CE + ½·KL(full model ‖ bottleneck).
    """
    task = nn.functional.cross_entropy(logits, labels, reduction="none")
    if wanted is None:
        return task
    divergence = nn.functional.kl_div(
        logits.log_softmax(dim=1), wanted.log_softmax(dim=1), reduction="none", log_target=True
    ).sum(dim=1)
    return 0.5 * task + 0.5 * divergence


def batch_loss(
    student: BottleneckedModel,
    teacher: MultiExitClassifier | None,
    schedule: BottleneckSchedule,
    stage: int,
    inputs: dict[str, Tensor],
    labels: Tensor,
) -> Tensor:
    """(B,) loss of a stage.

    The teacher is the full model; ``distil`` and ``head-distillation`` have one.
    """
    with student.spliced() as model:
        logits, hidden = answer(model, inputs)
        if schedule.objective in AT_THE_SPLIT:
            # In front of the bottleneck, where the head itself stays as it is.
            own = hidden[student.layer - 1]
            target = own if teacher is None else head_output(teacher, student.layer, inputs)
            assert student.restored is not None  # the hook has run
            return hidden_distance([student.restored], [target], inputs["attention_mask"])
        if teacher is None:
            return answer_loss(logits, labels)
        with torch.no_grad():
            wanted_logits, wanted = answer(teacher, inputs)
        if stage == 1:
            return answer_loss(logits, labels, wanted_logits)
        assert student.restored is not None  # the hook has run
        ours = [student.restored, *hidden[student.layer :]]
        return hidden_distance(ours, wanted[student.layer - 1 :], inputs["attention_mask"])


@torch.no_grad()
def head_output(model: MultiExitClassifier, layer: int, inputs: dict[str, Tensor]) -> Tensor:
    """(B, T, D) hidden states of a model at a split."""
    return answer(model, inputs)[1][layer - 1]


def train_epoch(
    student: BottleneckedModel,
    teacher: MultiExitClassifier | None,
    optimizer: torch.optim.Optimizer,
    schedule: BottleneckSchedule,
    epoch: int,
    rows: tuple[Encoded, npt.NDArray[np.int64]],
    progress: Progress,
) -> float:
    """One pass over the training rows; returns the mean loss.

    Order and dropout are seeded by (seed, epoch) alone, so that an epoch after an interruption is
    the same as one that was never interrupted.

    Raises:
        DivergedError: the loss is no longer finite.
    """
    encoded, labels = rows
    device, stage = student.model.device, schedule.stage(epoch)
    batches = training_batches(
        encoded.lengths, schedule.batch_size, np.random.default_rng([schedule.seed, epoch])
    )
    torch.manual_seed(int(np.random.SeedSequence([schedule.seed, epoch]).generate_state(1)[0]))
    done = (epoch - stage * schedule.first_stage) * len(batches)
    steps = schedule.stage_epochs(stage) * len(batches)
    total, seen, reported = 0.0, 0, 0
    set_dropout(student, schedule, stage)  # a pass over the validation split leaves all of it off
    progress.start(f"epoch {epoch + 1} of {schedule.epochs}", len(encoded))
    for number, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * (1 - (done + number) / steps)
        inputs = encoded.batch(batch, device)
        gold = torch.from_numpy(labels[batch]).to(device)
        losses = batch_loss(student, teacher, schedule, stage, inputs, gold)
        optimizer.zero_grad()
        losses.mean().backward()  # type: ignore[no-untyped-call]  # untyped in torch
        nn.utils.clip_grad_norm_(
            [p for group in optimizer.param_groups for p in group["params"]], MAX_GRAD_NORM
        )
        optimizer.step()
        total += float(losses.detach().sum())
        seen += len(batch)
        if not math.isfinite(total):
            raise DivergedError(
                f"the bottleneck's loss became infinite or NaN in epoch {epoch + 1}; try a "
                f"learning rate below {schedule.learning_rate:g} (finished epochs are kept)"
            )
        if number % _REPORT_EVERY == 0 or number == len(batches) - 1:
            progress.advance(seen - reported, f"loss {total / seen:.3f}")
            reported = seen
    progress.end()
    return total / len(encoded)


def behind_logits(
    student: BottleneckedModel, encoded: Encoded, progress: Progress, stage: str
) -> npt.NDArray[np.float32]:
    """(N, C) logits of the last exit behind the bottleneck, without dropout."""
    with student.spliced() as model:
        return predict(model, encoded, None, progress, stage)[0][:, -1]


def scores(dataset: Dataset, logits: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Accuracy, and the task's own score, of logits or probabilities (N, C)."""
    confusion = confusion_matrix(dataset.labels, logits.argmax(axis=1), logits.shape[1])
    return accuracy(confusion), score(dataset.metric, confusion)


def run_bottleneck_epoch(
    student: BottleneckedModel,
    teacher: MultiExitClassifier | None,
    optimizer: torch.optim.Optimizer,
    schedule: BottleneckSchedule,
    epoch: int,
    rows: tuple[Encoded, npt.NDArray[np.int64]],
    validation: tuple[Encoded, Dataset],
    progress: Progress,
) -> BottleneckEpoch:
    """Train one epoch, and see what the last exit says of the validation split.

    Raises:
        DivergedError: the loss is no longer finite.
    """
    start = time.perf_counter()
    loss = train_epoch(student, teacher, optimizer, schedule, epoch, rows, progress)
    middle = time.perf_counter()
    encoded, dataset = validation
    logits = behind_logits(student, encoded, progress, f"epoch {epoch + 1}, validation")
    right, metric = scores(dataset, logits)
    end = time.perf_counter()
    name = schedule.stage_name(schedule.stage(epoch))
    return BottleneckEpoch(
        epoch,
        name,
        loss,
        round(middle - start, 3),
        round(end - middle, 3),
        right,
        metric,
        cross_entropy(logits, dataset.labels),
    )
