"""Tiers with a model each: what each is, what it learns from, and what is of all of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dimec
from dimec.base.errors import ConfigError, CorruptArtefactError
from dimec.base.storage import write_json
from dimec.cartography import softmax
from dimec.runs.run import Run
from dimec.runs.workspace import RunDirectory
from dimec.settings.tiers import TierSettings
from dimec.training import MultiExitClassifier
from dimec.training.batching import encode
from dimec.training.inference import predict
from dimec.training.lesson import Lesson, UnlabelledTexts
from dimec.training.own import _same_kind, tier_settings
from dimec.training.prepare import load_tokenizer
from support.tiny import OWN_TIERS, train_own_tiny


@pytest.fixture(scope="module")
def run(own_run: Path) -> Run:
    return Run(own_run)


def _said(run: Run, tier: str, split: str) -> np.ndarray[Any, Any]:
    """What a tier's model says of the rows of a split, asked text by text: (N, X, C)."""
    folder = run.tier_runs()[tier].model_path
    model, tokenizer = MultiExitClassifier.from_pretrained(folder), load_tokenizer(str(folder))
    rows = getattr(run.splits(), split)
    said = []
    for text in rows.texts:
        one = UnlabelledTexts([text])
        said.append(softmax(predict(model, encode(tokenizer, one, 32))[0])[0])
    return np.array(said)


class TestTheRun:
    def test_each_tier_has_its_encoder_and_layers(self, run: Run) -> None:
        record = run.training()["own"]
        assert list(record) == ["phone", "edge", "cloud"]
        assert [one["layers"] for one in record.values()] == [1, 2, 3]
        assert [one["exits"] for one in record.values()] == [[1], [1, 2], [3]]
        widths = [
            MultiExitClassifier.from_pretrained(one.model_path).config.encoder.hidden_size
            for one in run.tier_runs().values()
        ]
        assert widths == [32, 32, 48]

    def test_the_smaller_ones_learnt_from_the_last(self, run: Run) -> None:
        own = run.training()["own"]
        assert own["cloud"]["teacher"] is None
        assert {own["phone"]["teacher"], own["edge"]["teacher"]} == {own["cloud"]["model"]}
        assert not run.teacher_path.exists()

    @pytest.mark.parametrize("split", ["validation", "test"])
    def test_the_trace_is_what_each_tier_says(self, run: Run, split: str) -> None:
        trace = run.trace(split)
        assert trace.exits == (0, 1, 1, 2, 3)
        assert trace.sources == ("phone", "phone", "edge", "edge", "cloud")
        assert (trace.tiers, trace.tier_sources) == ((1, 2, 3), ("phone", "edge", "cloud"))
        for tier, layers in {"phone": (1,), "edge": (1, 2), "cloud": (3,)}.items():
            columns = trace.columns(layers, (tier,) * len(layers))
            got = trace.probabilities[:, columns]
            np.testing.assert_allclose(got, _said(run, tier, split), rtol=0, atol=1e-5)

    def test_bytes_of_the_texts(self, run: Run) -> None:
        texts = run.splits().test.texts
        expected = [len(text.encode("utf-8")) for text in texts]
        assert run.trace("test").extra["text_bytes"].tolist() == expected

    def test_the_data_map_is_the_first_tier_s(self, run: Run) -> None:
        first = run.tier_runs()["phone"]
        assert np.array_equal(run.dynamics().logits, first.dynamics().logits)
        assert run.dynamics().exits == (1,)

    def test_a_finished_run_is_taken_as_it_is(
        self, run: Run, own_backbones: tuple[Path, Path], tiny_reviews: Path
    ) -> None:
        before = {p: p.stat().st_mtime_ns for p in run.path.rglob("*.safetensors")}
        train_own_tiny(tiny_reviews, own_backbones, run.path)
        assert {p: p.stat().st_mtime_ns for p in run.path.rglob("*.safetensors")} == before


@pytest.fixture
def copy(own_run: Path, tmp_path: Path) -> Run:
    return Run(shutil.copytree(own_run, tmp_path / "run"))


class TestWhatIsMissing:
    def test_a_trace_is_joined_again(
        self, copy: Run, own_backbones: tuple[Path, Path], tiny_reviews: Path
    ) -> None:
        expected, record = copy.trace("test"), copy.training()
        record["own"]["phone"]["first_round"] = [0.5]  # of a trial whose folder is gone
        write_json(copy.training_path, record)
        copy.trace_path("test").write_bytes(b"damaged")
        copy.tier_runs()["edge"].trace_path("test").unlink()
        train_own_tiny(tiny_reviews, own_backbones, copy.path)
        np.testing.assert_allclose(
            copy.trace("test").probabilities, expected.probabilities, rtol=0, atol=1e-6
        )
        assert copy.training() == record

    def test_a_tier_s_model_says_so(
        self, copy: Run, own_backbones: tuple[Path, Path], tiny_reviews: Path
    ) -> None:
        shutil.rmtree(copy.tier_runs()["edge"].model_path)
        with pytest.raises(CorruptArtefactError, match=r"tiers/edge/model is missing"):
            train_own_tiny(tiny_reviews, own_backbones, copy.path)

    def test_the_others_are_not_trained_again(
        self, copy: Run, own_backbones: tuple[Path, Path], tiny_reviews: Path
    ) -> None:
        """Interrupted before the first tier: the last and the middle one stay to the byte."""
        models = copy.training()["models"]
        copy.training_path.unlink()
        shutil.rmtree(copy.tier_runs()["phone"].path)
        weights = copy.tier_runs()["cloud"].model_path / "model.safetensors"
        before = weights.stat().st_mtime_ns
        train_own_tiny(tiny_reviews, own_backbones, copy.path)
        assert weights.stat().st_mtime_ns == before
        assert (
            copy.training()["models"] == models
        )  # the phone's too: the same lesson, the same bits


class TestSettings:
    def test_students_learn_longer_and_faster(self, run: Run) -> None:
        settings = run.settings()
        training = [tier_settings(settings, place).training for place in range(3)]
        assert [one.epochs for one in training] == [4, 4, 2]
        assert [one.patience for one in training] == [0, 0, settings.training.patience]
        how = settings.distillation.model_copy(update={"student_epochs": None})
        several = settings.training.model_copy(update={"epochs": 9})
        for given, epochs in ((settings.training, 6), (several, 9)):
            update = {"distillation": how, "training": given}
            assert tier_settings(settings.model_copy(update=update), 0).training.epochs == epochs
        assert training[0].learning_rate == pytest.approx(2 * settings.training.learning_rate)
        assert [one.exit0 for one in training] == [True, False, False]

    def test_the_last_tier_is_none_of_the_students(self, run: Run) -> None:
        """Its settings stay as they are, and so it is not trained anew, however they learn."""
        settings = run.settings()
        how = settings.distillation.model_copy(update={"student_epochs": 6, "temperature": 3.0})
        changed = settings.model_copy(update={"distillation": how})
        assert tier_settings(changed, 2) == tier_settings(settings, 2)
        student = tier_settings(changed, 1)
        assert student.training.epochs == 6
        assert student.distillation.temperature == 3.0

    def test_one_encoder_for_all(self, tiny_reviews: Path, tiny_backbone: Path) -> None:
        from dimec.data.backbones import with_own_tiers
        from dimec.runs.train import settings_of

        given = {"task": f"csv:{tiny_reviews}", "backbone": str(tiny_backbone), "recipe": "own"}
        settings = with_own_tiers(settings_of({**given, "tiers": {"a": 1, "b": 4}}, 0))
        assert [(one.name, one.layer) for one in settings.tier] == [("a", 1), ("b", 4)]
        assert {one.model for one in settings.tier} == {str(tiny_backbone)}
        assert with_own_tiers(settings) == settings

    def test_more_layers_than_there_are(self, tiny_reviews: Path, tiny_backbone: Path) -> None:
        tiers = [{"name": "a", "model": str(tiny_backbone), "layer": 9}, OWN_TIERS[-1]]
        with pytest.raises(ConfigError, match=r"the a tier is to run 9 layers, and .* has 4"):
            dimec.train(task=f"csv:{tiny_reviews}", out="unused", tier=tiers)

    def test_the_grid_is_refused(self, tiny_reviews: Path, tiny_backbone: Path) -> None:
        from dimec.runs.train import settings_of
        from dimec.training import train_grid

        settings = settings_of(
            {"task": f"csv:{tiny_reviews}", "backbone": str(tiny_backbone), "recipe": "own"}, 0
        )
        with pytest.raises(ConfigError, match="trains one model a point"):
            train_grid(settings, "unused")


class TestLesson:
    def test_a_student_begins_as_the_teacher_s_lower_layers(
        self, finished_run: Path, tiny_backbone: Path
    ) -> None:
        from dimec.training.lesson import begin_as

        teacher = MultiExitClassifier.from_pretrained(Run(finished_run).model_path).eval()
        student = MultiExitClassifier.from_backbone(
            tiny_backbone, labels=("a", "b"), exits="all", tiers=(2,), layers=2
        ).eval()
        begin_as(student, Run(finished_run).model_path)
        ids = torch.arange(5, 14)[None]
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        theirs = teacher.encoder(**inputs, output_hidden_states=True).hidden_states
        own = student.encoder(**inputs, output_hidden_states=True).hidden_states
        assert len(own) == 3
        for mine, other in zip(own, theirs, strict=False):
            assert torch.equal(mine, other)

    def test_words_that_were_added_to_a_tokenizer_make_another_kind(
        self, run_copy: Callable[..., Path], tiny_backbone: Path, tmp_path: Path
    ) -> None:
        """Training grows the table for them, and then it fits no table that did not grow."""
        teacher = RunDirectory(run_copy())
        grown = Path(shutil.copytree(tiny_backbone, tmp_path / "grown"))
        tokenizer = load_tokenizer(str(grown))
        words = len(tokenizer)
        tokenizer.add_tokens(["<url>"])
        tokenizer.save_pretrained(grown)
        plain, more = (TierSettings(name="a", model=str(one)) for one in (tiny_backbone, grown))
        assert (_same_kind(plain, teacher), _same_kind(more, teacher)) == (True, False)
        path = teacher.model_path / "config.json"
        config = json.loads(path.read_text("utf-8"))
        config["encoder"]["vocab_size"] = words + 1
        path.write_text(json.dumps(config), "utf-8")
        assert (_same_kind(plain, teacher), _same_kind(more, teacher)) == (False, True)

    def test_another_kind_is_refused(self, finished_run: Path, own_backbones: Any) -> None:
        from dimec.training.lesson import begin_as

        student = MultiExitClassifier.from_backbone(
            own_backbones[1], labels=("a", "b"), exits="all", tiers=(2,), layers=2
        )
        with pytest.raises(ConfigError, match="of another shape"):
            begin_as(student, Run(finished_run).model_path)

    def test_it_is_refused_before_the_teacher_is_trained(
        self, tiny_reviews: Path, own_backbones: tuple[Path, Path], tmp_path: Path
    ) -> None:
        told = r"start teacher wants .* that of the phone tier, .* that of the cloud tier"
        with pytest.raises(ConfigError, match=told):
            train_own_tiny(tiny_reviews, own_backbones, tmp_path / "run", start="teacher")
        assert not (tmp_path / "run" / "config.toml").exists()

    def test_the_layers_at_the_same_depth(self) -> None:
        hidden = np.zeros((1, 6, 4), np.float32)
        lesson = Lesson("t", np.zeros((1, 2), np.float32), hidden)
        assert lesson.layers_for((1, 2, 3), 3) == [1, 3, 5]  # layers 2, 4 and 6
        assert lesson.layers_for((1, 2), 2) == [2, 5]

    def test_the_digest_tells_lessons_apart(self) -> None:
        logits = np.ones((2, 2), np.float32)
        lessons = [
            Lesson("t", logits),
            Lesson("u", logits),
            Lesson("t", 2 * logits),
            Lesson("t", logits, start=Path("here")),
            Lesson("t", logits, unlabelled=UnlabelledTexts(["a"])),
            Lesson("t", logits, unlabelled=UnlabelledTexts(["b"])),
            Lesson("t", logits, weights=np.ones(2, np.float32)),
        ]
        assert len({lesson.digest for lesson in lessons}) == len(lessons)
        assert Lesson("t", logits.copy()).digest == lessons[0].digest
