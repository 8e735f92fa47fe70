"""One epoch: a pass over the training rows, then every exit's word on the validation split."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext

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
    training, accelerator, encoded = (
        state.settings.training,
        state.accelerator,
        state.encoded["train"],
    )
    stage, model = state.stage, state.model
    rank, world, device = accelerator.process_index, accelerator.num_processes, accelerator.device
    rng = np.random.default_rng([state.settings.seed, before + epoch])
    batches = training_batches(encoded.lengths, training.batch_size, rng)
    seed = np.random.SeedSequence([state.settings.seed, before + epoch, rank]).generate_state(1)[0]
    torch.manual_seed(int(seed))
    labels = torch.from_numpy(state.labels).to(device)
    objective, lesson = Objective(stage.weights, state.settings.distillation), state.lesson
    depths = []
    if lesson is not None and lesson.hidden is not None:
        depths = lesson.layers_for(stage.exits, model.exits[-1])
    steps = training.epochs * len(batches)
    kept: TrainingLogits | None = None
    if training.record_train:
        kept = TrainingLogits(len(labels), len(stage.exits), model.config.num_labels, accelerator)
    total = torch.zeros((), dtype=torch.float64, device=device)
    seen = reported = 0
    state.wrapped.train()
    state.progress.start(f"{state.prefix}epoch {epoch + 1} of {training.epochs}", len(encoded))
    for number, rows in enumerate(batches):
        step = epoch * len(batches) + number
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate_at(step, steps, stage.learning_rate, training.warmup)
        mine, weight = part_of(rows, rank, world)
        parts = np.array_split(mine, min(training.accumulate or 1, len(mine)))
        for part in parts:
            # The processes add up their gradients once a step, with the last part.
            alone = nullcontext() if part is parts[-1] else accelerator.no_sync(state.wrapped)
            with alone:
                with torch.autocast(device.type, torch.bfloat16, enabled=state.bf16):
                    output = state.wrapped(**encoded.batch(part, device), exits=stage.exits)
                at = torch.from_numpy(part).to(device)
                taught = None if lesson is None else lesson.of(part, depths, device)
                losses = objective(output, labels[at], taught)
                if kept is not None and weight:
                    kept.add(at, output.logits)
                loss = losses.sum() * weight / len(rows)
                accelerator.backward(loss * world)
            total += loss.detach() * len(rows)
        accelerator.clip_grad_norm_(model.parameters(), training.max_grad_norm)
        state.optimizer.step()
        state.optimizer.zero_grad()
        seen += len(rows)
        if number % _REPORT_EVERY == 0 or number == len(batches) - 1:
            mean = float(total) * world / seen
            if not math.isfinite(mean):
                raise _diverged(state, epoch, "the loss")
            state.progress.advance(seen - reported, f"loss {mean:.3f}")
            reported = seen
    state.progress.end()
    loss_of_all = float(accelerator.reduce(total, reduction="sum")) / len(encoded)
    # Of texts without labels there are no dynamics.
    return loss_of_all, None if kept is None else kept.collect()[: len(state.splits.train)]


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
