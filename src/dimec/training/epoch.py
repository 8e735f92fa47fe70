"""One epoch: a pass over the training rows, then every exit's word on the validation split."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from dimec.config import TrainingSettings
from dimec.errors import DivergedError
from dimec.metrics import accuracy, confusion_matrix, score
from dimec.training.batching import training_batches
from dimec.training.inference import predict
from dimec.training.job import Job
from dimec.training.model import joint_loss

_REPORT_EVERY = 10  # steps; reading the loss more often would make an accelerator wait


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch did.

    Attributes:
        epoch: from 0.
        loss: mean joint loss over the training rows.
        seconds: of training.
        validation_seconds: of the pass over the validation split.
        accuracy: of each exit on the validation split.
        metric: the task's score of each exit on the validation split; the last exit's decides.
    """

    epoch: int
    loss: float
    seconds: float
    validation_seconds: float
    accuracy: tuple[float, ...]
    metric: tuple[float, ...]


def best_epoch(history: Sequence[EpochRecord]) -> int:
    """The epoch with the best validation score of the last exit; the earlier one of equals."""
    return max(range(len(history)), key=lambda epoch: (history[epoch].metric[-1], -epoch))


def stops_early(history: Sequence[EpochRecord], patience: int) -> bool:
    """Whether the last ``patience`` epochs brought nothing better, after at least 2 epochs.

    A patience of 0 never ends.
    """
    if patience == 0 or len(history) < 2:
        return False
    return len(history) - 1 - best_epoch(history) >= patience


def learning_rate_at(step: int, steps: int, settings: TrainingSettings) -> float:
    """Learning rate of step 0 … steps-1: linear warm-up, then linear decay towards zero."""
    warm = math.ceil(settings.warmup * steps)
    if step < warm:
        return settings.learning_rate * (step + 1) / warm
    return settings.learning_rate * (steps - step) / max(1, steps - warm)


def run_epoch(job: Job, epoch: int) -> tuple[EpochRecord, npt.NDArray[np.float32]]:
    """Train one epoch; returns its record and the logits (N, X, C) on the validation split.

    Raises:
        DivergedError: the loss or the logits are no longer finite.
    """
    start = time.perf_counter()
    loss = _train(job, epoch)
    middle = time.perf_counter()
    validation, encoded = job.splits.validation, job.encoded["validation"]
    stage = f"epoch {epoch + 1}, validation"
    logits, _ = predict(job.model, encoded, job.accelerator, job.progress, stage)
    if not np.isfinite(logits).all():
        raise _diverged(job, epoch, "the logits on the validation split")
    confusions = [
        confusion_matrix(validation.labels, logits[:, exit_].argmax(axis=1), logits.shape[2])
        for exit_ in range(logits.shape[1])
    ]
    record = EpochRecord(
        epoch,
        loss,
        round(middle - start, 3),
        round(time.perf_counter() - middle, 3),
        tuple(accuracy(confusion) for confusion in confusions),
        tuple(score(validation.metric, confusion) for confusion in confusions),
    )
    return record, logits


def _train(job: Job, epoch: int) -> float:
    """One pass over the training rows; returns the mean loss.

    Order and dropout are seeded by (seed, epoch, process) alone, so that a resumed epoch is the
    same as one that was never interrupted. Each process takes every W-th row of a batch of the
    size that was asked for, and weighs its loss so that the mean of the processes' gradients is
    the gradient of the whole batch.
    """
    plan, accelerator, encoded = job.settings.training, job.accelerator, job.encoded["train"]
    rank, world, device = accelerator.process_index, accelerator.num_processes, accelerator.device
    rng = np.random.default_rng([job.settings.seed, epoch])
    batches = training_batches(encoded.lengths, plan.batch_size, rng)
    seed = np.random.SeedSequence([job.settings.seed, epoch, rank]).generate_state(1)[0]
    torch.manual_seed(int(seed))
    labels = torch.from_numpy(job.splits.train.labels).to(device)
    steps = plan.epochs * len(batches)
    total = torch.zeros((), dtype=torch.float64, device=device)
    seen = reported = 0
    job.wrapped.train()
    job.progress.start(f"epoch {epoch + 1} of {plan.epochs}", len(encoded))
    for number, rows in enumerate(batches):
        for group in job.optimizer.param_groups:
            group["lr"] = learning_rate_at(epoch * len(batches) + number, steps, plan)
        mine, weight = part_of(rows, rank, world)
        with torch.autocast(device.type, torch.bfloat16, enabled=job.bf16):
            output = job.wrapped(**encoded.batch(mine, device))
        losses = joint_loss(output.logits, labels[torch.from_numpy(mine)], plan.loss_weights)
        loss = losses.sum() * weight / len(rows)
        accelerator.backward(loss * world)
        accelerator.clip_grad_norm_(job.model.parameters(), plan.max_grad_norm)
        job.optimizer.step()
        job.optimizer.zero_grad()
        total += loss.detach() * len(rows)
        seen += len(rows)
        if number % _REPORT_EVERY == 0 or number == len(batches) - 1:
            mean = float(total) * world / seen
            if not math.isfinite(mean):
                raise _diverged(job, epoch, "the loss")
            job.progress.advance(seen - reported, f"loss {mean:.3f}")
            reported = seen
    job.progress.end()
    return float(accelerator.reduce(total, reduction="sum")) / len(encoded)


def part_of(
    rows: npt.NDArray[np.int64], rank: int, world: int
) -> tuple[npt.NDArray[np.int64], float]:
    """The rows of a batch that one of ``world`` processes takes, and the weight of their loss.

    A process that is left without rows takes one at weight 0: it has to take part in the step.
    """
    mine = rows[rank::world]
    return (mine, 1.0) if len(mine) else (rows[:1], 0.0)


def _diverged(job: Job, epoch: int, what: str) -> DivergedError:
    rate = job.settings.training.learning_rate
    return DivergedError(
        f"{what} became infinite or NaN in epoch {epoch + 1}; try a learning rate below {rate:g} "
        f"or --precision fp32 (finished epochs are kept in {job.run.path})"
    )
