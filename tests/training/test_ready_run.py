"""A ready classifier's run: recorded once, gone on with, and taken anew when it has changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from dimec.base.errors import ConfigError
from dimec.base.progress import NoProgress
from dimec.cartography import softmax
from dimec.data import Splits
from dimec.runs.intake import Intake, take_in
from dimec.runs.workspace import RunDirectory
from dimec.settings.run import RunSettings
from dimec.settings.tiers import TierSettings
from dimec.training.bottleneck.prepare import sound_model
from dimec.training.export.parity_rows import load_rows
from dimec.training.finish import model_fingerprint
from dimec.training.ready_run import take_ready
from dimec.training.transfer import record_rows
from support.classifiers import save_classifier, save_with_tokenizer
from support.tiny import contents, reviews, write_reviews

LABELS = ("negative", "positive")


class Notes(NoProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


class Place:
    """A run directory with a ready tier, the classifier that it is taken from, and its rows."""

    def __init__(self, folder: Path, kind: str = "bert", pairs: bool = False) -> None:
        self.theirs = save_with_tokenizer(folder / "theirs", kind, LABELS[::-1])
        columns = ("text", "pair", "label") if pairs else ("text", "label")
        rows = [(text, *(["a film"] if pairs else []), label) for text, label in reviews(60)]
        table = write_reviews(folder / "reviews.csv", rows, columns)
        data = {"task": f"csv:{table}"} | ({"pair_column": "pair"} if pairs else {})
        self.cloud = {"name": "cloud", "model": f"hf:{self.theirs}"}
        own = [{"name": "phone", "model": "minilm-l6", "layer": 2}, self.cloud]
        self.settings = RunSettings.of({"data": data, "model": {"max_tokens": 24}, "tiers": own})
        plain = RunSettings.of({"data": data, "model": {"backbone": str(self.theirs)}})
        self.intake: Intake = take_in(plain, NoProgress())
        self.run = RunDirectory(folder / "run" / "tiers" / "cloud")

    @property
    def splits(self) -> Splits:
        return self.intake.splits

    def take(self, **model: Any) -> Notes:
        notes = Notes()
        settings = self.settings
        if model:
            changed = settings.model.model_copy(update=model)
            settings = settings.model_copy(update={"model": changed})
        tier = TierSettings(**self.cloud)
        take_ready(self.run, settings, self.splits, tier, notes, rows=self.intake.fingerprint)
        return notes


def said(run: RunDirectory) -> list[Any]:
    """All that a run records; not its bytes, whose headers come in any order."""
    traces = [run.trace(split) for split in ("validation", "test")]
    arrays = [(trace.probabilities.tolist(), trace.embeddings.tolist()) for trace in traces]
    return [run.training(), model_fingerprint(run.model_path), *arrays, load_rows(run, 24)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("ready"))
    place.take()
    return place


@pytest.fixture
def place(made: Place, tmp_path: Path) -> Place:
    """A copy of what was taken, for tests that change it."""
    copy = object.__new__(Place)
    copy.__dict__.update(made.__dict__)
    copy.run = RunDirectory(tmp_path / "run" / "tiers" / "cloud")
    shutil.copytree(made.run.path, copy.run.path)
    return copy


def test_the_traces_hold_what_transformers_says_of_each_text(made: Place) -> None:
    theirs = hf.AutoModelForSequenceClassification.from_pretrained(made.theirs).eval()
    tokenizer = hf.AutoTokenizer.from_pretrained(made.theirs)
    for split in ("validation", "test"):
        rows, trace = getattr(made.splits, split), made.run.trace(split)
        assert (trace.exits, trace.tiers, trace.split) == ((2,), (2,), split)
        assert trace.label_names == LABELS
        assert trace.guids == tuple(rows.guids)
        np.testing.assert_array_equal(trace.labels, rows.labels)
        for row, text in enumerate(rows.texts):
            inputs = tokenizer(text, truncation=True, max_length=24, return_tensors="pt")
            with torch.inference_mode():
                output = theirs(**inputs, output_hidden_states=True)
            wanted = softmax(output.logits.numpy())[0, ::-1]
            np.testing.assert_allclose(trace.probabilities[row, 0], wanted, atol=1e-6)
            mean = output.hidden_states[0][0].mean(dim=0).numpy()
            np.testing.assert_allclose(trace.embeddings[row], mean, atol=1e-6)
            assert trace.lengths is not None
            assert trace.lengths[row] == inputs["input_ids"].shape[1]


def test_it_is_a_run_like_any_other(made: Place) -> None:
    run, record = made.run, made.run.training()
    assert record["model"] == model_fingerprint(run.model_path)
    assert record["ready"] is True
    assert (record["history"], record["stages"], record["epochs"]) == ([], [], 0)
    assert record["labels"] == list(LABELS)
    assert record["origin"]["fingerprint"] == model_fingerprint(made.theirs)
    trace = run.trace("validation")
    assert record["accuracy"] == record["score"] == [float(trace.correct.mean())]
    assert run.settings().tier == ()
    assert run.settings().model.max_tokens == 24
    assert run.splits().validation.guids == made.splits.validation.guids
    rows = load_rows(run, 24)
    assert rows.texts[: len(made.splits.validation)] == list(made.splits.validation.texts)
    assert run.shape().width == 16
    again = record_rows(run, made.splits.test, split="test")
    np.testing.assert_array_equal(again.probabilities, run.trace("test").probabilities)
    hf.AutoModelForSequenceClassification.from_pretrained(run.model_path)
    with pytest.raises(ConfigError, match="taken as it is"):
        sound_model(run)


def test_a_finished_one_is_left_as_it_is(place: Place) -> None:
    before = contents(place.run.path)
    times = {path: path.stat().st_mtime_ns for path in place.run.path.rglob("*.safetensors")}
    notes = place.take()
    assert len(notes.lines) == 1
    assert "already, as it is" in notes.lines[0]
    assert contents(place.run.path) == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_an_interrupted_one_goes_on_and_ends_alike(place: Place) -> None:
    before = said(place.run)
    place.run.training_path.unlink()
    place.run.trace_path("test").unlink()
    shutil.rmtree(place.run.model_path)
    kept = place.run.trace_path("validation").stat().st_mtime_ns
    place.take()
    assert said(place.run) == before
    assert place.run.trace_path("validation").stat().st_mtime_ns == kept


@pytest.mark.parametrize("damaged", ["trace-test.safetensors", "model/config.json"])
def test_what_is_damaged_is_made_again(place: Place, damaged: str) -> None:
    before = said(place.run)
    path = place.run.path / damaged
    path.write_bytes(path.read_bytes()[:-3])
    place.take()
    assert said(place.run) == before


def test_another_classifier_there_is_taken_anew(place: Place, tmp_path: Path) -> None:
    before = place.run.training()
    place.theirs = Path(shutil.copytree(place.theirs, tmp_path / "theirs"))
    place.cloud = {"name": "cloud", "model": f"hf:{place.theirs}"}
    place.take()
    moved = place.run.training()
    assert moved["model"] == before["model"]
    path = place.theirs / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "layer_norm_eps": 0.1}))
    place.take()
    changed = place.run.training()
    assert changed["model"] != before["model"]
    assert place.run.trace("test").model == changed["model"]
    # One that is gone is still what it was.
    shutil.rmtree(place.theirs)
    assert "already, as it is" in place.take().lines[-1]
    place.run.training_path.unlink()
    with pytest.raises(ConfigError, match="there is no folder"):
        place.take()


def test_other_settings_are_another_run(place: Place) -> None:
    before = place.run.training()["model"]
    (place.run.path / "fit.json").write_text("{}")
    place.take(max_tokens=16)
    assert place.run.training()["model"] != before
    assert int(place.run.trace("test").lengths.max()) <= 16
    assert not place.run.fit_path.exists()  # fitted to what is no longer there


def test_pairs_for_a_classifier_without_token_types(tmp_path: Path) -> None:
    """Its tokenizer would give them; the saved one does not, so that no graph asks for them."""
    place = Place(tmp_path, "distilbert", pairs=True)
    place.take()
    tokenizer = hf.AutoTokenizer.from_pretrained(place.run.model_path)
    assert set(tokenizer("a film", "the plot")) == {"input_ids", "attention_mask"}
    theirs = hf.AutoModelForSequenceClassification.from_pretrained(place.theirs).eval()
    rows, trace = place.splits.test, place.run.trace("test")
    assert rows.pairs is not None
    inputs = tokenizer(
        rows.texts[0], rows.pairs[0], truncation=True, max_length=24, return_tensors="pt"
    )
    with torch.inference_mode():
        wanted = softmax(theirs(**inputs).logits.numpy())[0, ::-1]
    np.testing.assert_allclose(trace.probabilities[0, 0], wanted, atol=1e-6)


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ({"vocab_size": 20}, "they do not belong together"),
            (
                {"vocab_size": 600, "max_position_embeddings": 12},
                "takes texts of at most 12 tokens",
            ),
            ({"id2label": {0: "bad", 1: "good"}}, "has other labels than the task"),
        ],
    )
    def test_before_anything_is_written(
        self, made: Place, tmp_path: Path, options: dict[str, Any], match: str
    ) -> None:
        folder = save_classifier(tmp_path / "theirs", "bert", LABELS, **options)
        hf.AutoTokenizer.from_pretrained(made.theirs).save_pretrained(folder)
        run = RunDirectory(tmp_path / "run")
        tier = TierSettings(name="cloud", model=f"hf:{folder}")
        with pytest.raises(ConfigError, match=match):
            take_ready(run, made.settings, made.splits, tier)
        assert not run.path.exists()
