"""One epoch: a pass over the training rows, then every exit's word on the validation split."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from dimec.base.arrays import Float32Array
from dimec.base.errors import DivergedError
from dimec.base.metrics import accuracy, confusion_matrix, score
from dimec.training.batching import training_batches
from dimec.training.inference import cross_entropy, predict
from dimec.training.objective import Objective
from dimec.training.prepare import TrainState
from dimec.training.recorder import TrainingLogits
from dimec.training.stages import EpochRecord

_REPORT_EVERY = 10  # steps; reading the loss more often would make an accelerator wait


def learning_rate_at(step: int, steps: int, rate: float, warmup: float) -> float:
    """Learning rate of step 0 … steps-1: linear warm-up, then linear decay towards zero.

    Args:
        step, steps: which step, and how many there are in the stage.
        rate: the highest.
        warmup: the share of the steps on which it rises.
    """
    warm = math.ceil(warmup * steps)
    if step < warm:
        return rate * (step + 1) / warm
    return rate * (steps - step) / max(1, steps - warm)


def run_epoch(
    state: TrainState, epoch: int, before: int = 0
) -> tuple[EpochRecord, dict[str, Float32Array]]:
    """Train one epoch; returns its record and the logits (N, X, C) that it left, by split.

    They are of the validation split, at all exits; and of the training split where the settings
    ask for it, at the exits that learn.

    Args:
        state: in its stage.
        epoch: from 0 within the stage.
        before: the number of epochs of earlier stages.

    Raises:
        DivergedError: the loss or the logits are no longer finite.
    """
    start = time.perf_counter()
    loss, recorded = _train(state, epoch, before)
    middle = time.perf_counter()
    validation, encoded = state.splits.validation, state.encoded["validation"]
    doing = f"{state.prefix}epoch {epoch + 1}, validation"
    logits, _ = predict(state.model, encoded, state.accelerator, state.progress, doing)
    if not np.isfinite(logits).all():
        raise _diverged(state, epoch, "the logits on the validation split")
    confusions = [
        confusion_matrix(validation.labels, logits[:, exit_].argmax(axis=1), logits.shape[2])
        for exit_ in range(logits.shape[1])
    ]
    record = EpochRecord(
        before + epoch,
        loss,
        round(middle - start, 3),
        round(time.perf_counter() - middle, 3),
        tuple(accuracy(confusion) for confusion in confusions),
        tuple(score(validation.metric, confusion) for confusion in confusions),
        state.stage.number,
        tuple(
            cross_entropy(logits[:, exit_], validation.labels) for exit_ in range(logits.shape[1])
        ),
    )
    return record, {"validation": logits} | ({} if recorded is None else {"train": recorded})


def _train(state: TrainState, epoch: int, before: int) -> tuple[float, Float32Array | None]:
    """One pass over the training rows; returns the mean loss, and the logits if they are wanted.

    Order and dropout are seeded by (seed, epoch, process) alone, with the epoch counted through
    all stages, so that a resumed epoch is the same as one that was never interrupted. Each process
    takes every W-th row of a batch of the size that was asked for, and weighs its loss so that the
    mean of the processes' gradients is the gradient of the whole batch.
    """
    encoded, world = state.encoded["train"], state.accelerator.num_processes
    work = _begin(state, before + epoch)
    state.wrapped.train()
    state.progress.start(
        f"{state.prefix}epoch {epoch + 1} of {state.settings.training.epochs}", len(encoded)
    )
    seen = reported = 0
    for number, rows in enumerate(work.batches):
        _step(work, epoch * len(work.batches) + number, rows)
        seen += len(rows)
        if number % _REPORT_EVERY == 0 or number == len(work.batches) - 1:
            mean = float(work.total) * world / seen
            if not math.isfinite(mean):
                raise _diverged(state, epoch, "the loss")
            state.progress.advance(seen - reported, f"loss {mean:.3f}")
            reported = seen
    state.progress.end()
    total, kept = state.accelerator.reduce(work.total, reduction="sum"), work.kept
    # Of texts without labels there are no dynamics.
    recorded = None if kept is None else kept.collect()[: len(state.splits.train)]
    return float(total) / len(encoded), recorded


@dataclass(frozen=True, eq=False)
class _Work:
    """What the steps of one epoch share.

    Attributes:
        state: in its stage.
        batches: of rows (positions among the training rows), in the epoch's order.
        labels: (N,) codes of classes, on the device.
        objective: the loss of a batch.
        depths: layers of the teacher that the student's exits learn from; none where there is none.
        kept: the logits of the training rows, where they are recorded.
        total: the sum of this process's share of the losses so far, to which each step adds.
    """

    state: TrainState
    batches: Sequence[npt.NDArray[np.int64]]
    labels: torch.Tensor
    objective: Objective
    depths: Sequence[int]
    kept: TrainingLogits | None
    total: torch.Tensor


def _begin(state: TrainState, epoch: int) -> _Work:
    """Deal out the rows and seed the dropout of an epoch, counted through all stages."""
    training, accelerator, lesson = state.settings.training, state.accelerator, state.lesson
    rank, device, stage = accelerator.process_index, accelerator.device, state.stage
    rng = np.random.default_rng([state.settings.seed, epoch])
    batches = training_batches(state.encoded["train"].lengths, training.batch_size, rng)
    seed = np.random.SeedSequence([state.settings.seed, epoch, rank]).generate_state(1)[0]
    torch.manual_seed(int(seed))
    depths: Sequence[int] = ()
    if lesson is not None and lesson.hidden is not None:
        depths = lesson.layers_for(stage.exits, state.model.exits[-1])
    kept: TrainingLogits | None = None
    if training.record_train:
        classes = state.model.config.num_labels
        kept = TrainingLogits(len(state.labels), len(stage.exits), classes, accelerator)
    return _Work(
        state,
        batches,
        torch.from_numpy(state.labels).to(device),
        Objective(stage.weights, state.settings.distillation),
        depths,
        kept,
        torch.zeros((), dtype=torch.float64, device=device),
    )


def _step(work: _Work, step: int, rows: npt.NDArray[np.int64]) -> None:
    """One step of the optimizer, on one batch, which may run in parts.

    Args:
        step: from 0, within the stage.
        rows: of the whole batch, those of all processes.
    """
    state, accelerator = work.state, work.state.accelerator
    training, stage = state.settings.training, state.stage
    steps = training.epochs * len(work.batches)
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate_at(step, steps, stage.learning_rate, training.warmup)
    mine, weight = part_of(rows, accelerator.process_index, accelerator.num_processes)
    parts = np.array_split(mine, min(training.accumulate or 1, len(mine)))
    for part in parts:
        # The processes add up their gradients once a step, with the last part.
        alone = nullcontext() if part is parts[-1] else accelerator.no_sync(state.wrapped)
        with alone:
            loss = _loss_of(work, part, weight) / len(rows)
            accelerator.backward(loss * accelerator.num_processes)
        work.total.add_(loss.detach() * len(rows))
    accelerator.clip_grad_norm_(state.model.parameters(), training.max_grad_norm)
    state.optimizer.step()
    state.optimizer.zero_grad()


def _loss_of(work: _Work, part: npt.NDArray[np.int64], weight: float) -> torch.Tensor:
    """The weighed sum of the losses of a batch's part, whose logits are kept if they are wanted."""
    state, device = work.state, work.state.accelerator.device
    batch = state.encoded["train"].batch(part, device)
    with torch.autocast(device.type, torch.bfloat16, enabled=state.bf16):
        output = state.wrapped(**batch, exits=state.stage.exits)
    at = torch.from_numpy(part).to(device)
    taught = None if state.lesson is None else state.lesson.of(part, work.depths, device)
    losses = work.objective(output, work.labels[at], taught)
    if work.kept is not None and weight:
        work.kept.add(at, output.logits)
    return losses.sum() * weight


def part_of(
    rows: npt.NDArray[np.int64], rank: int, world: int
) -> tuple[npt.NDArray[np.int64], float]:
    """The rows of a batch that one of ``world`` processes takes, and the weight of their loss.

    A process that is left without rows takes one at weight 0: it has to take part in the step.
    """
    mine = rows[rank::world]
    return (mine, 1.0) if len(mine) else (rows[:1], 0.0)


def _diverged(state: TrainState, epoch: int, what: str) -> DivergedError:
    rate = state.stage.learning_rate
    return DivergedError(
        f"{what} became infinite or NaN in {state.prefix}epoch {epoch + 1}; try a learning rate "
        f"below {rate:g} or --precision fp32 (finished epochs are kept in {state.run.path})"
    )
