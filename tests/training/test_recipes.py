"""What the recipes train: DeeBERT's two stages, and PABEE's weighted loss."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import dimec
from dimec.base.errors import ConfigError
from dimec.base.progress import NoProgress
from dimec.base.storage import load_arrays
from dimec.data import Splits, split_dataset
from dimec.runs.rows import read_dataset
from dimec.runs.run import Run
from dimec.runs.train import settings_of
from dimec.runs.workspace import RunDirectory
from dimec.settings.run import RunSettings
from dimec.training import MultiExitClassifier, joint_loss
from dimec.training.batching import encode, training_batches
from dimec.training.epoch import learning_rate_at, run_epoch
from dimec.training.prepare import TrainState, enter, make_accelerator, prepare
from support.tiny import make_backbone, reviews, write_reviews

EXITS = (1, 2, 4)
FROZEN = ("encoder.", "heads.4.")


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path) -> dict[str, Any]:
    table = write_reviews(tmp_path_factory.mktemp("rows") / "reviews.csv", reviews(200))
    return {
        "task": f"csv:{table}",
        "backbone": str(tiny_backbone),
        "exits": EXITS,
        "epochs": 3,
        "learning_rate": 3e-3,
        "max_tokens": 32,
        "precision": "fp32",
    }


@pytest.fixture(scope="module")
def two_stage(tmp_path_factory: pytest.TempPathFactory, options: dict[str, Any]) -> Run:
    out = tmp_path_factory.mktemp("two") / "run"
    return dimec.train(**options, recipe="two-stage", out=out)


def _state(options: dict[str, Any], out: Path, **more: Any) -> TrainState:
    settings = settings_of({**options, **more}, 0)
    accelerator = make_accelerator()
    return prepare(settings, RunDirectory(out), _splits(settings), accelerator, NoProgress())


def _splits(settings: RunSettings) -> Splits:
    return split_dataset(read_dataset(settings.data), seed=settings.seed)


def _weights(model: MultiExitClassifier) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


class TestTwoStages:
    def test_the_first_trains_what_a_run_with_one_exit_trains(
        self, tmp_path: Path, options: dict[str, Any]
    ) -> None:
        """Bit for bit, dropout and all, once both start from the same classifier."""
        two = _state(options, tmp_path / "two", recipe="two-stage")
        one = _state({**options, "exits": (4,)}, tmp_path / "one")
        one.model.heads["4"].load_state_dict(two.model.heads["4"].state_dict())
        untrained = _weights(two.model)
        for epoch in range(2):
            record, logits = run_epoch(two, epoch)
            other, wanted = run_epoch(one, epoch)
            assert record.loss == other.loss
            assert record.metric[-1:] == other.metric
            assert np.array_equal(logits["validation"][:, -1:], wanted["validation"])
        after, reference = _weights(two.model), _weights(one.model)
        for name, value in reference.items():
            assert torch.equal(after[name], value), name
            assert not torch.equal(after[name], untrained[name]), name
        for name in ("heads.1.weight", "heads.2.weight", "heads.1.bias", "heads.2.bias"):
            assert torch.equal(after[name], untrained[name]), name

    def test_the_second_moves_the_other_exits_and_nothing_else(
        self, tmp_path: Path, options: dict[str, Any]
    ) -> None:
        first = _state(options, tmp_path, recipe="two-stage", weight_decay=0.1)
        run_epoch(first, 0)
        before = _weights(first.model)
        second = enter(first, first.stages[1])
        for epoch in range(2):
            run_epoch(second, epoch, before=1)
        after = _weights(second.model)
        assert any(name.startswith(FROZEN) for name in after)
        for name, value in after.items():
            same = torch.equal(value, before[name])
            assert same is name.startswith(FROZEN), name

    def test_the_second_sums_the_losses_of_the_other_exits(
        self, tmp_path: Path, options: dict[str, Any]
    ) -> None:
        """One epoch of it against a plain loop over the same batches, written from the paper."""
        options = {**options, "head_dropout": 0.0, "epochs": 2, "exit_learning_rate": 0.01}
        options["backbone"] = str(make_backbone(tmp_path / "plain", dropout=0.0))
        state = _state(options, tmp_path / "run", recipe="two-stage")
        run_epoch(state, 0)
        model = MultiExitClassifier(state.model.config)
        model.load_state_dict(state.model.state_dict())
        second = enter(state, state.stages[1])
        record, _ = run_epoch(second, 0, before=1)

        train, training = state.splits.train, state.settings.training
        encoded = encode(state.tokenizer, train, 32)
        heads = [model.heads["1"], model.heads["2"]]
        adam = torch.optim.Adam([p for head in heads for p in head.parameters()])
        batches = training_batches(encoded.lengths, 16, np.random.default_rng([0, 1]))
        total, model = 0.0, model.eval()
        for number, rows in enumerate(batches):
            rate = learning_rate_at(number, 2 * len(batches), 0.01, training.warmup)
            adam.param_groups[0]["lr"] = rate
            logits = model(**encoded.batch(rows, torch.device("cpu"))).logits
            labels = torch.from_numpy(train.labels[rows])
            losses = [
                nn.functional.cross_entropy(logits[:, exit_], labels) for exit_ in range(len(heads))
            ]
            adam.zero_grad()
            sum(losses).backward()  # type: ignore[union-attr]
            nn.utils.clip_grad_norm_([p for h in heads for p in h.parameters()], 1.0)
            adam.step()
            total += sum(loss.item() for loss in losses) * len(rows)
        assert record.loss == pytest.approx(total / len(train), rel=1e-4)
        for layer in ("1", "2"):
            torch.testing.assert_close(
                model.heads[layer].weight, second.model.heads[layer].weight, atol=1e-5, rtol=1e-4
            )

    def test_the_encoders_dropout_stays_on_in_the_second(
        self, tmp_path: Path, options: dict[str, Any]
    ) -> None:
        options = {**options, "head_dropout": 0.0, "learning_rate": 1e-12, "record_train": True}
        state = _state(options, tmp_path, recipe="two-stage")
        state = enter(state, state.stages[1])
        (_, logits), (_, again) = (run_epoch(state, epoch) for epoch in range(2))
        # The classifiers do not move, so that only the encoder's dropout tells the epochs apart.
        assert logits["train"].shape == (160, 2, 2)
        assert np.abs(logits["train"] - again["train"]).mean() > 1e-3
        assert np.array_equal(logits["validation"], again["validation"])

    def test_the_run_writes_down_its_stages(self, two_stage: Run) -> None:
        record = two_stage.training()
        history, stages = record["history"], record["stages"]
        assert record["recipe"] == "two-stage"
        assert [epoch["epoch"] for epoch in history] == list(range(len(history)))
        assert [stage["exits"] for stage in stages] == [[4], [1, 2]]
        assert [stage["encoder"] for stage in stages] == [True, False]
        numbers = [epoch["stage"] for epoch in history]
        epochs = [stage["epochs"] for stage in stages]
        assert numbers == [1] * epochs[0] + [2] * epochs[1]
        # Of equal scores the lower validation loss decides.
        first = [(e["metric"][-1], -e["validation_loss"][-1]) for e in history[: epochs[0]]]
        assert stages[0]["best_epoch"] == first.index(max(first))
        others = [
            (sum(e["metric"][:-1]), -sum(e["validation_loss"][:-1])) for e in history[epochs[0] :]
        ]
        best = epochs[0] + others.index(max(others))
        assert stages[1]["best_epoch"] == record["best_epoch"] == best
        # The last exit stands where the best epoch of the first stage left it.
        for epoch in history[epochs[0] :]:
            assert (epoch["metric"][-1], -epoch["validation_loss"][-1]) == pytest.approx(max(first))

    def test_the_dynamics_are_those_of_the_second(self, two_stage: Run) -> None:
        dynamics, record = two_stage.dynamics(), two_stage.training()
        assert dynamics.epochs == record["stages"][1]["epochs"] >= 2
        assert dynamics.exits == EXITS
        assert np.ptp(dynamics.logits[:, -1], axis=0).max() == 0
        assert np.ptp(dynamics.logits[:, 0], axis=0).max() > 0
        kept = record["best_epoch"] - record["stages"][0]["epochs"]
        accuracy = (dynamics.logits[kept].argmax(axis=-1) == dynamics.labels).mean(axis=1)
        trace = two_stage.trace("validation")
        recorded = trace.correct[:, trace.columns(EXITS)].mean(axis=0)
        assert accuracy.tolist() == pytest.approx(recorded.tolist())

    def test_what_follows_training_works_as_ever(self, two_stage: Run) -> None:
        two_stage.fit()
        assert two_stage.evaluate(draws=10).rows

    def test_one_exit_is_refused_before_anything_is_written(
        self, tmp_path: Path, options: dict[str, Any]
    ) -> None:
        with pytest.raises(ConfigError, match="before the last"):
            dimec.train(**{**options, "exits": (4,)}, recipe="two-stage", out=tmp_path / "one")
        assert not (tmp_path / "one").exists()


class TestDepthLoss:
    def test_an_epoch_learns_under_it(self, tmp_path: Path, options: dict[str, Any]) -> None:
        state = _state(options, tmp_path, loss="depth")
        assert state.stage.weights == pytest.approx((1 / 7, 2 / 7, 4 / 7))
        model = MultiExitClassifier(state.model.config)
        model.load_state_dict(state.model.state_dict())
        inputs = state.encoded["train"].batch(np.arange(5), torch.device("cpu"))
        labels = torch.from_numpy(state.splits.train.labels[:5])
        logits = model.eval()(**inputs).logits
        by_hand = [0.0] * 5
        for row in range(5):
            for layer, scores in zip(EXITS, logits[row], strict=True):
                by_hand[row] += layer * -torch.log_softmax(scores, 0)[labels[row]].item() / 7
        assert joint_loss(logits, labels, state.stage.weights).tolist() == pytest.approx(by_hand)
        record, _ = run_epoch(state, 0)
        assert 0 < record.loss < 1.5  # a mean over the exits, where the joint loss is a sum

    def test_it_gives_another_model_than_the_sum(
        self, tmp_path: Path, options: dict[str, Any]
    ) -> None:
        states = [_state(options, tmp_path, loss=loss) for loss in ("joint", "depth")]
        (joint, _), (depth, _) = (run_epoch(state, 0) for state in states)
        assert joint.loss > 2 * depth.loss
        weights = [_weights(state.model)["heads.1.weight"] for state in states]
        assert not torch.equal(*weights)


def test_the_training_rows_are_recorded_as_they_are_learned_from(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    """Without dropout, and a rate too small to move the weights, each row's logits are known."""
    options = {**options, "backbone": str(make_backbone(tmp_path / "plain", dropout=0.0))}
    options |= {"head_dropout": 0.0, "learning_rate": 1e-12, "record_train": True}
    state = _state(options, tmp_path / "run")
    expected = state.model.eval()(
        **state.encoded["train"].batch(np.arange(160), torch.device("cpu"))
    ).logits
    _, logits = run_epoch(state, 0)
    np.testing.assert_allclose(logits["train"], expected.detach().numpy(), atol=1e-5)
    # and they are from before the step that they lead to, with the weights of that moment
    moving = _state({**options, "learning_rate": 3e-3}, tmp_path / "run")
    _, moved = run_epoch(moving, 0)
    first = training_batches(state.encoded["train"].lengths, 16, np.random.default_rng([0, 0]))[0]
    at_first = moved["train"][first]
    np.testing.assert_allclose(at_first, expected.detach().numpy()[first], atol=1e-5)
    later = np.setdiff1d(np.arange(160), first)
    assert np.abs(moved["train"] - expected.detach().numpy())[later].mean() > 0.01


def test_recording_changes_nothing_of_the_training(tmp_path: Path, options: dict[str, Any]) -> None:
    with_it = dimec.train(**options, record_train=True, out=tmp_path / "with")
    without = dimec.train(**options, out=tmp_path / "without")
    assert with_it.training()["model"] == without.training()["model"]
    assert np.array_equal(with_it.dynamics().logits, without.dynamics().logits)

    dynamics = with_it.dynamics("train")
    train = with_it.splits().train
    assert dynamics.guids == train.guids
    assert np.array_equal(dynamics.labels, train.labels)
    assert dynamics.exits == EXITS
    assert dynamics.logits.shape == (with_it.dynamics().epochs, 3, 160, 2)
    assert not np.array_equal(dynamics.logits[0], dynamics.logits[1])
    assert not (without.dynamics_path / "train.safetensors").exists()
    with pytest.raises(dimec.DimecError, match=re.escape("--record-train")):
        without.dynamics("train")


def test_a_two_stage_run_records_the_training_rows_at_the_exits_that_learn(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    run = dimec.train(**options, recipe="two-stage", record_train=True, out=tmp_path / "run")
    dynamics = run.dynamics("train")
    assert dynamics.exits == (1, 2)
    assert dynamics.logits.shape[:3] == (run.training()["stages"][1]["epochs"], 2, 160)
    path = run.dynamics_path / "train.safetensors"
    arrays, header = load_arrays(path, "training dynamics", "")
    assert header["exits"] == [1, 2]
    assert arrays["logits"].dtype == np.float32
