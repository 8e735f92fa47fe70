"""Gradual magnitude pruning: the smallest weights go, step by step, while the model trains on.

Source: Zhu and Gupta, To prune, or not to prune (arXiv 1710.01878), equation 1. From step t0 on,
every Δt steps, the sparsity is raised to

    s_t = s_f + (s_i - s_f)·(1 - (t - t0) / (n·Δt))³     for t in {t0, t0 + Δt, …, t0 + n·Δt}

and in each weight matrix the weights of the smallest magnitude are masked until so many are zero.
What is masked gets no gradient. Much goes early, while there is much to spare, and little late.

Here s_i = 0, t0 = 0, and the n steps fill the first half of the training; in the second half the
model trains on at the last sparsity. Pruned are the linear layers inside of the encoder's layers;
the masks are torch's (``torch.nn.utils.prune``). Departures: the paper prunes embeddings too, which
take no operations; the loss here is that of the last exit alone, since that is what answers.

The operations that count are those of weights that are not zero. **No processor here saves them**:
a dense product multiplies zeros like other numbers. So the row is what unstructured sparsity would
be worth on hardware that skips them, and flatters it on any other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.utils import prune

from dimec.base.errors import DivergedError
from dimec.base.progress import Progress
from dimec.training.batching import Encoded, training_batches
from dimec.training.model import MultiExitClassifier

MAX_GRAD_NORM = 1.0
_WEIGHT = "weight"
_REPORT_EVERY = 10  # steps


@dataclass(frozen=True)
class PruningSchedule:
    """When how much is pruned; see the module.

    Attributes:
        final: s_f, the sparsity at the end.
        every: Δt, in steps.
        times: n.
        initial: s_i.
        begin: t0.
    """

    final: float
    every: int
    times: int
    initial: float = 0.0
    begin: int = 0

    @classmethod
    def over(cls, final: float, steps: int, times: int) -> PruningSchedule:
        """The schedule that fills the first half of so many steps, in ``times`` of them at most."""
        half = max(1, steps // 2)
        every = max(1, half // times)
        return cls(final, every, max(1, half // every))

    def sparsity(self, step: int) -> float:
        """s_t, which stays between two prunings what it was at the last."""
        done = min(max(step - self.begin, 0) // self.every, self.times)
        return self.final + (self.initial - self.final) * (1 - done / self.times) ** 3


def start_pruning(layers: Sequence[nn.Linear]) -> None:
    """Give each layer's weights a mask of ones; what is trained is ``weight_orig`` from here on."""
    for layer in layers:
        prune.identity(layer, _WEIGHT)  # type: ignore[no-untyped-call]  # untyped in torch


def prune_to(layers: Sequence[nn.Linear], sparsity: float) -> None:
    """Mask the smallest weights of each layer until round(sparsity · weights) of it are zero.

    What is masked stays masked, whatever the sparsity.

    Args:
        layers: with masks; see :func:`start_pruning`.
        sparsity: 0 … 1.
    """
    for layer in layers:
        mask = layer.get_buffer("weight_mask")
        more = round(sparsity * mask.numel()) - int((mask == 0).sum())
        if more > 0:
            weights = layer.get_parameter("weight_orig").detach()
            prune.l1_unstructured(  # type: ignore[no-untyped-call]  # untyped in torch
                layer, _WEIGHT, amount=more, importance_scores=weights
            )


def end_pruning(layers: Sequence[nn.Linear]) -> None:
    """Make the masks part of the weights, which are then ordinary weights with zeros."""
    for layer in layers:
        prune.remove(layer, _WEIGHT)  # type: ignore[no-untyped-call]  # untyped in torch


def share_left(layers: Sequence[nn.Linear]) -> float:
    """Weights that are not zero, as a share of all."""
    left = sum(int(torch.count_nonzero(layer.weight)) for layer in layers)
    return left / sum(layer.weight.numel() for layer in layers)


@dataclass(frozen=True)
class PruningEpochs:
    """How to train while pruning.

    Attributes:
        schedule: of the sparsity.
        epochs: in all.
        batch_size: texts a step.
        learning_rate: its peak, at the first step; it falls linearly to 0.
        seed: with the epoch's number, of order and dropout.
    """

    schedule: PruningSchedule
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int


def make_optimizer(
    model: MultiExitClassifier, learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """AdamW over the encoder and the last exit; the other exits are left as they are."""
    model.freeze_all_but([model.exits[-1]], encoder=True)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(learning, lr=learning_rate, weight_decay=weight_decay)


def train_epoch(
    model: MultiExitClassifier,
    layers: Sequence[nn.Linear],
    optimizer: torch.optim.Optimizer,
    plan: PruningEpochs,
    epoch: int,
    rows: tuple[Encoded, npt.NDArray[np.int64]],
    progress: Progress,
) -> float:
    """One pass over the training rows, pruning on the way; returns the mean loss of the last exit.

    Order and dropout are seeded by (seed, epoch) alone, so that an epoch after an interruption is
    the same as one that was never interrupted.

    Args:
        model: with masks on ``layers``.
        layers: that are pruned.
        optimizer: of :func:`make_optimizer`.
        plan: of the training.
        epoch: from 0.
        rows: tokenised texts, and their labels.
        progress: told of each step.

    Raises:
        DivergedError: the loss is no longer finite.
    """
    encoded, labels = rows
    batches = training_batches(
        encoded.lengths, plan.batch_size, np.random.default_rng([plan.seed, epoch])
    )
    torch.manual_seed(int(np.random.SeedSequence([plan.seed, epoch]).generate_state(1)[0]))
    before, steps = epoch * len(batches), plan.epochs * len(batches)
    total, seen, reported = 0.0, 0, 0
    model.train()
    progress.start(f"epoch {epoch + 1} of {plan.epochs}", len(encoded))
    for number, batch in enumerate(batches):
        prune_to(layers, plan.schedule.sparsity(before + number))
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * (1 - (before + number) / steps)
        inputs = encoded.batch(batch, model.device)
        logits = model(**inputs, exits=(model.exits[-1],)).logits[:, 0]
        gold = torch.from_numpy(labels[batch]).to(model.device)
        loss = nn.functional.cross_entropy(logits, gold)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        nn.utils.clip_grad_norm_(
            [p for group in optimizer.param_groups for p in group["params"]], MAX_GRAD_NORM
        )
        optimizer.step()
        total += float(loss.detach()) * len(batch)
        seen += len(batch)
        if not math.isfinite(total):
            raise DivergedError(
                f"the pruned model's loss became infinite or NaN in epoch {epoch + 1}; try a "
                f"learning rate below {plan.learning_rate:g} (finished epochs are kept)"
            )
        if number % _REPORT_EVERY == 0 or number == len(batches) - 1:
            progress.advance(seen - reported, f"loss {total / seen:.3f}")
            reported = seen
    progress.end()
    model.eval()
    return total / len(encoded)
