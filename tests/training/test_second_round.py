"""The second round of distillation: which rows count more, and what is left of the first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dimec.policies.registry import FitInputs, systems
from dimec.runs.run import Run
from dimec.tiers.deployment import Deployment
from dimec.training.second_round import LAMBDA, round_weights, weights_of
from support.tiny import train_own_tiny


def test_weights_by_hand() -> None:
    """Kept wrongly, kept rightly, sent on in vain, sent on rightly, and never reached."""
    agrees = np.array([[False, True], [True, True], [True, True], [False, True]])
    got = round_weights(np.array([0, 0, 1, 1]), agrees, 0)
    np.testing.assert_allclose(got, np.array([3, 1, 3, 1]) / 2)
    middle = np.array([[False, True, True], [False, False, True], [True, True, True]])
    got = round_weights(np.array([0, 1, 2]), middle, 1)
    np.testing.assert_allclose(got, np.array([1, 3, 3]) * 3 / 7)


def test_nothing_went_wrong() -> None:
    agrees = np.ones((4, 2), bool)
    assert round_weights(np.zeros(4, np.int64), agrees, 0).tolist() == [1, 1, 1, 1]


@pytest.fixture(scope="module")
def twice(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_reviews: Path,
    own_backbones: tuple[Path, Path],
) -> Run:
    """Two rounds, with hidden states through a map (32 to 48 wide) and the gate in the loss."""
    out = tmp_path_factory.mktemp("twice") / "run"
    return train_own_tiny(
        tiny_reviews, own_backbones, out, rounds=2, hidden_weight=0.1, gatekeeper_weight=0.1
    )


def test_both_rounds_are_told(twice: Run) -> None:
    own = twice.training()["own"]
    for name, layers in (("phone", 1), ("edge", 2)):
        assert len(own[name]["first_round"]) == layers
    assert "first_round" not in own["cloud"]
    assert not twice.first_round_path.exists()
    assert not twice.teacher_path.exists()


def test_nothing_of_the_lesson_stays_in_the_model(twice: Run) -> None:
    from safetensors import safe_open

    for one in twice.tier_runs().values():
        with safe_open(one.model_path / "model.safetensors", framework="numpy") as weights:
            assert not [name for name in weights.keys() if name.startswith("maps")]  # noqa: SIM118


def test_the_weights_are_those_of_the_cascade(own_run: Path) -> None:
    """Held against a walk through the rows, one by one."""
    run = Run(own_run)
    tiers, splits = run.tier_runs(), run.splits()
    from dimec.base.progress import NoProgress

    got = weights_of(tiers, splits.validation, splits.train, None, NoProgress())
    from dimec.training.transfer import record_rows

    validation, train = run.trace("validation"), record_rows(run, splits.train, split="train")
    names = tuple(tiers)
    deployment = Deployment.paper(validation.tiers, names=names, sources=names)
    policy = systems()["cascade"].fit(FitInputs(validation, deployment, LAMBDA)).policy
    outcome = policy.replay(train, deployment)
    columns = train.columns(deployment.exits, deployment.sources)
    for k, name in enumerate(names[:-1]):
        plain = []
        for row in range(len(train)):
            tier = int(outcome.tiers[row].argmax())
            said = [int(train.predictions[row, column]) for column in columns]
            kept_wrongly = tier == k and said[k] != said[-1]
            in_vain = tier > k and said[k] == said[-1]
            plain.append(3.0 if kept_wrongly or in_vain else 1.0)
        np.testing.assert_allclose(got[name], np.array(plain) / np.mean(plain), rtol=1e-6)
    assert set(got) == {"phone", "edge"}
