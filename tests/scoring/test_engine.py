"""What texts are answered is what the run's own test trace, replayed, says of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dimec.base.errors import ConfigError, CorruptArtefactError, ParityError
from dimec.base.progress import NoProgress
from dimec.policies import system
from dimec.runs.run import Run
from dimec.runs.scoring import policy_to_score
from dimec.runs.workspace import RunDirectory
from dimec.scoring import engine as engine_module
from dimec.scoring.batches import windows
from dimec.scoring.engine import Answers, Engine
from dimec.scoring.scorer import SCORER, Scorer, settled
from dimec.training import scorer as scorer_module
from dimec.training.export import quantise
from dimec.training.export.parity_rows import ParityRows, load_rows
from dimec.training.recording import Workers, record_by_workers
from dimec.training.scorer import make_scorer
from dimec.training.transfer import record_rows
from support.own_tiers import fitted_own
from support.scoring import OFF, assert_same_trace, here, make_scorer_of, some_texts

POLICIES = (None, "cascade", "pabee", "deebert", "exit-cascade", "all-edge", "dimec")


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, finished_run: Path, one_trace: None
) -> Callable[[str | None], Path]:
    """A scorer of the finished run by its policy's name, made once."""
    folder = tmp_path_factory.mktemp("scorers")

    def make(policy: str | None) -> Path:
        path = folder / str(policy)
        if not path.exists():
            make_scorer_of(finished_run, policy, path)
        return path

    return make


@pytest.fixture(scope="module")
def torn(finished_run: Path, tmp_path_factory: pytest.TempPathFactory, one_trace: None) -> Path:
    """The scorer of a policy that stops at the first exit for about every second text."""
    run = Run(finished_run)
    first = run.trace("test").probabilities[:, run.trace("test").column(1)]
    entropies = -(first * np.log(first)).sum(axis=1)
    policy = system("deebert").make(threshold=float(np.median(entropies)))
    folder = tmp_path_factory.mktemp("torn") / "scorer"
    stored = replace(policy_to_score(run, "deebert"), policy=policy)
    make_scorer(run, stored, folder, NoProgress())
    return folder


def assert_as_replayed(run: Run, policy: str | None, answers: Answers) -> None:
    """Hold answers to the test split against the replay of its trace."""
    trace = run.trace("test")
    stored = policy_to_score(run, policy)
    outcome = settled(stored.policy).replay(trace, run.deployment())
    exits = outcome.answers.argmax(axis=1)
    rows = np.arange(len(trace))
    assert np.abs(answers.probabilities - trace.probabilities[rows, exits]).max() < OFF
    np.testing.assert_array_equal(answers.codes, trace.predictions[rows, exits])
    np.testing.assert_array_equal(answers.tiers, outcome.tiers.argmax(axis=1))
    np.testing.assert_array_equal(answers.costs, outcome.cost)
    np.testing.assert_array_equal(answers.sent, outcome.usage.bytes.sum(axis=1))


def assert_recorded_as_torch_does(run: Run, folder: Path) -> None:
    """Hold what workers record of the test split against what torch does."""
    test = run.splits().test
    workers = Workers(here, folder / "parts")
    trace = record_by_workers(run, test, workers, split="test")
    assert_same_trace(trace, record_rows(run, test, split="test"))


@pytest.mark.parametrize("policy", POLICIES)
def test_answers_are_those_of_the_replayed_trace(
    policy: str | None, made: Callable[[str | None], Path], finished_run: Path
) -> None:
    run = Run(finished_run)
    answers = Engine.open(made(policy)).answer(run.splits().test.texts)
    assert_as_replayed(run, policy, answers)


def test_tiers_with_a_model_each_and_tokenizers_that_differ(
    own_run: Path, tmp_path: Path, one_trace: None
) -> None:
    run = fitted_own(own_run, tmp_path / "run")
    assert_recorded_as_torch_does(run, tmp_path)
    paths: set[str] = set()
    for policy in ("exit-cascade", "all-cloud"):
        try:
            policy_to_score(run, policy)
        except ConfigError:  # not for models of their own, or a last tier of another name
            policy = f"all-{run.deployment().names[-1]}"
        folder = tmp_path / policy
        if not folder.exists():
            make_scorer_of(run.path, policy, folder)
        engine = Engine.open(folder)
        answers = engine.answer(run.splits().test.texts)
        assert_as_replayed(run, policy, answers)
        paths.update(answers.paths)
    assert len(engine.scorer.manifest.parts) > 1
    assert any(run.deployment().names[-1] in path for path in paths)


def test_pairs(pair_run: Path, tmp_path: Path, one_trace: None) -> None:
    run = Run(pair_run)
    assert_recorded_as_torch_does(run, tmp_path)
    make_scorer_of(run.path, None, tmp_path / "scorer")
    test = run.splits().test
    assert test.pairs is not None
    pairs = list(zip(test.texts, test.pairs, strict=True))
    assert_as_replayed(run, None, Engine.open(tmp_path / "scorer").answer(pairs))


def test_a_text_by_itself_and_among_others(torn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, texts = Engine.open(torn), [*some_texts(60), "", "moving " * 500]
    together = engine.answer(texts)
    assert len(set(together.paths)) > 1  # some run deeper than others
    monkeypatch.setattr(engine_module, "windows", lambda lengths: windows(lengths, 40))
    for answers in (engine.answer(texts), _one_by_one(engine, texts)):
        assert answers.paths == together.paths
        np.testing.assert_array_equal(answers.codes, together.codes)
        np.testing.assert_array_equal(answers.costs, together.costs)
        assert np.abs(answers.probabilities - together.probabilities).max() < OFF


def _one_by_one(engine: Engine, texts: list[str]) -> Answers:
    return engine_module._joined([engine.answer([text]) for text in texts], len(engine.labels))


def test_deeper_layers_run_only_for_texts_that_go_there(
    torn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine.open(torn)
    run: dict[int, int] = {}
    part = engine._parts[0]
    whole = part.run

    def counted(stop: int, tokens: object, rows: np.ndarray, states: object) -> object:
        run[stop] = run.get(stop, 0) + len(rows)
        return whole(stop, tokens, rows, states)  # type: ignore[arg-type]

    monkeypatch.setattr(part, "run", counted)
    answers = engine.answer(some_texts(200))
    last = [int(path.rpartition(":")[2]) for path in answers.paths]
    assert run == {stop: sum(one >= stop for one in last) for stop in part.stops}


class TestInt8:
    def test_answers_are_those_of_fp32_but_for_few(
        self, made: Callable[[str | None], Path], finished_run: Path, tmp_path: Path
    ) -> None:
        make_scorer_of(finished_run, "all-cloud", tmp_path / "int8", "int8")
        texts = some_texts(300)
        engines = [Engine.open(made("all-cloud")), Engine.open(tmp_path / "int8")]
        assert [one.scorer.manifest.precision for one in engines] == ["fp32", "int8"]
        whole, small = (one.answer(texts) for one in engines)
        assert (whole.codes == small.codes).mean() >= 0.99
        assert 0 < np.abs(whole.probabilities - small.probabilities).max() < 0.05
        alone = _one_by_one(engines[1], list(texts[:20]))  # no text's scales depend on others
        assert np.abs(alone.probabilities - small.probabilities[:20]).max() < OFF
        sizes = [
            sum(record.bytes for record in one.scorer.manifest.files.values()) for one in engines
        ]
        assert sizes[1] < 0.6 * sizes[0]

    def test_of_tiers_with_a_model_each(
        self, own_run: Path, tmp_path: Path, one_trace: None
    ) -> None:
        run = fitted_own(own_run, tmp_path / "run")
        make_scorer_of(run.path, "all-cloud", tmp_path / "int8", "int8", force=True)
        engine, test = Engine.open(tmp_path / "int8"), run.splits().test
        manifest, trace = engine.scorer.manifest, run.trace("test")
        assert manifest.precision == "int8"
        answers, exact = engine.answer(test.texts), trace.probabilities[:, trace.column(3, "cloud")]
        assert set(answers.paths) == {"cloud:3"}
        assert 1e-5 < np.abs(answers.probabilities - exact).max() < 0.05
        assert (answers.codes == exact.argmax(axis=1)).mean() >= 0.95

    def test_graphs_that_answer_otherwise_are_refused(
        self, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_trace: None
    ) -> None:
        monkeypatch.setattr(quantise, "_LEVELS", 1)  # all that is left of a weight is its sign
        with pytest.raises(ParityError, match=r"in int8 agree .* expected 99 %.* precision fp32"):
            make_scorer_of(finished_run, "all-cloud", tmp_path / "int8", "int8")
        assert not (tmp_path / "int8").exists()
        make_scorer_of(finished_run, "all-cloud", tmp_path / "int8", "int8", force=True)
        assert Engine.open(tmp_path / "int8").scorer.manifest.precision == "int8"

    def test_few_rows_show_too_little(
        self, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_trace: None
    ) -> None:
        def few(run: RunDirectory, max_tokens: int) -> ParityRows:
            return ParityRows(load_rows(run, max_tokens).texts[:60], None)

        monkeypatch.setattr(scorer_module, "load_rows", few)
        with pytest.raises(ParityError, match=r"of 60 rows .* which shows 95\.\d %"):
            make_scorer_of(finished_run, "all-cloud", tmp_path / "int8", "int8")


def test_no_text_at_all(made: Callable[[str | None], Path]) -> None:
    answers = Engine.open(made(None)).answer([])
    assert len(answers) == 0
    assert answers.probabilities.shape == (0, 2)


def test_a_policy_that_is_nothing_without_what_it_learns_is_refused(finished_run: Path) -> None:
    run = Run(finished_run)
    with pytest.raises(ConfigError, match="learns from each text"):
        settled(policy_to_score(run, "lee").policy)
    assert not settled(policy_to_score(run, "dimec-adaptive-paper").policy).learns_online


def test_unknown_tiers_are_refused(finished_run: Path) -> None:
    with pytest.raises(ConfigError, match="mobile, edge, cloud"):
        policy_to_score(Run(finished_run), "all-moon")


def test_an_altered_scorer_is_refused(made: Callable[[str | None], Path], tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(made(None), tmp_path / "copy"))
    path = copy / "model-0" / "tokenizer.json"
    path.write_text(path.read_text("utf-8").replace("moving", "mowing"), "utf-8")
    with pytest.raises(CorruptArtefactError, match=r"tokenizer\.json cannot be used"):
        Scorer.open(copy)
    record = json.loads((copy / SCORER).read_text("utf-8"))
    (copy / SCORER).write_text(json.dumps({**record, "labels": 7}), "utf-8")
    said = rf"{SCORER} is no scorer that .* reads \(labels: .*\); remove the folder {copy} "
    with pytest.raises(CorruptArtefactError, match=said):
        Scorer.open(copy)
