"""The stages of a training: what learns in each, under which loss, and which epoch is its best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dimec.settings.exits import check_loss
from dimec.settings.training import TrainingSettings


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch did.

    Attributes:
        epoch: from 0, counted through all stages.
        loss: mean loss over the training rows.
        seconds: of training.
        validation_seconds: of the pass over the validation split.
        accuracy: of each exit on the validation split, also of exits that have yet to learn.
        metric: the task's score of each exit on the validation split.
        stage: from 1.
        validation_loss: mean cross-entropy of each exit on the validation split; none in runs of
            earlier versions.
    """

    epoch: int
    loss: float
    seconds: float
    validation_seconds: float
    accuracy: tuple[float, ...]
    metric: tuple[float, ...]
    stage: int = 1
    validation_loss: tuple[float, ...] = ()


@dataclass(frozen=True)
class Stage:
    """A part of the training.

    Attributes:
        number: from 1.
        exits: the layers whose classifiers learn; the others are frozen.
        encoder: whether the encoder learns too.
        learning_rate: the highest of the schedule.
        weights: one factor for the loss of each of ``exits``; None is 1 for each.
        judged: positions, among all exits of the model, of those whose mean validation score
            decides which epoch is the best.
    """

    number: int
    exits: tuple[int, ...]
    encoder: bool
    learning_rate: float
    weights: tuple[float, ...] | None
    judged: tuple[int, ...]


def stages_of(training: TrainingSettings, exits: Sequence[int]) -> tuple[Stage, ...]:
    """The stages of a recipe for a model with these exits.

    The joint recipe has one stage, in which all learns and the last exit decides. The two stages
    are those of Xin et al. (DeeBERT, 2020, arXiv 2004.12993): the encoder with the
    last exit, which is a plain fine-tuning with one exit; then the other exits, their losses
    summed, on the frozen encoder. As in the authors' code (github.com/castorini/DeeBERT) the
    second stage has as many epochs, the same learning rate unless another is given, and the
    encoder's dropout stays on.

    Raises:
        ConfigError: weights that do not fit the exits, or two stages for one exit.
    """
    check_loss(training, exits)
    exits = tuple(exits)
    last, rate = len(exits) - 1, training.learning_rate
    if training.recipe == "joint":
        return (Stage(1, exits, True, rate, loss_weights(training, exits), (last,)),)
    first = Stage(1, exits[-1:], True, rate, None, (last,))
    second_rate = training.exit_learning_rate or rate
    return first, Stage(2, exits[:-1], False, second_rate, None, tuple(range(last)))


def loss_weights(training: TrainingSettings, exits: Sequence[int]) -> tuple[float, ...] | None:
    """The factors of the exits' losses, or None where each is 1.

    PABEE's are i / Σ i with i the exit's layer (Zhou et al. 2020, arXiv 2006.04152).

    Raises:
        ConfigError: the settings have another number of weights than there are exits.
    """
    check_loss(training, exits)
    if training.loss == "depth":
        return tuple(layer / sum(exits) for layer in exits)
    return training.loss_weights


def best_epoch(history: Sequence[EpochRecord], judged: Sequence[int] = (-1,)) -> int:
    """Position of the epoch with the best mean validation score.

    Of epochs with equal scores it is the one with the lowest mean validation loss, and of those
    the earliest: a small validation split has few different scores, and an epoch that is as often
    right and surer of it has learnt more.

    Args:
        history: the epochs of one stage.
        judged: positions of the exits whose scores count; the last exit by default.
    """

    def mean(values: Sequence[float]) -> float:
        return sum(values[exit_] for exit_ in judged) / len(judged)

    def merit(epoch: int) -> tuple[float, float, int]:
        losses = history[epoch].validation_loss
        return mean(history[epoch].metric), -mean(losses) if losses else -math.inf, -epoch

    return max(range(len(history)), key=merit)


def stops_early(
    history: Sequence[EpochRecord], patience: int, judged: Sequence[int] = (-1,)
) -> bool:
    """Whether the last ``patience`` epochs brought nothing better, after at least 2 epochs.

    Better is what :func:`best_epoch` says: a higher score, or the same at a lower loss.

    A patience of 0 never ends.
    """
    if patience == 0 or len(history) < 2:
        return False
    return len(history) - 1 - best_epoch(history, judged) >= patience
