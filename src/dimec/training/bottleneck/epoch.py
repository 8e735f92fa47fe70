"""One epoch of training a bottleneck in a trained model: stages, and what is frozen in each.

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
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from dimec.base.errors import DivergedError
from dimec.base.metrics import accuracy, confusion_matrix, score
from dimec.base.progress import Progress
from dimec.data import Dataset
from dimec.runs.bottleneck import BottleneckSchedule
from dimec.training.batching import Encoded, training_batches
from dimec.training.bottleneck.losses import batch_loss
from dimec.training.bottleneck.spliced import BottleneckedModel
from dimec.training.inference import cross_entropy, predict
from dimec.training.model import MultiExitClassifier

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
