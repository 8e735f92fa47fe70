"""Compressed models of a finished run: what they leave, and their rows in its ledger."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from dimec.base.errors import (
    ConfigError,
    CorruptArtefactError,
    DataError,
    MismatchError,
    MissingArtefactError,
)
from dimec.base.progress import NoProgress
from dimec.base.storage import write_json
from dimec.cartography import softmax
from dimec.evaluation.replay import replay
from dimec.policies import system
from dimec.runs.compression import CompressedFolder, CompressionSettings, Method
from dimec.runs.run import Run
from dimec.settings.run import RunSettings
from dimec.tiers.latency import ModelShape
from dimec.traces.trace import Trace
from dimec.training.batching import encode
from dimec.training.compression.magnitude import share_left
from dimec.training.compression.make import compress_run
from dimec.training.compression.operations import linear_layers
from dimec.training.inference import predict
from dimec.training.model import MultiExitClassifier
from dimec.training.prepare import load_tokenizer
from support.listeners import Heard, Killed
from support.tiny import contents

# Operations of a layer of the tiny encoder: 4 heads' projections of 32·32, two matrices of 32·64.
LINEAR, PRODUCTS = 2 * 128 * (4 * 32 * 32 + 2 * 32 * 64), 4 * 128 * 128 * 32
SETTINGS: dict[Method, CompressionSettings] = {
    "magnitude": CompressionSettings(sparsity=0.6, epochs=2, batch_size=48),
    "heads": CompressionSettings("heads", sparsity=0.25, rows=40),
    "int8": CompressionSettings("int8"),
}
NAMES = {"magnitude": "pruned-magnitude", "heads": "pruned-heads", "int8": "int8-mobile"}


@pytest.fixture(scope="module")
def compressed(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A copy of the finished run with all three made; not to be changed."""
    run = Run(shutil.copytree(finished_run, tmp_path_factory.mktemp("compressed") / "run"))
    for settings in SETTINGS.values():
        compress_run(run, settings)
    return run


def folder_of(run: Run, method: str) -> CompressedFolder:
    return CompressedFolder(run.path / f"compressed-{method}")


def test_the_run_is_as_it_was(compressed: Run, finished_run: Path) -> None:
    own = contents(compressed.path)
    left = {name: own.pop(name) for name in list(own) if name.startswith("compressed-")}
    assert own == contents(finished_run)
    assert {Path(name).name for name in left if "/model/" not in name} == {
        "compressed.json",
        "trace-validation.safetensors",
        "trace-test.safetensors",
    }
    assert not list(compressed.path.rglob(".*.tmp"))


@pytest.mark.parametrize("method", SETTINGS)
def test_the_traces_have_one_exit_of_the_runs_samples(compressed: Run, method: str) -> None:
    folder = folder_of(compressed, method)
    record = folder.record()
    for split in ("validation", "test"):
        trace, whole = Trace.load(folder.trace_path(split)), compressed.trace(split)
        assert (trace.exits, trace.tiers) == ((4,), (4,))
        assert trace.model == record["fingerprint"] != whole.model
        assert set(trace.extra["layers_worth"]) == {record["layers_worth"]}
        apart = {"probabilities", "exits", "tiers", "sources", "tier_sources"}
        for field in fields(Trace):
            if field.name not in {*apart, "extra", "model", "models"}:
                np.testing.assert_equal(getattr(trace, field.name), getattr(whole, field.name))
        right = float((trace.predictions[:, 0] == trace.labels).mean())
        assert record["scores"][split]["compressed"]["accuracy"] == right
        assert record["scores"][split]["whole"]["accuracy"] == float(whole.correct[:, -1].mean())
        assert record["scores"][split]["exit"]["accuracy"] == float(whole.correct[:, -3].mean())


@pytest.mark.parametrize("method", ["magnitude", "heads"])
def test_loaded_again_the_model_says_what_the_traces_hold(compressed: Run, method: str) -> None:
    folder = folder_of(compressed, method)
    model = MultiExitClassifier.from_pretrained(folder.model_path)
    tokenizer = load_tokenizer(str(folder.model_path))
    logits = predict(model, encode(tokenizer, compressed.splits().test, 32))[0][:, -1]
    test = Trace.load(folder.trace_path("test"))
    assert np.array_equal(softmax(logits).astype(np.float32), test.probabilities[:, 0])


def test_so_many_weights_are_zero_and_so_much_is_charged(compressed: Run) -> None:
    folder = folder_of(compressed, "magnitude")
    model = MultiExitClassifier.from_pretrained(folder.model_path)
    sizes = [layer.weight.numel() for layer in linear_layers(model)]
    gone = sum(round(0.6 * size) for size in sizes) / sum(sizes)
    assert share_left(linear_layers(model)) == pytest.approx(1 - gone)
    record = folder.record()
    assert record["sparsity"] == pytest.approx(gone)
    worth = 4 * ((1 - gone) * LINEAR + PRODUCTS) / (LINEAR + PRODUCTS)
    assert record["layers_worth"] == pytest.approx(worth)
    assert ModelShape(32, 64).layer_flops(128) == LINEAR + PRODUCTS
    assert [epoch["sparsity"] > 0 for epoch in record["history"]] == [True, True]


def test_so_many_heads_are_gone_and_so_much_is_charged(compressed: Run) -> None:
    record = folder_of(compressed, "heads").record()
    assert sum(len(kept) for kept in record["heads"]) == 6  # of 8
    assert min(len(kept) for kept in record["heads"]) >= 1
    attention = LINEAR / 2 + PRODUCTS
    worth = 4 * (LINEAR / 2 + 0.75 * attention) / (LINEAR + PRODUCTS)
    assert record["layers_worth"] == pytest.approx(worth)


def test_8_bits_are_charged_a_quarter_of_the_linear_layers(compressed: Run) -> None:
    folder = folder_of(compressed, "int8")
    worth = 4 * (LINEAR / 4 + PRODUCTS) / (LINEAR + PRODUCTS)
    assert folder.record()["layers_worth"] == pytest.approx(worth)
    trace, whole = Trace.load(folder.trace_path("test")), compressed.trace("test")
    apart = np.abs(trace.probabilities[:, 0] - whole.probabilities[:, -1])
    assert 0 < apart.max() < 0.05


def test_each_is_a_row_of_the_ledger_on_the_same_samples(compressed: Run, tmp_path: Path) -> None:
    run = Run(shutil.copytree(compressed.path, tmp_path / "run"))
    ledger = run.evaluate(draws=10, systems=tuple(NAMES.values()))
    names = [row.policy for row in ledger.rows]
    assert names[-4:] == [*NAMES.values(), "oracle"]
    deployment = run.deployment()
    for method, name in NAMES.items():
        row, folder = ledger.row(name), folder_of(run, method)
        test = Trace.load(folder.trace_path("test"))
        assert row.accuracy == pytest.approx(float(test.correct[:, 0].mean()))
        price = deployment.tiers[0].price / deployment.exits[0] * folder.record()["layers_worth"]
        assert row.cost == pytest.approx(price)
        assert row.shares == {"mobile": 1.0, "edge": 0.0, "cloud": 0.0}
        one = replay(system(name).make(), test, deployment)
        assert row.accuracy == pytest.approx(one.right.mean())
    # They are points, and no curves.
    assert "pruned" not in (run.report_path / "curves.json").read_text()


def test_a_row_without_its_traces_is_refused(finished_run: Path) -> None:
    with pytest.raises(ConfigError, match=r"dimec compress .*run.* --method heads|--method heads"):
        Run(finished_run).evaluate(draws=5, systems=("pruned-heads",))


def test_traces_of_another_model_are_refused(compressed: Run, tmp_path: Path) -> None:
    run = Run(shutil.copytree(compressed.path, tmp_path / "run"))
    folder = folder_of(run, "int8")
    write_json(folder.record_path, {**folder.record(), "model": "0" * 64})
    with pytest.raises(MismatchError, match="belongs to another model"):
        run.evaluate(draws=5, systems=("int8-mobile",))
    write_json(folder.record_path, {**folder.record(), "model": run.training()["model"]})
    shutil.copy(folder_of(run, "heads").trace_path("test"), folder.trace_path("test"))
    with pytest.raises(MismatchError, match=r"the test trace in .* is not of the model"):
        run.evaluate(draws=5, systems=("int8-mobile",))


def test_a_finished_one_is_taken_as_it_is_and_other_settings_are_refused(
    compressed: Run,
) -> None:
    heard = Heard()
    compress_run(compressed, SETTINGS["heads"], progress=heard)
    assert any("made already" in line for line in heard.said)
    with pytest.raises(ConfigError, match=r"sparsity: 0\.25 here, 0\.5 there.*--overwrite"):
        compress_run(compressed, CompressionSettings("heads", sparsity=0.5, rows=40))


def test_interrupted_at_every_stage_it_ends_like_one_that_was_not(
    run_copy: Callable[..., Path], compressed: Run
) -> None:
    run = Run(run_copy())
    for moment in ("epoch 1 of 2", "epoch 2 of 2", "recording the validation trace"):
        with pytest.raises(KeyboardInterrupt):
            compress_run(run, SETTINGS["magnitude"], progress=Killed(moment))
        with pytest.raises(MissingArtefactError, match=r"compressed\.json"):
            folder_of(run, "magnitude").record()
    heard = Heard()
    compress_run(run, SETTINGS["magnitude"], progress=heard)
    assert any("after epoch 2 of 2" in line for line in heard.said)
    folders = [folder_of(one, "magnitude") for one in (run, compressed)]
    assert folders[0].record() == folders[1].record()
    for split in ("validation", "test"):
        one, two = (Trace.load(folder.trace_path(split)) for folder in folders)
        assert np.array_equal(one.probabilities, two.probabilities)
    assert not folders[0].checkpoint_path.exists()


def test_by_default_the_operations_are_those_of_the_mobiles_layers(
    run_copy: Callable[..., Path],
) -> None:
    run = Run(run_copy())
    settings = CompressionSettings(layer=3, epochs=1, batch_size=192)  # one step
    record = CompressedFolder(compress_run(run, settings)).record()
    assert record["layers_worth"] == pytest.approx(3, abs=0.01)
    assert record["wanted_sparsity"] == pytest.approx((1 - 3 / 4) * (1 + PRODUCTS / LINEAR))


class TestWhatIsRefused:
    def test_a_run_of_own_tiers(self, run_copy: Callable[..., Path]) -> None:
        run = own_tiers(run_copy())
        with pytest.raises(ConfigError, match="a model for each tier already"):
            compress_run(run, SETTINGS["int8"])
        assert not list(run.path.glob("compressed-*"))

    def test_a_run_without_its_data(self, run_copy: Callable[..., Path], tmp_path: Path) -> None:
        run = Run(run_copy())
        settings = run.settings()
        data = settings.data.model_copy(update={"task": f"csv:{tmp_path}/gone.csv"})
        settings.model_copy(update={"data": data}).save(run.config_path)
        with pytest.raises(DataError, match=r"gone\.csv"):
            compress_run(run, SETTINGS["int8"])
        assert not list(run.path.glob("compressed-*"))

    def test_a_run_that_is_not_trained(self, tmp_path: Path) -> None:
        with pytest.raises(MissingArtefactError, match=r"training\.json"):
            compress_run(Run(tmp_path), SETTINGS["int8"])

    def test_a_checkpoint_that_is_damaged(self, run_copy: Callable[..., Path]) -> None:
        run = Run(run_copy())
        with pytest.raises(KeyboardInterrupt):
            compress_run(run, SETTINGS["magnitude"], progress=Killed("epoch 2 of 2"))
        (file,) = folder_of(run, "magnitude").checkpoint_path.glob("epoch-*")
        file.write_bytes(file.read_bytes()[:-100])
        with pytest.raises(CorruptArtefactError, match=r"epoch 1 .* --overwrite"):
            compress_run(run, SETTINGS["magnitude"])


def own_tiers(path: Path) -> Run:
    """A run of own tiers as far as a student needs one: the run's model in its first tier."""
    run = Run(path)
    whole = shutil.copytree(path, path.with_name(f"{path.name}-tier"))
    settings = run.settings()
    tiers = [{"name": name, "model": settings.model.backbone} for name in ("phone", "cloud")]
    data = settings.data.model_dump(exclude_none=True)
    RunSettings.of({"data": data, "tiers": tiers}).save(run.config_path)
    shutil.copytree(whole, path / "tiers" / "phone")
    return run


class TestTheStudent:
    def test_its_rows_are_matched_by_name_and_it_is_charged_its_layers(
        self, run_copy: Callable[..., Path]
    ) -> None:
        run, other = Run(run_copy()), own_tiers(run_copy("own"))
        tier = other.path / "tiers" / "phone" / "trace-test.safetensors"
        whole = Trace.load(tier)
        order = np.random.default_rng(0).permutation(len(whole))
        whole.take(order).save(tier)
        settings = CompressionSettings("student", student=str(other.path))
        folder = CompressedFolder(compress_run(run, settings, progress=NoProgress()))
        test = Trace.load(folder.trace_path("test"))
        assert test.guids == whole.guids
        assert np.array_equal(test.probabilities[:, 0], whole.probabilities[:, -1])
        assert folder.record()["layers_worth"] == 4
        assert folder.record()["student"] == {"tier": "phone", "layers": 4}
        ledger = run.evaluate(draws=5, systems=("distilled-student",), curves=False)
        row = ledger.row("distilled-student")
        assert row.accuracy == pytest.approx(float(whole.correct[:, -1].mean()))

    def test_other_rows_are_refused(self, run_copy: Callable[..., Path]) -> None:
        run, other = Run(run_copy()), own_tiers(run_copy("own"))
        tier = other.path / "tiers" / "phone" / "trace-validation.safetensors"
        whole = Trace.load(tier)
        whole.take(np.arange(5)).save(tier)
        settings = CompressionSettings("student", student=str(other.path))
        with pytest.raises(MismatchError, match="lacks 19 of the run's 24 samples"):
            compress_run(run, settings)

    def test_a_run_of_one_model_has_none(self, run_copy: Callable[..., Path]) -> None:
        run = Run(run_copy())
        settings = CompressionSettings("student", student=str(run.path))
        with pytest.raises(ConfigError, match="one model for all tiers, and no student"):
            compress_run(run, settings)
