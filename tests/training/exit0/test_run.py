"""Exit 0 of a run: recorded in its traces, exported with its first tier, asked on the device."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.base.errors import (
    ConfigError,
    CorruptArtefactError,
    MismatchError,
    MissingArtefactError,
    MissingExtraError,
)
from dimec.base.storage import read_json, write_json
from dimec.bundle.exit0 import EXIT0, Exit0
from dimec.bundle.folders import TierBundle
from dimec.mobile import Mobile
from dimec.mobile.core import Core
from dimec.runs.run import Run
from dimec.training.batching import encode
from dimec.training.exit0.run import exit0_of, left_out, require_learner, separator_of
from dimec.training.prepare import load_tokenizer
from support.looking_first import LookingFirst
from support.named import named_run
from support.tiers import Tier
from support.tiny import SPECIAL, reviews, train_tiny, write_reviews

TIERS = {"mobile": 2, "cloud": 4}


def trained(folder: Path, backbone: Path, rows: list[tuple[str, str]], **options: Any) -> Run:
    table = write_reviews(folder / "reviews.csv", rows)
    return train_tiny(table, backbone, folder / "run", **{"epochs": 2, **options})


class TestTheFinishedRun:
    def test_its_traces_have_what_exit_0_says(self, finished_run: Path) -> None:
        run = Run(finished_run)
        exit0, tokenizer = exit0_of(run), load_tokenizer(str(run.model_path))
        assert exit0 is not None
        for split in ("validation", "test"):
            trace, rows = run.trace(split), getattr(run.splits(), split)
            assert trace.exits == (0, 1, 2, 4)
            encoded = encode(tokenizer, rows, 32)
            said = exit0.many(encoded.columns["input_ids"], encoded.offsets, trace.embeddings)
            np.testing.assert_array_equal(trace.probabilities[:, 0], said)

    def test_it_tells_good_from_bad(self, finished_run: Path) -> None:
        """One word in ten is of the other side; nearly all can be told by their words."""
        assert Run(finished_run).trace("test").correct[:, 0].mean() > 0.8

    def test_it_says_what_was_fitted(self, finished_run: Path) -> None:
        record = Run(finished_run).training()["exit0"]
        assert record["tokens"] > 20
        assert record["power"] in (0.0, 0.5, 1.0)
        assert 0 < record["loss"] < np.log(2)

    def test_special_tokens_have_no_weights(self, finished_run: Path) -> None:
        run = Run(finished_run)
        exit0, tokenizer = exit0_of(run), load_tokenizer(str(run.model_path))
        assert exit0 is not None
        special = set(tokenizer.convert_tokens_to_ids(list(SPECIAL)))
        assert special <= left_out(tokenizer)
        assert not special & set(exit0.ids.tolist())
        assert separator_of(tokenizer) == tokenizer.sep_token_id


def test_a_trace_that_is_lost_is_recorded_with_it_again(
    run_copy: Callable[..., Path], cli: Callable[..., Any]
) -> None:
    run = Run(run_copy())
    before = run.trace("test").probabilities
    run.trace_path("test").unlink()
    assert not cli("train", "--config", run.config_path, "--out", run.path).code
    np.testing.assert_array_equal(Run(run.path).trace("test").probabilities[:, 0], before[:, 0])


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path) -> Run:
    folder = tmp_path_factory.mktemp("without")
    run = trained(folder, tiny_backbone, reviews(120), exit0=False)
    run.fit()
    return run


class TestWithout:
    def test_all_is_as_it_was(self, plain_run: Run, one_trace: None, tmp_path: Path) -> None:
        assert plain_run.training()["exit0"] is None
        assert not plain_run.exit0_path.exists()
        assert plain_run.trace("validation").exits == (1, 2, 4)
        plain_run.evaluate(draws=20)
        plain_run.export(tmp_path / "bundle")
        mobile = TierBundle.open(tmp_path / "bundle" / "mobile")
        assert not mobile.manifest.exit0
        assert EXIT0 not in mobile.manifest.files
        assert Core(mobile).exit0 is None

    def test_a_policy_that_looks_at_it_is_not_exported(
        self, plain_run: Run, tmp_path: Path
    ) -> None:
        other = named_run(plain_run.path, tmp_path / "run", TIERS, LookingFirst(0.9, 1, 4))
        with pytest.raises(ConfigError, match="needs an exit 0"):
            other.export(tmp_path / "bundle")

    def test_a_run_of_an_earlier_version_has_none(self, plain_run: Run, tmp_path: Path) -> None:
        copy = Run(shutil.copytree(plain_run.path, tmp_path / "earlier"))
        record = copy.training()
        del record["exit0"]
        write_json(copy.training_path, record)
        assert exit0_of(copy) is None


def test_rows_too_few_to_learn_from(tmp_path: Path, tiny_backbone: Path) -> None:
    """One row of a class is left for training: no exit 0, and all else."""
    rows = reviews(60)
    run = trained(tmp_path, tiny_backbone, [*rows[::2], *rows[1:6:2]])
    assert np.bincount(run.splits().train.labels).min() == 1
    assert run.training()["exit0"] is None
    assert run.trace("test").exits == (1, 2, 4)


class TestADamagedRun:
    def test_it_is_gone(self, run_copy: Callable[..., Path]) -> None:
        run = Run(run_copy())
        run.exit0_path.unlink()
        with pytest.raises(MissingArtefactError, match=r"exit0\.safetensors .*--overwrite"):
            exit0_of(run)

    def test_it_is_altered(self, run_copy: Callable[..., Path]) -> None:
        run = Run(run_copy())
        run.exit0_path.write_bytes(run.exit0_path.read_bytes()[:-1])
        with pytest.raises(CorruptArtefactError, match=r"exit0\.safetensors"):
            exit0_of(run)

    def test_it_is_another_models(self, run_copy: Callable[..., Path]) -> None:
        run = Run(run_copy())
        record = read_json(run.training_path, "")
        write_json(run.training_path, {**record, "model": "f" * 64})
        with pytest.raises(MismatchError, match="another model"):
            exit0_of(run)

    def test_it_is_of_the_first_of_tiers_with_a_model_each(
        self, own_run: Path, tmp_path: Path
    ) -> None:
        run = Run(shutil.copytree(own_run, tmp_path / "run"))
        phone = run.tier_runs()["phone"]
        again = f"dimec train --out {run.path} --overwrite"
        record = read_json(phone.training_path, "")
        write_json(phone.training_path, {**record, "model": "f" * 64})
        told = f"belongs to another model than that of the tier phone of {run.path}; train again "
        with pytest.raises(MismatchError, match=f"{re.escape(told)}with: {re.escape(again)}$"):
            exit0_of(run)
        phone.exit0_path.unlink()
        with pytest.raises(MissingArtefactError, match=re.escape(again)):
            exit0_of(run)


def test_a_new_run_in_its_place_leaves_nothing_of_it(tmp_path: Path, tiny_backbone: Path) -> None:
    run = trained(tmp_path, tiny_backbone, reviews(120))
    assert run.exit0_path.exists()
    again = trained(tmp_path, tiny_backbone, reviews(120), exit0=False, overwrite=True)
    assert not again.exit0_path.exists()


def test_scikit_learn_is_asked_for_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    require_learner()
    monkeypatch.setattr("dimec.training.exit0.run.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"scikit-learn.*dimec\[train\]"):
        require_learner()


@pytest.fixture(scope="module")
def threshold(finished_run: Path) -> float:
    """Which exit 0 reaches on half of the test split."""
    return float(np.median(Run(finished_run).trace("test").confidences[:, 0]))


@pytest.fixture(scope="module")
def bundle(
    tmp_path_factory: pytest.TempPathFactory,
    finished_run: Path,
    threshold: float,
    one_trace: None,
) -> Path:
    folder = tmp_path_factory.mktemp("exit0")
    policy = LookingFirst(threshold, 1, 4)
    named_run(finished_run, folder / "run", TIERS, policy).export(folder / "bundle")
    return folder / "bundle"


class TestOnTheDevice:
    def test_it_answers_as_in_the_replay(
        self, bundle: Path, finished_run: Path, threshold: float
    ) -> None:
        run = Run(finished_run)
        trace, texts = run.trace("test"), run.splits().test.texts
        cloud = Tier(bundle, "cloud")
        with Mobile.open(
            bundle,
            state=":memory:",
            tiers={"cloud": "http://cloud.test"},
            timeout=20.0,
            transports={"cloud": cloud.transport()},
        ) as mobile:
            said = [mobile.predict(text) for text in texts]
        sure = trace.confidences[:, 0] > threshold + 1e-4
        unsure = trace.confidences[:, 0] < threshold - 1e-4
        for one, row in zip(said, range(len(trace)), strict=True):
            if sure[row]:
                assert (one.answered_by, one.cost) == ("mobile", 0.0)
                assert [(stay.start, stay.stop) for stay in one.path] == [(0, 0)]
                expected = trace.probabilities[row, 0]
            elif unsure[row]:
                assert one.answered_by == "cloud"
                expected = trace.probabilities[row, trace.column(4)]
            else:
                continue
            got = [one.probabilities[name] for name in trace.label_names]
            np.testing.assert_allclose(got, expected, atol=1e-4)
        assert min(sure.sum(), unsure.sum()) > 5

    def test_its_file_is_the_runs(self, bundle: Path, finished_run: Path) -> None:
        assert (bundle / "mobile" / EXIT0).read_bytes() == Run(finished_run).exit0_path.read_bytes()
        assert Exit0.load(bundle / "mobile" / EXIT0).model == Run(finished_run).training()["model"]

    def test_another_exit_0_makes_another_bundle(
        self, bundle: Path, finished_run: Path, threshold: float, tmp_path: Path
    ) -> None:
        run = named_run(finished_run, tmp_path / "run", TIERS, LookingFirst(threshold, 1, 4))
        shutil.copytree(bundle, tmp_path / "bundle")
        assert run.export(tmp_path / "bundle").reused
        exit0 = exit0_of(run)
        assert exit0 is not None
        exit0.bias[:] += 1
        exit0.save(run.exit0_path)
        with pytest.raises(ConfigError, match="holds another bundle"):
            run.export(tmp_path / "bundle")
