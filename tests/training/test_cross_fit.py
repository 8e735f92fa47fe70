"""What models say of training rows that they have not seen: trained, asked, and put together."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dimec
from dimec.base.errors import ConfigError, DataError, MissingArtefactError
from dimec.base.storage import read_json, write_json
from dimec.bundle.exit0 import Exit0
from dimec.cartography import softmax
from dimec.runs.run import Run
from dimec.runs.train import settings_of
from dimec.traces.trace import Trace
from dimec.training import MultiExitClassifier, cross_fit, train_grid
from dimec.training.batching import encode
from dimec.training.cross_fit import parts_of
from dimec.training.inference import predict
from dimec.training.lesson import UnlabelledTexts
from dimec.training.prepare import load_tokenizer
from support.tiny import Said, environment, reviews, write_reviews
from support.warm import WarmProcess, warm_dimec


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.integers(2, 7), st.integers(0, 9))
def test_parts_are_even_in_every_class_and_in_size(
    labels: list[int], count: int, seed: int
) -> None:
    parts = parts_of(np.array(labels), count, seed)
    assert parts.shape == (len(labels),)
    assert set(parts.tolist()) <= set(range(count))
    sizes = np.bincount(parts, minlength=count)
    assert sizes.sum() == len(labels)
    assert sizes.max() - sizes.min() <= 1
    for code in set(labels):
        own = np.bincount(parts[np.array(labels) == code], minlength=count)
        assert own.max() - own.min() <= 1
    assert parts.tolist() == parts_of(np.array(labels), count, seed).tolist()


def test_which_row_is_where_is_chance() -> None:
    labels = np.zeros(60, np.int64)
    assert parts_of(labels, 3, 0).tolist() != parts_of(labels, 3, 1).tolist()


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reviews(tmp_path_factory.mktemp("rows") / "reviews.csv", reviews(120))


def _train(folder: Path, table: Path, **options: Any) -> tuple[Run, Path]:
    """A run cross-fitted in two parts, and the parts with the models that they gave up."""
    kept, give_up = folder / "kept", cross_fit._give_up

    def keep(fold: Any) -> None:
        shutil.copytree(fold.path, kept / fold.path.name)
        give_up(fold)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cross_fit, "_give_up", keep)
        run = dimec.train(
            task=f"csv:{table}",
            epochs=2,
            learning_rate=3e-3,
            max_tokens=32,
            precision="fp32",
            cross_fit=2,
            out=folder / "run",
            **options,
        )
    return run, kept


@pytest.fixture(scope="module")
def joint(
    tmp_path_factory: pytest.TempPathFactory, table: Path, tiny_backbone: Path
) -> tuple[Run, Path]:
    return _train(
        tmp_path_factory.mktemp("joint"), table, backbone=str(tiny_backbone), exits=(1, 2, 4)
    )


@pytest.fixture(scope="module")
def own(
    tmp_path_factory: pytest.TempPathFactory, table: Path, own_backbones: tuple[Path, Path]
) -> tuple[Run, Path]:
    small, large = map(str, own_backbones)
    tiers = [
        {"name": "phone", "model": small, "layer": 1},
        {"name": "cloud", "model": large, "layer": 2},
    ]
    folder = tmp_path_factory.mktemp("own")
    # Among texts without labels are all training rows: a part's model must not learn from them.
    more = folder / "more.txt"
    texts = [text for text, _ in (*reviews(120), *reviews(8, seed=5))]
    more.write_text("".join(f"{text}\n" for text in texts))
    return _train(folder, table, tier=tiers, student_epochs=2, unlabelled=str(more))


@pytest.fixture(scope="module", params=["joint", "own"])
def made(request: pytest.FixtureRequest) -> tuple[Run, Path]:
    made: tuple[Run, Path] = request.getfixturevalue(request.param)
    return made


def _said(model_of: Run, text: str) -> list[np.ndarray[Any, Any]]:
    """What a run's model says of one text at each exit, exit 0 first where it has one."""
    folder = model_of.model_path
    model, tokenizer = MultiExitClassifier.from_pretrained(folder), load_tokenizer(str(folder))
    encoded = encode(tokenizer, UnlabelledTexts([text]), 32)
    logits, embedding = predict(model, encoded)
    said = list(softmax(logits)[0])
    if model_of.exit0_path.exists():
        exit0 = Exit0.load(model_of.exit0_path, "")
        first = exit0.many(encoded.columns["input_ids"], encoded.offsets, embedding)
        said = [first[0], *said]
    return said


def test_each_row_has_what_the_model_that_has_not_seen_it_says(made: tuple[Run, Path]) -> None:
    """Asked text by text, of models that were kept aside; and none was trained on its rows."""
    run, kept = made
    trace, rows = run.out_of_fold(), run.splits().train
    assert trace is not None
    assert trace.guids == tuple(rows.guids)
    assert np.array_equal(trace.labels, rows.labels)
    folds = trace.extra["fold"].astype(int).tolist()
    assert set(folds) == {0, 1}
    trained = [set(Run(kept / str(fold)).splits().train.guids) for fold in (0, 1)]
    for guid, fold in zip(rows.guids, folds, strict=True):
        assert guid not in trained[fold]
        assert guid in trained[1 - fold]
    for row in (*range(0, len(rows), 9), len(rows) - 1):
        one = Run(kept / str(folds[row]))
        models = list(one.tier_runs().values()) or [one]
        expected = [said for model in models for said in _said(Run(model.path), rows.texts[row])]
        np.testing.assert_allclose(trace.probabilities[row], expected, rtol=0, atol=1e-5)


def test_no_part_learns_from_a_row_that_stands_among_texts_without_labels(
    own: tuple[Run, Path],
) -> None:
    run, kept = own
    counts = {
        one.training()["own"]["phone"]["unlabelled"]
        for one in (run, Run(kept / "0"), Run(kept / "1"))
    }
    assert counts == {8}


def test_it_stands_for_the_final_model(made: tuple[Run, Path]) -> None:
    run, _ = made
    trace, final = run.out_of_fold(), run.trace("validation")
    assert trace is not None
    assert trace.split == "out-of-fold"
    for name in ("model", "models", "exits", "sources", "tiers", "tier_sources", "label_names"):
        assert getattr(trace, name) == getattr(final, name), name
    assert set(trace.extra) == {*final.extra, "fold"}
    if "text_bytes" in final.extra:
        texts = run.splits().train.texts
        assert trace.extra["text_bytes"].tolist() == [len(text.encode()) for text in texts]


def test_the_record_says_how_alike_they_are(made: tuple[Run, Path]) -> None:
    """The verdict is of the validation split, which no model was trained on."""
    run, kept = made
    record, final = run.cross_fit(), run.trace("validation")
    assert record is not None
    folds = [Run(kept / str(fold)).trace("validation") for fold in (0, 1)]
    assert (record["folds"], record["rows"]) == (2, len(run.splits().train))
    assert record["exits"] == list(final.exits)
    assert record["seconds"] > 0
    for at in range(len(final.exits)):
        shift = [fold.confidences[:, at] - final.confidences[:, at] for fold in folds]
        assert record["confidence"][at] == pytest.approx(np.mean(shift))
        far = [np.abs(f.probabilities - final.probabilities)[:, at].sum(axis=1) / 2 for f in folds]
        assert record["variation"][at] == pytest.approx(np.mean(far), abs=1e-6)
    trace = run.out_of_fold()
    assert trace is not None
    assert record["accuracy"]["out-of-fold"] == trace.correct.mean(axis=0).tolist()


def test_the_parts_keep_their_records_and_give_up_their_weights(made: tuple[Run, Path]) -> None:
    run, _ = made
    for fold in (0, 1):
        part = Run(run.cross_fit_path / str(fold))
        assert part.training()["rows"]["train"] < run.training()["rows"]["train"]
        assert part.settings().distillation.cross_fit == 0
    assert not list(run.cross_fit_path.rglob("model.safetensors"))
    assert list(run.path.rglob("model.safetensors"))


class TestAgain:
    def test_a_finished_run_is_taken_as_it_is_and_its_trace_put_together_anew(
        self, joint: tuple[Run, Path], tmp_path: Path, cli: Callable[..., Said]
    ) -> None:
        run = Run(shutil.copytree(joint[0].path, tmp_path / "run"))
        again = ["train", "--config", str(run.config_path), "--out", str(run.path)]
        before = {p: p.stat().st_mtime_ns for p in run.path.rglob("*.*") if p.suffix != ".lock"}
        assert cli(*again).code == 0
        assert {p: p.stat().st_mtime_ns for p in before} == before
        expected, damaged = run.out_of_fold(), run.out_of_fold_path.read_bytes()[:-40]
        run.out_of_fold_path.write_bytes(damaged)
        said = cli(*again)
        assert said.code == 0, said.err
        assert "are held out" not in said.err  # no model was trained
        for field in fields(Trace):
            got = getattr(run.out_of_fold(), field.name)
            np.testing.assert_equal(got, getattr(expected, field.name))

    def test_overwrite_leaves_nothing_of_it(
        self, joint: tuple[Run, Path], tmp_path: Path, cli: Callable[..., Said]
    ) -> None:
        run = Run(shutil.copytree(joint[0].path, tmp_path / "run"))
        again = ["train", "--config", str(run.config_path), "--out", str(run.path)]
        line = cli(*again, "--cross-fit", "0").complaint()
        assert "--cross-fit: 2 here, 0 there" in line
        assert cli(*again, "--cross-fit", "0", "--overwrite").code == 0
        assert not run.cross_fit_path.exists()
        assert not run.out_of_fold_path.exists()
        assert run.out_of_fold() is None


def test_killed_in_the_second_part_it_goes_on_there(
    joint: tuple[Run, Path], tmp_path: Path
) -> None:
    """And ends as the one that nobody disturbed; until then it is no run to be fitted."""
    out = shutil.copytree(joint[0].path, tmp_path / "run")
    run = Run(out)
    record = run.training()
    del record["cross_fit"]  # as the first part leaves it
    write_json(run.training_path, record)
    run.out_of_fold_path.unlink()
    shutil.rmtree(run.cross_fit_path / "1")
    options = ["train", "--config", str(run.config_path), "--out", str(out)]
    sign = run.cross_fit_path / "1" / "checkpoint" / "epoch-0001.safetensors"
    with open(os.devnull, "wb") as quiet:  # noqa: PTH123
        process = WarmProcess(
            options, env=environment(), stdout=quiet.fileno(), stderr=quiet.fileno()
        )
    end = time.monotonic() + 120
    while not sign.exists():
        assert process.poll() is None, "training ended before its second part"
        assert time.monotonic() < end
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    with pytest.raises(MissingArtefactError, match="not yet cross-fitted; go on with: dimec train"):
        run.fit(policy="cascade")
    first = run.cross_fit_path / "0" / "trace-out-of-fold.safetensors"
    written = first.stat().st_mtime_ns
    said = warm_dimec(*options)
    assert said.code == 0, said.err
    assert f"resuming {run.cross_fit_path / '1'} after epoch 1" in said.err
    assert first.stat().st_mtime_ns == written
    trace, expected = run.out_of_fold(), joint[0].out_of_fold()
    assert trace is not None
    assert expected is not None
    assert np.array_equal(trace.probabilities, expected.probabilities)
    assert trace.guids == expected.guids
    assert trace.model == expected.model
    found, wanted = run.cross_fit(), joint[0].cross_fit()
    assert found is not None
    assert wanted is not None
    assert {**found, "seconds": 0} == {**wanted, "seconds": 0}
    run.fit(policy="cascade")
    assert read_json(run.fit_path, "")["fitted_rows"].keys() == {"validation", "out-of-fold"}


class TestWrong:
    @pytest.mark.parametrize("count", ["1", "-1", "21"])
    def test_so_many_parts_there_are_not(
        self, count: str, table: Path, tmp_path: Path, cli: Callable[..., Said]
    ) -> None:
        out = tmp_path / "run"
        line = cli(
            "train", "--task", f"csv:{table}", "--cross-fit", count, "--out", out
        ).complaint()
        assert "--cross-fit" in line
        assert not out.exists()

    def test_one_part_leaves_no_rows(self) -> None:
        with pytest.raises(ConfigError, match="expected 0 for none, or 2 parts or more"):
            settings_of({"task": "csv:x", "cross_fit": 1}, 0)

    def test_a_class_with_fewer_rows_than_parts_is_told_before_the_work(
        self, tmp_path: Path, tiny_backbone: Path
    ) -> None:
        rows = [*reviews(60), *((f"so {word}", "mixed") for word in ("so", "la", "ti", "do"))]
        table = write_reviews(tmp_path / "few.csv", rows)
        with pytest.raises(DataError, match=r"'mixed' has 2 training rows, .* each of 3 parts"):
            dimec.train(
                task=f"csv:{table}", backbone=str(tiny_backbone), cross_fit=3, out=tmp_path / "run"
            )
        assert not (tmp_path / "run").exists()

    def test_a_grid_is_refused(self, table: Path, tiny_backbone: Path, tmp_path: Path) -> None:
        given = {"task": f"csv:{table}", "backbone": str(tiny_backbone), "cross_fit": 2}
        with pytest.raises(ConfigError, match="leave cross_fit out"):
            train_grid(settings_of(given, 0), tmp_path / "grid")
