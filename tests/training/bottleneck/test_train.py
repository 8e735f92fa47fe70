"""A bottleneck trained on a finished run: what it leaves, and that it can be killed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dimec.base.errors import ConfigError, CorruptArtefactError, MismatchError
from dimec.base.progress import NoProgress
from dimec.cartography import softmax
from dimec.data import Splits
from dimec.policies.literature.bottleneck import BottleneckPolicy
from dimec.policies.registry import FitInputs, system
from dimec.runs.bottleneck import Objective
from dimec.runs.run import Run
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace
from dimec.training.batching import encode
from dimec.training.bottleneck.epoch import behind_logits
from dimec.training.bottleneck.files import BottleneckFolder, weights_sha256
from dimec.training.bottleneck.spliced import answer
from dimec.training.bottleneck.train import (
    BottleneckSettings,
    bottleneck_traces,
    load_bottleneck,
    train_bottleneck,
)
from dimec.training.inference import predict
from dimec.training.model import MultiExitClassifier
from dimec.training.prepare import load_tokenizer
from support.listeners import Heard, Killed
from support.tiny import contents

FAST = BottleneckSettings(width=3, bits=4, epochs=2)


@pytest.fixture(scope="module", params=["task", "distil"])
def trained(
    request: pytest.FixtureRequest, finished_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A bottleneck of each objective, in a copy of the finished run; not to be changed."""
    import shutil

    run = tmp_path_factory.mktemp(request.param) / "run"
    shutil.copytree(finished_run, run)
    objective: Objective = request.param
    return train_bottleneck(Run(run), replace(FAST, objective=objective, train_tail=True))


class TestWhatItLeaves:
    def test_the_run_is_as_it_was(self, trained: Path, finished_run: Path) -> None:
        own = contents(trained.parent)
        others = {name: own.pop(name) for name in list(own) if name.startswith(trained.name)}
        assert own == contents(finished_run)
        assert {Path(name).name for name in others} == {
            "bottleneck.json",
            "weights.safetensors",
            "trace-validation.safetensors",
            "trace-test.safetensors",
        }

    def test_the_traces_are_the_runs_own_but_for_the_last_exit(self, trained: Path) -> None:
        record = BottleneckFolder(trained).record()
        for trace in bottleneck_traces(trained):
            whole = Run(trained.parent).trace(trace.split)
            for field in fields(Trace):
                if field.name not in ("probabilities", "extra", "model", "models"):
                    mine, theirs = getattr(trace, field.name), getattr(whole, field.name)
                    np.testing.assert_equal(mine, theirs)
            assert np.array_equal(trace.probabilities[:, :-1], whole.probabilities[:, :-1])
            assert not np.array_equal(trace.probabilities[:, -1], whole.probabilities[:, -1])
            assert trace.model == record["fingerprint"]
            assert trace.model == f"{whole.model}+{record['bottleneck']}"
            assert set(trace.extra) == {*whole.extra, "code_bytes", "code_layer"}
            assert set(trace.extra["code_layer"]) == {1.0}

    def test_loaded_again_it_says_what_the_traces_hold(self, trained: Path) -> None:
        student, run = load_bottleneck(trained), Run(trained.parent)
        tokenizer = load_tokenizer(str(run.model_path))
        test = bottleneck_traces(trained)[1]
        encoded = encode(tokenizer, run.splits().test, 32)
        logits = behind_logits(student, encoded, NoProgress(), "")
        assert np.array_equal(softmax(logits).astype(np.float32), test.probabilities[:, -1])
        # The mobile's exit, of the very same modules, is still the run's own.
        mobile = predict(student.model, encoded)[0][:, 0]
        recorded = test.probabilities[:, test.column(student.model.exits[0])]
        np.testing.assert_array_equal(softmax(mobile).astype(np.float32), recorded)

    def test_the_bytes_are_those_of_real_messages_and_lead_to_the_same_answers(
        self, trained: Path
    ) -> None:
        """Every test text on its own: mobile, message, cloud."""
        student, run = load_bottleneck(trained), Run(trained.parent)
        tokenizer, test = load_tokenizer(str(run.model_path)), bottleneck_traces(trained)[1]
        encoded = encode(tokenizer, run.splits().test, 32)
        for row in range(len(test)):
            inputs = encoded.batch(np.array([row]), student.model.device)
            with torch.no_grad():
                hidden = answer(student.model, inputs)[1][student.layer - 1][0]
                message = student.bottleneck.send(hidden)
                assert len(message) == test.extra["code_bytes"][row]
                restored = student.bottleneck.receive(message)[None]
                state: Any = restored
                for layer in student.behind:
                    state = layer(state)  # one text: no padding to mask
                logits = student.head(state.mean(dim=1))[0].numpy()
            np.testing.assert_allclose(softmax(logits), test.probabilities[row, -1], atol=1e-4)

    def test_the_record_counts_right_answers_and_bytes(self, trained: Path) -> None:
        record = BottleneckFolder(trained).record()
        for behind in bottleneck_traces(trained):
            whole, table = Run(trained.parent).trace(behind.split), record["scores"][behind.split]
            heads = {"split": (whole, 1), "whole": (whole, 3), "bottleneck": (behind, 3)}
            for name, (trace, column) in heads.items():
                right = 0
                for odds, label in zip(trace.probabilities[:, column], trace.labels, strict=True):
                    right += int(odds.argmax()) == label
                assert table[name]["accuracy"] == pytest.approx(right / len(trace))
            mean = sum(behind.lengths.tolist()) / len(behind)
            # 3 numbers of 4 bits are 12 bits, in 2 bytes; 32 numbers of 4 bytes; a token's 4
            assert record["bytes_per_sample"][behind.split] == {
                "code": pytest.approx(2 * mean),
                "hidden_states": pytest.approx(128 * mean),
                "text": pytest.approx(4 * mean),
            }
            assert behind.extra["code_bytes"].tolist() == [2.0 * t for t in behind.lengths]
        assert record["bytes_per_token"] == {"code": 2, "hidden_states": 128, "text": 4}
        assert record["parameters"] == 32 * 3 + 3 + 3 * 32 + 32 + 3
        assert record["rows"]["train"] == record["rows"]["train_available"] == 192

    def test_the_best_epoch_is_the_one_of_the_traces(self, trained: Path) -> None:
        record = BottleneckFolder(trained).record()
        merits = [(epoch["metric"], -epoch["validation_loss"]) for epoch in record["history"]]
        assert record["best_epoch"] == merits.index(max(merits))
        assert record["scores"]["validation"]["bottleneck"]["metric"] == max(merits)[0]
        names = {"task": ["bottleneck", "bottleneck and tail"]}
        names["distil"] = ["hidden states", "answers"]
        stages = [epoch["stage"] for epoch in record["history"]]
        assert stages == names[record["settings"]["objective"]]
        assert {"torch", "transformers", "dimec"} <= record["versions"].keys()

    def test_its_systems_replay_the_traces(self, trained: Path) -> None:
        validation, test = bottleneck_traces(trained)
        deployment = Deployment.paper(test.tiers)
        for name in ("bottlenet++", "bottlefit"):
            fitted = system(name).fit(FitInputs(validation, deployment, 0.02))
            outcome = fitted.policy.replay(test, deployment)
            assert np.array_equal(outcome.usage.layers[:, 2], 3 * outcome.usage.sent[:, 2])
        everything = BottleneckPolicy().replay(test, deployment).usage
        assert np.array_equal(everything.bytes[:, 2], test.extra["code_bytes"])


def test_the_full_width_in_fp32_is_the_run_itself(run_copy: Callable[..., Path]) -> None:
    """At the start, before a step is taken, nothing is lost; afterwards hardly anything."""
    run = Run(run_copy())
    tiny = BottleneckSettings(width=32, bits=32, epochs=2, learning_rate=1e-9)
    for trace in bottleneck_traces(train_bottleneck(run, tiny)):
        whole = run.trace(trace.split)
        np.testing.assert_allclose(trace.probabilities, whole.probabilities, atol=1e-4)
        assert trace.extra["code_bytes"].tolist() == (4 * 32 * trace.lengths).tolist()


class _Disguised(Run):
    """A run whose validation and test texts are others than they were."""

    def splits(self) -> Splits:
        splits = super().splits()
        parts = {}
        for name in ("validation", "test"):
            part = getattr(splits, name)
            parts[name] = replace(part, texts=tuple("film" for _ in part.texts))
        return replace(splits, **parts)


def test_nothing_is_learnt_from_validation_or_test(run_copy: Callable[..., Path]) -> None:
    """With other texts there the losses are the same to the last bit."""
    losses = []
    for kind, name in ((Run, "one"), (_Disguised, "two")):
        run = kind(run_copy(name))
        record = BottleneckFolder(train_bottleneck(run, FAST)).record()
        losses.append([epoch["loss"] for epoch in record["history"]])
    assert losses[0] == losses[1]


def test_fewer_rows_are_a_sample_with_each_class_in_proportion(
    run_copy: Callable[..., Path],
) -> None:
    run = Run(run_copy())
    folder = train_bottleneck(run, replace(FAST, max_train_rows=21))
    assert BottleneckFolder(folder).record()["rows"]["train"] == 21


class TestAFolderThatIsThere:
    def test_a_finished_bottleneck_is_taken_as_it_is(self, run_copy: Callable[..., Path]) -> None:
        run = Run(run_copy())
        folder, heard = train_bottleneck(run, FAST), Heard()
        before = contents(folder)
        assert train_bottleneck(run, FAST, progress=heard) == folder
        assert "trained already" in heard.said[-1]
        assert contents(folder) == before

    def test_other_settings_are_refused_by_name(self, run_copy: Callable[..., Path]) -> None:
        run = Run(run_copy())
        folder = train_bottleneck(run, FAST)
        before = contents(folder)
        with pytest.raises(ConfigError, match=r"batch_size: 32 here, 8 there.*--overwrite"):
            train_bottleneck(run, replace(FAST, batch_size=8))
        assert contents(folder) == before
        assert train_bottleneck(run, replace(FAST, batch_size=8), overwrite=True) == folder
        assert BottleneckFolder(folder).record()["settings"]["batch_size"] == 8

    def test_so_are_those_of_one_that_was_interrupted(self, run_copy: Callable[..., Path]) -> None:
        run = Run(run_copy())
        with pytest.raises(KeyboardInterrupt):
            train_bottleneck(run, FAST, progress=Killed("epoch 2 of 2"))
        with pytest.raises(ConfigError, match="seed: 0 here, 1 there"):
            train_bottleneck(run, replace(FAST, seed=1))

    def test_other_widths_and_objectives_stand_side_by_side(
        self, run_copy: Callable[..., Path]
    ) -> None:
        run = Run(run_copy())
        others = {
            "bottleneck-1-3-4-task": FAST,
            "bottleneck-1-2-4-task": replace(FAST, width=2),
            "bottleneck-1-3-8-task": replace(FAST, bits=8),
            "bottleneck-2-3-4-task": replace(FAST, layer=2),
            "bottleneck-1-3-4-distil": replace(FAST, objective="distil"),
            "bottleneck-1-3-4-task-tail": replace(FAST, train_tail=True),
        }
        for name, settings in others.items():
            assert settings.for_tiers((1, 2, 4)).folder_name == name
        for name in list(others)[:2]:
            assert train_bottleneck(run, others[name]).name == name
        for name in list(others)[:2]:
            bottleneck_traces(run.path / name)

    def test_a_run_trained_again_since_is_noticed(self, run_copy: Callable[..., Path]) -> None:
        run = Run(run_copy())
        folder = train_bottleneck(run, FAST)
        record = json.loads(run.training_path.read_text())
        run.training_path.write_text(json.dumps({**record, "model": "0" * 64}))
        with pytest.raises(MismatchError, match="belongs to the model"):
            bottleneck_traces(folder)
        with pytest.raises(CorruptArtefactError, match="altered since it was trained"):
            train_bottleneck(run, FAST)

    @pytest.mark.parametrize(
        "name", ["weights.safetensors", "trace-test.safetensors", "bottleneck.json"]
    )
    def test_a_damaged_file_is_refused(self, run_copy: Callable[..., Path], name: str) -> None:
        folder = train_bottleneck(Run(run_copy()), FAST)
        path = folder / name
        path.write_bytes(path.read_bytes()[:-20])
        reader = load_bottleneck if name.startswith("weights") else bottleneck_traces
        with pytest.raises(CorruptArtefactError, match=name):
            reader(folder)

    def test_a_trace_of_another_bottleneck_is_refused(self, run_copy: Callable[..., Path]) -> None:
        run = Run(run_copy())
        one, two = train_bottleneck(run, FAST), train_bottleneck(run, replace(FAST, width=2))
        (one / "trace-test.safetensors").write_bytes((two / "trace-test.safetensors").read_bytes())
        with pytest.raises(MismatchError, match="not of the bottleneck beside it"):
            bottleneck_traces(one)

    def test_an_altered_checkpoint_is_refused(self, run_copy: Callable[..., Path]) -> None:
        run = Run(run_copy())
        with pytest.raises(KeyboardInterrupt):
            train_bottleneck(run, FAST, progress=Killed("epoch 2 of 2"))
        path = run.path / "bottleneck-1-3-4-task" / "checkpoint" / "epoch-0001.safetensors"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        with pytest.raises(CorruptArtefactError, match=r"epoch 1 .*--overwrite"):
            train_bottleneck(run, FAST)


class TestSettings:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"width": 0}, "width of at least 1, got 0"),
            ({"bits": 17}, "1 to 16 bits"),
            (
                {"objective": "both"},
                "one of task, distil, reconstruction, head-distillation, got 'both'",
            ),
            ({"epochs": 1}, "epochs must be at least 2, got 1"),
            ({"layer": 0}, "layer must be at least 1, got 0"),
            ({"max_train_rows": 0}, "max_train_rows must be at least 1"),
            ({"learning_rate": 0.0}, r"learning_rate must lie between 0 and 1, got 0\.0"),
            ({"tail_learning_rate": float("nan")}, "tail_learning_rate must lie between"),
        ],
    )
    def test_what_is_out_of_range_is_refused(self, wrong: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            BottleneckSettings(**wrong)

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"layer": 4}, r"before the last layer, 4.*--layer 4"),
            ({"width": 33}, "32; got --width"),
        ],
    )
    def test_what_does_not_fit_the_model_is_refused_and_leaves_nothing(
        self, run_copy: Callable[..., Path], wrong: dict[str, Any], message: str
    ) -> None:
        run = Run(run_copy())
        before = contents(run.path)
        with pytest.raises(ConfigError, match=message):
            train_bottleneck(run, replace(FAST, **wrong))
        assert contents(run.path) == before

    def test_a_layer_between_two_exits_will_do(self, run_copy: Callable[..., Path]) -> None:
        folder = train_bottleneck(Run(run_copy()), replace(FAST, layer=3))
        record = BottleneckFolder(folder).record()
        assert "split" not in record["scores"]["test"]
        trace = bottleneck_traces(folder)[1]
        usage = BottleneckPolicy().replay(trace, Deployment.paper(trace.tiers)).usage
        assert set(usage.layers[:, 0]) == {3.0}


def test_the_digest_is_of_names_and_values() -> None:
    one: dict[str, Any] = {"a": np.arange(3.0), "b": np.zeros(2)}
    assert weights_sha256(one) == weights_sha256(dict(reversed(one.items())))
    others: list[dict[str, Any]] = [
        {"a": one["a"]},
        {**one, "b": np.ones(2)},
        {**one, "b": np.zeros((1, 2))},
    ]
    others += [{"a": one["a"], "c": one["b"]}, {**one, "b": np.zeros(2, np.float32)}]
    assert len({weights_sha256(other) for other in [one, *others]}) == 6


def test_what_is_not_behind_the_split_is_loaded_as_the_run_has_it(trained: Path) -> None:
    run = Run(trained.parent)
    own = MultiExitClassifier.from_pretrained(run.model_path).state_dict()
    loaded = load_bottleneck(trained).model.state_dict()
    assert own.keys() == loaded.keys()
    behind = (".layer.1.", ".layer.2.", ".layer.3.", "heads.4.")
    kept = [name for name in own if not any(part in name for part in behind)]
    assert any(".layer.0." in name for name in kept)
    for name in kept:
        assert torch.equal(own[name], loaded[name]), name


@pytest.mark.parametrize("name", ["cde", "hnd"])
def test_what_was_trained_at_the_split_is_stored_and_is_a_row(
    run_copy: Callable[..., Path], name: str
) -> None:
    run = Run(run_copy())
    objective: Objective = "reconstruction" if name == "cde" else "head-distillation"
    path = train_bottleneck(run, replace(FAST, objective=objective))
    student, test = load_bottleneck(path), bottleneck_traces(path)[1]
    encoded = encode(load_tokenizer(str(run.model_path)), run.splits().test, 32)
    logits = behind_logits(student, encoded, NoProgress(), "")
    assert np.array_equal(softmax(logits).astype(np.float32), test.probabilities[:, -1])
    row = run.evaluate(draws=5, systems=(name,), curves=False).row(name)
    fitted = system(name).fit(FitInputs(bottleneck_traces(path)[0], run.deployment(), 0.02))
    one = fitted.policy.replay(test, run.deployment())
    assert row.accuracy == pytest.approx((one.answers * test.correct).sum(axis=1).mean())
    assert row.cost == pytest.approx(one.cost.mean())


@pytest.mark.parametrize("objective", ["reconstruction", "head-distillation"])
def test_a_tail_that_cannot_learn_is_refused(objective: Objective) -> None:
    with pytest.raises(ConfigError, match=f"train_tail does nothing with objective {objective}"):
        replace(FAST, objective=objective, train_tail=True)


def test_several_bottlenecks_of_one_system_are_refused(run_copy: Callable[..., Path]) -> None:
    run = Run(run_copy())
    for bits in (4, 5):
        train_bottleneck(run, replace(FAST, bits=bits))
    with pytest.raises(ConfigError, match=r"several trained bottlenecks for bottlenet\+\+"):
        run.evaluate(draws=5, systems=("bottlenet++",), curves=False)
