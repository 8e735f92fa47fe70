"""Losses of labels and of a teacher, held against the definitions written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dimec.base.arrays import FloatArray
from dimec.settings.distillation import DistillationSettings
from dimec.training.model import MultiExitOutput
from dimec.training.objective import (
    Objective,
    Taught,
    gatekeeper_losses,
    hidden_losses,
    joint_loss,
    label_losses,
    teacher_losses,
)

B, X, C, D = 5, 3, 4, 6
RNG = np.random.default_rng(7)
LOGITS = RNG.normal(size=(B, X, C)) * 2
TEACHER = RNG.normal(size=(B, C)) * 2
LABELS = np.array([0, 3, -1, 2, 1])
MAPPED, HIDDEN = RNG.normal(size=(2, B, X, D))


def _softmax(values: FloatArray) -> FloatArray:
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _tensor(values: FloatArray) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _slow_labels() -> FloatArray:
    p = _softmax(LOGITS)
    return np.array(
        [[0 if y < 0 else -np.log(p[i, x, y]) for x in range(X)] for i, y in enumerate(LABELS)]
    )


def _slow_teacher(temperature: float) -> FloatArray:
    wanted = _softmax(TEACHER / temperature)
    said = _softmax(LOGITS / temperature)
    return np.array(
        [
            [
                temperature**2
                * sum(wanted[i, c] * np.log(wanted[i, c] / said[i, x, c]) for c in range(C))
                for x in range(X)
            ]
            for i in range(B)
        ]
    )


def _slow_gatekeeper() -> FloatArray:
    p = _softmax(LOGITS)
    losses = np.zeros((B, X))
    for i, y in enumerate(LABELS):
        for x in range(X):
            if y < 0:
                continue
            if p[i, x].argmax() == y:
                losses[i, x] = -0.5 * np.log(p[i, x, y])
            else:
                losses[i, x] = 0.5 * sum(q * np.log(q * C) for q in p[i, x])
    return losses


def _slow_hidden() -> FloatArray:
    one = MAPPED / np.sqrt((MAPPED**2).sum(axis=-1, keepdims=True))
    two = HIDDEN / np.sqrt((HIDDEN**2).sum(axis=-1, keepdims=True))
    return np.asarray(((one - two) ** 2).sum(axis=-1))


def _close(got: torch.Tensor, expected: FloatArray) -> None:
    np.testing.assert_allclose(got.numpy(), expected, rtol=2e-5, atol=2e-6)


def test_label_losses() -> None:
    got = label_losses(_tensor(LOGITS), torch.from_numpy(LABELS))
    _close(got, _slow_labels())
    assert not got[2].any()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_teacher_losses(temperature: float) -> None:
    _close(
        teacher_losses(_tensor(LOGITS), _tensor(TEACHER), temperature), _slow_teacher(temperature)
    )


def test_a_student_that_says_what_its_teacher_says_has_nothing_to_learn() -> None:
    same = _tensor(TEACHER)[:, None] + 3.5  # a constant moves no probability
    _close(teacher_losses(same, _tensor(TEACHER), 2.0), np.zeros((B, 1)))


def test_gatekeeper_losses() -> None:
    right = _softmax(LOGITS).argmax(axis=-1) == LABELS[:, None]
    assert right.any()
    assert not right.all()
    _close(gatekeeper_losses(_tensor(LOGITS), torch.from_numpy(LABELS)), _slow_gatekeeper())


def test_hidden_losses() -> None:
    _close(hidden_losses(_tensor(MAPPED), _tensor(HIDDEN)), _slow_hidden())
    _close(hidden_losses(_tensor(HIDDEN * 5), _tensor(HIDDEN)), np.zeros((B, X)))


def _output() -> MultiExitOutput:
    return MultiExitOutput(_tensor(LOGITS), torch.zeros(B, 1), _tensor(MAPPED))


def test_a_student_weighs_all_of_them_and_the_rows() -> None:
    how = DistillationSettings(
        label_weight=0.3,
        teacher_weight=0.8,
        temperature=3.0,
        hidden_weight=0.2,
        gatekeeper_weight=0.4,
    )
    rows, exits = RNG.uniform(size=B), (1.0, 0.5, 2.0)
    taught = Taught(_tensor(TEACHER), _tensor(HIDDEN), _tensor(rows))
    got = Objective(exits, how)(_output(), torch.from_numpy(LABELS), taught)
    losses = 0.3 * _slow_labels() + 0.8 * _slow_teacher(3.0)
    losses += 0.2 * _slow_hidden() + 0.4 * _slow_gatekeeper()
    _close(got, (losses * exits).sum(axis=1) * rows)


def test_what_has_no_weight_is_left_out() -> None:
    how = DistillationSettings(label_weight=0.0, teacher_weight=1.0, temperature=1.0)
    got = Objective(None, how)(_output(), torch.from_numpy(LABELS), Taught(_tensor(TEACHER)))
    _close(got, _slow_teacher(1.0).sum(axis=1))


def test_without_a_teacher_it_is_the_paper_s_loss() -> None:
    labels = torch.from_numpy(np.abs(LABELS))
    got = Objective((1, 2, 3), DistillationSettings())(_output(), labels)
    assert torch.equal(got, joint_loss(_tensor(LOGITS), labels, (1, 2, 3)))


def test_exits_that_learn_from_the_last_leave_it_alone() -> None:
    """Its own loss stays the labels', and no gradient reaches it as a teacher."""
    logits = _tensor(LOGITS).requires_grad_(True)
    output = MultiExitOutput(logits, torch.zeros(B, 1))
    labels = torch.from_numpy(np.abs(LABELS))
    how = DistillationSettings(self_distillation=0.7, temperature=2.0)
    got = Objective(None, how)(output, labels)
    own = teacher_losses(logits[:, :-1], logits[:, -1], 2.0).sum(dim=1)
    torch.testing.assert_close(got, joint_loss(logits, labels) + 0.7 * own)
    got.sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    plain = _tensor(LOGITS).requires_grad_(True)
    joint_loss(plain, labels).sum().backward()  # type: ignore[no-untyped-call]
    assert plain.grad is not None
    assert torch.equal(logits.grad[:, -1], plain.grad[:, -1])
    assert not torch.equal(logits.grad[:, 0], plain.grad[:, 0])
