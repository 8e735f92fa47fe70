"""Tiers of their own whose reference somebody else fine-tuned: only the small ones are trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

import dimec
from dimec.base.errors import ConfigError, DataError
from dimec.cartography import softmax
from dimec.runs.run import Run
from dimec.runs.workspace import RunDirectory
from dimec.settings.tiers import TierSettings
from dimec.training import MultiExitClassifier
from dimec.training.own import _same_kind
from support.tiny import reviews, write_reviews

LABELS = ("positive", "negative")  # in another order than the task's


def save_classifier(folder: Path, backbone: Path, labels: tuple[str, ...]) -> Path:
    """A classifier on a random encoder, which is in ``backbone`` too, with its tokenizer."""
    torch.manual_seed(5)
    named = dict(enumerate(labels))
    config = hf.AutoConfig.from_pretrained(backbone, id2label=named)
    hf.AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    hf.AutoTokenizer.from_pretrained(backbone).save_pretrained(folder)
    return folder


def train(table: Path, out: Path, tiers: list[dict[str, Any]], **options: Any) -> Run:
    run: Run = dimec.train(
        task=f"csv:{table}",
        out=out,
        tier=tiers,
        epochs=2,
        student_epochs=2,
        max_tokens=32,
        precision="fp32",
        **options,
    )
    return run


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reviews(tmp_path_factory.mktemp("rows") / "reviews.csv", reviews(80))


@pytest.fixture(scope="module")
def tiers(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path) -> list[dict[str, Any]]:
    theirs = save_classifier(tmp_path_factory.mktemp("theirs"), tiny_backbone, LABELS)
    return [
        {"name": "phone", "model": str(tiny_backbone), "layer": 1},
        {"name": "cloud", "model": f"hf:{theirs}"},
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, table: Path, tiers: list[dict[str, Any]]) -> Run:
    out = tmp_path_factory.mktemp("run") / "own"
    return train(table, out, tiers, hidden_weight=0.1, exit0=False)


def test_the_reference_is_theirs_and_the_small_one_learnt_from_it(
    run: Run, tiers: list[dict[str, Any]]
) -> None:
    own, trace = run.training()["own"], run.trace("test")
    assert own["phone"]["teacher"] == own["cloud"]["model"]
    assert (own["phone"]["epochs"], own["cloud"]["epochs"]) == (2, 0)
    assert (trace.exits, trace.sources) == ((1, 4), ("phone", "cloud"))
    assert own["cloud"]["accuracy"] == [
        float(run.trace("validation").correct[:, -1].mean()),
    ]
    source = tiers[1]["model"].removeprefix("hf:")
    theirs = hf.AutoModelForSequenceClassification.from_pretrained(source).eval()
    tokenizer = hf.AutoTokenizer.from_pretrained(source)
    for row, text in enumerate(run.splits().test.texts):
        with torch.inference_mode():
            logits = theirs(**tokenizer(text, return_tensors="pt")).logits.numpy()
        said = softmax(logits)[0, ::-1]
        np.testing.assert_allclose(trace.probabilities[row, -1], said, atol=1e-6)


def test_a_finished_run_is_used_as_it_is(
    run: Run, table: Path, tiers: list[dict[str, Any]]
) -> None:
    before = run.training_path.stat().st_mtime_ns
    train(table, run.path, tiers, hidden_weight=0.1, exit0=False)
    assert run.training_path.stat().st_mtime_ns == before


def test_a_student_of_their_kind_begins_as_their_lower_layers(
    run: Run, tiers: list[dict[str, Any]], tmp_path: Path, own_backbones: tuple[Path, Path]
) -> None:
    cloud: RunDirectory = run.tier_runs()["cloud"]
    assert _same_kind(TierSettings(**tiers[0]), cloud)
    other = TierSettings(name="phone", model=str(own_backbones[1]))
    assert not _same_kind(other, cloud)


def test_one_between_two_that_are_trained_in_two_rounds(
    table: Path, tiers: list[dict[str, Any]], tmp_path: Path
) -> None:
    phone, ready = tiers
    between = [phone, {**ready, "name": "edge"}, {**phone, "name": "cloud", "layer": 2}]
    made = train(table, tmp_path / "run", between, rounds=2, exit0=False)
    own = made.training()["own"]
    assert [one["epochs"] for one in own.values()] == [2, 0, 2]
    assert own["phone"]["teacher"] == own["cloud"]["model"]
    assert own["edge"]["teacher"] is None
    edge = made.tier_runs()["edge"].model_path
    hf.AutoModelForSequenceClassification.from_pretrained(edge)
    last = MultiExitClassifier.from_pretrained(made.tier_runs()["cloud"].model_path)
    assert last.exits == (2,)


def test_texts_without_labels_join_whoever_learns(
    table: Path, tiers: list[dict[str, Any]], tmp_path: Path
) -> None:
    more = tmp_path / "more.txt"
    known = [text for text, _ in reviews(80)]
    new = [text for text, _ in reviews(30, seed=1)]
    more.write_text("\n".join([*new, *known]))
    made = train(table, tmp_path / "run", tiers, unlabelled=str(more), exit0=False)
    own = made.training()["own"]
    assert (own["phone"]["unlabelled"], own["cloud"]["unlabelled"]) == (30, 0)
    more.write_text("")
    with pytest.raises(DataError, match="has no texts"):
        train(table, tmp_path / "other", tiers, unlabelled=str(more))
    assert not (tmp_path / "other").exists()


def test_other_labels_are_refused_before_anything_is_trained(
    table: Path, tiers: list[dict[str, Any]], tiny_backbone: Path, tmp_path: Path
) -> None:
    other = save_classifier(tmp_path / "other", tiny_backbone, ("good", "bad"))
    wrong = [tiers[0], {"name": "cloud", "model": f"hf:{other}"}]
    with pytest.raises(ConfigError, match=r"expected 2 \(negative, positive\), got 2 \(good, bad"):
        train(table, tmp_path / "run", wrong)
    assert not (tmp_path / "run").exists()
