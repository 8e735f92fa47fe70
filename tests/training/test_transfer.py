from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow
import pytest
import torch

from dimec.base.errors import ConfigError, CorruptArtefactError, DataError
from dimec.data import load_task, split_dataset
from dimec.runs.run import Run
from dimec.settings.data import DataSettings
from dimec.training import MultiExitClassifier, transfer
from dimec.training.batching import encode
from dimec.training.exit0.run import exit0_of
from dimec.training.export.parity_rows import takes_pairs
from dimec.training.prepare import load_tokenizer
from dimec.training.recording import Workers
from dimec.training.transfer import record_other
from support.exports import save
from support.scoring import here
from support.tiny import reviews, write_reviews


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> DataSettings:
    """60 rows that the finished run has not seen."""
    path = tmp_path_factory.mktemp("elsewhere") / "other.csv"
    return DataSettings(task=f"csv:{write_reviews(path, reviews(60, seed=5))}")


def test_it_says_of_each_row_what_the_model_says(
    finished_run: Path, elsewhere: DataSettings
) -> None:
    run = Run(finished_run)
    trace = record_other(run, elsewhere)
    dataset = load_task(elsewhere.task)
    assert trace.split == "stream"
    assert trace.task == elsewhere.task
    assert trace.guids == dataset.guids
    assert trace.labels.tolist() == dataset.labels.tolist()
    assert trace.model == run.training()["model"]
    assert (trace.exits, trace.tiers) == ((0, 1, 2, 4), (1, 2, 4))
    model = MultiExitClassifier.from_pretrained(run.model_path).eval()
    encoded = encode(load_tokenizer(str(run.model_path)), dataset, 32)
    exit0 = exit0_of(run)
    assert exit0 is not None
    said = exit0.many(encoded.columns["input_ids"], encoded.offsets, trace.embeddings)
    np.testing.assert_array_equal(trace.probabilities[:, 0], said)
    for row in (0, 17, 59):
        with torch.inference_mode():
            output = model(**encoded.batch(np.array([row]), torch.device("cpu")))
        expected = torch.softmax(output.logits[0].double(), dim=-1).numpy()
        np.testing.assert_allclose(trace.probabilities[row, 1:], expected, atol=1e-5)
        np.testing.assert_allclose(trace.embeddings[row], output.embedding[0].numpy(), atol=1e-5)
    # A router of the run takes it as one of its own traces.
    run.router().route(trace.embeddings)


def test_a_file_that_training_had_is_refused(run_copy: Callable[..., Path], tmp_path: Path) -> None:
    run, rows = Run(run_copy()), reviews(60, seed=6)
    parts = {
        name: str(write_reviews(tmp_path / f"{name}.csv", rows[start::3]))
        for start, name in enumerate(("train", "validation", "test"))
    }
    data = DataSettings(**parts)
    run.settings().model_copy(update={"data": data}).save(run.config_path)
    for name in ("train", "validation"):
        for task in (parts[name], f"csv:{parts[name]}"):
            with pytest.raises(ConfigError, match="was trained on rows of"):
                record_other(run, DataSettings(task=task))
    assert len(record_other(run, DataSettings(task=parts["test"]))) == 20


def test_a_saved_split_that_training_had_is_refused(
    run_copy: Callable[..., Path], tmp_path: Path
) -> None:
    run, rows, folder = Run(run_copy()), reviews(60, seed=6), tmp_path / "saved"
    for start, name in enumerate(("train", "dev", "test")):
        texts, labels = zip(*rows[start::3], strict=True)
        save(folder / name, pyarrow.table({"text": texts, "label": labels}))
    data = DataSettings(task=f"datasets:{folder}")
    run.settings().model_copy(update={"data": data}).save(run.config_path)
    for task in (f"arrow:{folder}/train", f"arrow:{folder}/dev/data-00000-of-00002.arrow"):
        with pytest.raises(ConfigError, match="was trained on rows of"):
            record_other(run, DataSettings(task=task))
    assert len(record_other(run, DataSettings(task=f"arrow:{folder}/test"))) == 20


def test_labels_with_other_names_are_refused(finished_run: Path, tmp_path: Path) -> None:
    run, codes = Run(finished_run), {"negative": "1", "positive": "0"}
    rows = [(text, codes[label]) for text, label in reviews(60, seed=5)]
    numbers = DataSettings(task=f"csv:{write_reviews(tmp_path / 'numbers.csv', rows)}")
    with pytest.raises(DataError, match=r"has the labels 0, 1, .* negative, positive"):
        record_other(run, numbers)


def test_codes_are_those_of_the_model_where_the_names_come_in_another_order(
    finished_run: Path, elsewhere: DataSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = load_task(elsewhere.task)
    turned = replace(dataset, labels=1 - dataset.labels, label_names=dataset.label_names[::-1])
    monkeypatch.setattr(transfer, "read_dataset", lambda data: turned)
    trace = record_other(Run(finished_run), elsewhere)
    assert trace.label_names == dataset.label_names
    assert trace.labels.tolist() == dataset.labels.tolist()


def test_the_test_split_alone_and_a_sample(finished_run: Path, elsewhere: DataSettings) -> None:
    run, dataset = Run(finished_run), load_task(elsewhere.task)
    trace = record_other(run, elsewhere, rows="test", seed=3)
    assert trace.guids == split_dataset(dataset, seed=3).test.guids
    some = record_other(run, elsewhere, limit=21, seed=3)
    assert len(some) == 21
    assert abs(int(some.labels.sum()) - 10) <= 1
    places = [dataset.guids.index(guid) for guid in some.guids]
    assert places == sorted(places)
    assert places != list(range(21))
    assert record_other(run, elsewhere, limit=21, seed=3).guids == some.guids
    assert record_other(run, elsewhere, limit=21, seed=4).guids != some.guids
    assert len(record_other(run, elsewhere, limit=1000)) == 60
    with pytest.raises(ConfigError, match="limit is 1"):
        record_other(run, elsewhere, limit=1)


def test_rows_that_the_model_was_trained_on_are_refused(finished_run: Path) -> None:
    run = Run(finished_run)
    own = run.settings().data
    with pytest.raises(ConfigError, match="was trained on rows of"):
        record_other(run, own)
    # The test split is the run's own, whatever the seed.
    with pytest.raises(ConfigError, match="seed does nothing here"):
        record_other(run, own, rows="test", seed=99)
    trace = record_other(run, own, rows="test")
    assert trace.guids == run.trace("test").guids
    assert np.array_equal(trace.probabilities, run.trace("test").probabilities)


@pytest.fixture
def paired(elsewhere: DataSettings, tmp_path: Path) -> DataSettings:
    """Twelve rows with two texts each."""
    rows = [(text, f"so {text}", label) for text, label in reviews(12, seed=7)]
    table = write_reviews(tmp_path / "paired.csv", rows, ("text", "other", "label"))
    return DataSettings(task=f"csv:{table}", pair_column="other")


@pytest.mark.parametrize("engine", ["torch", "workers"])
class TestPairsAndSingleTexts:
    def refusal(self, run: Path, data: DataSettings, engine: str, folder: Path) -> str:
        workers = None if engine == "torch" else Workers(here, folder / "parts")
        with pytest.raises(DataError) as caught:
            record_other(Run(run), data, workers=workers)
        assert not (folder / "parts").exists()
        return str(caught.value)

    def test_pairs_for_a_model_of_one_text(
        self, finished_run: Path, paired: DataSettings, engine: str, tmp_path: Path
    ) -> None:
        said = self.refusal(finished_run, paired, engine, tmp_path)
        assert f"takes one text, and the rows of {paired.task} have pairs; name the " in said
        assert said.endswith("with text_column and pair_column, or give other rows")

    def test_single_texts_for_a_model_of_pairs(
        self, pair_run: Path, elsewhere: DataSettings, engine: str, tmp_path: Path
    ) -> None:
        said = self.refusal(pair_run, elsewhere, engine, tmp_path)
        assert f"takes pairs of texts, and the rows of {elsewhere.task} have one text" in said

    def test_of_tiers_with_a_model_each(
        self, own_run: Path, paired: DataSettings, engine: str, tmp_path: Path
    ) -> None:
        assert "takes one text" in self.refusal(own_run, paired, engine, tmp_path)


def without_exit0(run: Path) -> Run:
    record = json.loads((run / "training.json").read_text())
    (run / "training.json").write_text(json.dumps({**record, "exit0": None}))
    return Run(run)


class TestWhatTellsOfPairs:
    def test_exit_0_the_rows_that_a_run_keeps_or_its_data(
        self, run_copy: Callable[..., Path], pair_run: Path, tmp_path: Path
    ) -> None:
        for kept, pairs in (
            (run_copy(), False),
            (Path(shutil.copytree(pair_run, tmp_path / "p")), True),
        ):
            run = Run(kept)
            assert run.training()["exit0"]
            run.parity_path.rename(tmp_path / "aside")
            assert takes_pairs(run) is pairs
            (tmp_path / "aside").rename(run.parity_path)
            run = without_exit0(kept)
            assert takes_pairs(run) is pairs
            run.parity_path.unlink()
            assert takes_pairs(run) is pairs

    def test_nothing_does_and_the_rows_are_taken(
        self, run_copy: Callable[..., Path], paired: DataSettings
    ) -> None:
        run = without_exit0(run_copy())
        run.parity_path.unlink()
        gone = run.settings().data.model_copy(update={"task": "csv:gone.csv"})
        run.settings().model_copy(update={"data": gone}).save(run.config_path)
        assert takes_pairs(run) is None
        assert len(record_other(run, paired)) == 12


def test_an_altered_model_is_refused(
    run_copy: Callable[..., Path], elsewhere: DataSettings
) -> None:
    run = run_copy()
    weights = run / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CorruptArtefactError, match="altered"):
        record_other(Run(run), elsewhere)


def test_other_rows_than_all_or_test_are_refused(
    finished_run: Path, elsewhere: DataSettings
) -> None:
    with pytest.raises(ConfigError, match="'all' or 'test'"):
        record_other(Run(finished_run), elsewhere, rows="train")  # type: ignore[arg-type]
