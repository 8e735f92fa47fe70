"""What a model is trained to do at each of its exits: right labels, and a teacher's words.

Each function gives the losses (B, X) of B texts at X exits; :class:`Objective` weighs and adds
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dimec.settings.distillation import DistillationSettings
from dimec.training.model import MultiExitOutput

_GATE = 0.5  # Gatekeeper's α: of the right answers' part in its loss
_NO_LABEL = -1  # of a text without a label


def label_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """(B, X) cross-entropy at each exit; 0 for a text without a label, whose code is -1.

    Args:
        logits: (B, X, C).
        labels: (B,) right codes.
    """
    batch, exits, _ = logits.shape
    return nn.functional.cross_entropy(
        logits.float().flatten(0, 1),
        labels.repeat_interleave(exits),
        reduction="none",
        ignore_index=_NO_LABEL,
    ).view(batch, exits)


def joint_loss(logits: Tensor, labels: Tensor, weights: Sequence[float] | None = None) -> Tensor:
    """(B,) sum over the exits of their cross-entropies: L = L_m + L_e + L_c (equation 3).

    Args:
        logits: (B, X, C).
        labels: (B,) right codes.
        weights: X factors, one an exit; all 1 by default, as in the paper.
    """
    return _weighed(label_losses(logits, labels), weights).sum(dim=1)


def teacher_losses(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """(B, X) T² · KL(teacher ‖ exit), both softened by T (Hinton et al. 2015, arXiv 1503.02531).

    The factor T² keeps the gradient's size where T changes.

    Args:
        logits: (B, X, C).
        teacher: (B, C) logits.
        temperature: T, above 0.
    """
    wanted = (teacher.float() / temperature).log_softmax(dim=-1).unsqueeze(1)
    said = (logits.float() / temperature).log_softmax(dim=-1)
    return temperature**2 * (wanted.exp() * (wanted - said)).sum(dim=-1)


def gatekeeper_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """(B, X) cross-entropy where an exit is right, else KL to the uniform distribution.

    Each with the weight ½ (Rabanser et al. 2025, arXiv 2502.19335, whose α trades one for the
    other). 0 for a text without a label.
    """
    log = logits.float().log_softmax(dim=-1)
    right = logits.argmax(dim=-1) == labels.unsqueeze(1)
    # KL(p ‖ uniform) = Σ p log p + log C
    unsure = (log.exp() * log).sum(dim=-1) + torch.tensor(float(log.shape[-1])).log()
    losses = torch.where(right, _GATE * label_losses(logits, labels), (1 - _GATE) * unsure)
    return losses * (labels != _NO_LABEL).unsqueeze(1)


def hidden_losses(mapped: Tensor, teacher: Tensor) -> Tensor:
    """(B, X) squared distance of two pooled hidden states, each divided by its length.

    Sun et al. (Patient Knowledge Distillation, 2019, arXiv 1908.09355, equation 7).

    Args:
        mapped: (B, X, D) the student's, behind a learned map where its width is another.
        teacher: (B, X, D) the teacher's, of the layer at the same depth.
    """
    one, two = (nn.functional.normalize(part.float(), dim=-1) for part in (mapped, teacher))
    return (one - two).square().sum(dim=-1)


def _weighed(losses: Tensor, weights: Sequence[float] | None) -> Tensor:
    if weights is None:
        return losses
    return losses * torch.as_tensor(weights, dtype=losses.dtype, device=losses.device)


@dataclass(frozen=True, eq=False)
class Taught:
    """What a teacher says of a batch.

    Attributes:
        logits: (B, C).
        hidden: (B, X, D) its pooled hidden states at the depths of the student's exits; None where
            they are not learnt from.
        weights: (B,) of the rows; None: 1 each.
    """

    logits: Tensor
    hidden: Tensor | None = None
    weights: Tensor | None = None


@dataclass(frozen=True)
class Objective:
    """The loss of a training.

    Attributes:
        weights: one factor for each exit's loss; None is 1 each.
        distillation: how a student weighs labels and teacher; and whether the exits of a model that
            is trained alone learn from its last one.
    """

    weights: tuple[float, ...] | None
    distillation: DistillationSettings

    def __call__(
        self, output: MultiExitOutput, labels: Tensor, taught: Taught | None = None
    ) -> Tensor:
        """(B,) losses of B texts, summed over the exits.

        Args:
            output: of the exits that learn.
            labels: (B,) right codes, -1 for none.
            taught: what a teacher says of them, where there is one.
        """
        how, logits = self.distillation, output.logits
        if taught is not None:
            losses = self._student(output, labels, taught)
        else:
            losses = label_losses(logits, labels)
            if how.self_distillation and logits.shape[1] > 1:
                own = teacher_losses(logits[:, :-1], logits[:, -1].detach(), how.temperature)
                losses = losses + how.self_distillation * nn.functional.pad(own, (0, 1))
        losses = _weighed(losses, self.weights).sum(dim=1)
        return losses if taught is None or taught.weights is None else losses * taught.weights

    def _student(self, output: MultiExitOutput, labels: Tensor, taught: Taught) -> Tensor:
        """(B, X) a student's losses; see :class:`DistillationSettings`."""
        how, logits = self.distillation, output.logits
        losses = how.label_weight * label_losses(logits, labels)
        if how.teacher_weight:
            soft = teacher_losses(logits, taught.logits, how.temperature)
            losses = losses + how.teacher_weight * soft
        if how.hidden_weight and taught.hidden is not None:
            assert output.mapped is not None
            losses = losses + how.hidden_weight * hidden_losses(output.mapped, taught.hidden)
        if how.gatekeeper_weight:
            losses = losses + how.gatekeeper_weight * gatekeeper_losses(logits, labels)
        return losses
