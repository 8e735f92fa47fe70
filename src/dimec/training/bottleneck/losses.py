"""What a bottleneck is trained to; :mod:`dimec.training.bottleneck.epoch` says which loss when."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dimec.runs.bottleneck import AT_THE_SPLIT, BottleneckSchedule
from dimec.training.bottleneck.spliced import BottleneckedModel, answer
from dimec.training.model import MultiExitClassifier


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
