"""Tokenizer and graphs of the mobile against the trained model, and texts that are none."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.base.errors import ConfigError, CorruptArtefactError, DataError
from dimec.bundle.exit0 import EXIT0, Exit0
from dimec.bundle.folders import TierBundle, file_records, write_manifest
from dimec.bundle.graphs import Graph
from dimec.data import load_task
from dimec.mobile.core import Core
from dimec.runs.run import Run
from support.tiers import texts


@pytest.fixture(scope="module")
def core(tiny_bundle: Path) -> Core:
    return Core(TierBundle.open(tiny_bundle / "mobile"))


@pytest.fixture(scope="module")
def pair_core(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Core:
    """The same graphs, for a task on pairs."""
    return Core(_altered(tiny_bundle, tmp_path_factory.mktemp("pairs") / "mobile", pairs=True))


@pytest.fixture(scope="module")
def cut_core(cut_bundle: Path) -> Core:
    """A mobile that can stop at the layers 1, 2 and 4."""
    return Core(TierBundle.open(cut_bundle / "mobile"))


@pytest.fixture
def graphs_run(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Which segments were run since; None stands for the embeddings."""
    run: list[str | None] = []
    call = Graph.__call__

    def recorded(self: Graph, **inputs: Any) -> Any:
        run.append(self.segment)
        return call(self, **inputs)

    monkeypatch.setattr(Graph, "__call__", recorded)
    return run


def _altered(bundle: Path, folder: Path, **changes: object) -> TierBundle:
    """A copy of the mobile tier with other fields in its manifest, which fits its files.

    Without exit 0, which would not go with them.
    """
    if not folder.exists():
        shutil.copytree(bundle / "mobile", folder)
        (folder / EXIT0).unlink()
    manifest = TierBundle.open(bundle / "mobile").manifest
    changes["files"] = file_records(folder)
    write_manifest(folder, manifest.model_copy(update=changes))
    return TierBundle.open(folder)


def test_it_computes_what_the_trace_recorded(core: Core, finished_run: Path) -> None:
    run = Run(finished_run)
    trace = run.trace("test")
    rows = load_task(run.settings().data.task)
    text_of = dict(zip(rows.guids, rows.texts, strict=True))
    column = trace.exits.index(1)
    for row, guid in enumerate(trace.guids):
        embedded = core.embed(core.tokenise(text_of[guid]))
        np.testing.assert_allclose(embedded.pooled, trace.embeddings[row], atol=1e-4)
        expected = trace.probabilities[row, column]
        np.testing.assert_allclose(core.classify(embedded), expected, atol=1e-4)
    assert len(trace.guids) > 20


def test_tokens_are_those_of_the_trained_models_tokenizer(core: Core, finished_run: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(Run(finished_run).model_path)
    for text in ["", " ", "The film", "a\0b", "Größe ☃ 電影", "x" * 300, *texts(20)]:
        expected = tokenizer(text, truncation=True, max_length=32)["input_ids"]
        inputs = core.tokenise(text)
        assert inputs["input_ids"].tolist() == [expected]
        assert inputs["attention_mask"].tolist() == [[1] * len(expected)]
        assert inputs["input_ids"].dtype == inputs["attention_mask"].dtype == np.int64


def test_a_megabyte_of_text_is_cut(core: Core) -> None:
    embedded = core.embed(core.tokenise("the film is moving " * 55_000))
    assert embedded.inputs["input_ids"].shape == (1, 32)
    assert np.isclose(core.classify(embedded).sum(), 1, atol=1e-5)


def test_embeddings_that_were_let_go_are_computed_again(core: Core) -> None:
    before = core.classify(core.embed(core.tokenise("the film is moving")))
    embedded = core.embed(core.tokenise("the film is moving"))
    embedded.hidden = None
    assert core.classify(embedded).tobytes() == before.tobytes()


class TestStoppingAtAnExit:
    def test_no_layer_runs_that_is_not_needed(
        self, cut_core: Core, graphs_run: list[str | None]
    ) -> None:
        embedded = cut_core.embed(cut_core.tokenise("the film is moving"))
        cut_core.run(embedded, 1)
        assert graphs_run == [None, "1-1"]
        cut_core.run(embedded, 4)
        assert graphs_run == [None, "1-1", "2-2", "3-4"]
        for exit_ in (4, 1, 2):  # all passed
            cut_core.run(embedded, exit_)
        cut_core.classify(embedded)
        assert len(graphs_run) == 4
        assert embedded.layer == 4
        assert embedded.hidden is None

    def test_every_exit_answers_as_the_trace_recorded(
        self, cut_core: Core, finished_run: Path
    ) -> None:
        run = Run(finished_run)
        trace = run.trace("test")
        rows = load_task(run.settings().data.task)
        text_of = dict(zip(rows.guids, rows.texts, strict=True))
        assert (0, *cut_core.exits) == trace.exits == (0, 1, 2, 4)
        for row, guid in enumerate(trace.guids):
            embedded = cut_core.embed(cut_core.tokenise(text_of[guid]))
            got = [cut_core.run(embedded, exit_) for exit_ in trace.exits]
            np.testing.assert_allclose(got, trace.probabilities[row], atol=1e-4)

    def test_it_is_the_same_whether_it_stopped_on_the_way_or_not(self, cut_core: Core) -> None:
        for text in texts(20):
            straight = cut_core.embed(cut_core.tokenise(text))
            cut_core.classify(straight)
            slowly = cut_core.embed(cut_core.tokenise(text))
            for exit_ in cut_core.exits:
                cut_core.run(slowly, exit_)
            assert straight.probabilities.keys() == slowly.probabilities.keys() == {1, 2, 4}
            for exit_, row in straight.probabilities.items():
                assert slowly.probabilities[exit_].tobytes() == row.tobytes()

    def test_hidden_states_that_were_let_go_are_computed_again(self, cut_core: Core) -> None:
        straight = cut_core.embed(cut_core.tokenise("the film is moving"))
        stopped = cut_core.embed(cut_core.tokenise("the film is moving"))
        cut_core.run(stopped, 2)
        stopped.hidden = None
        expected = cut_core.classify(straight)
        assert cut_core.classify(stopped).tobytes() == expected.tobytes()

    def test_exit_0_needs_no_layer(self, cut_core: Core, graphs_run: list[str | None]) -> None:
        text = "the film is moving"
        embedded = cut_core.embed(cut_core.tokenise(text))
        said = cut_core.run(embedded, 0)
        assert graphs_run == [None]
        assert (embedded.layer, embedded.hidden is None) == (0, False)
        cut_core.classify(embedded)
        assert graphs_run == [None, "1-1", "2-2", "3-4"]
        assert cut_core.run(embedded, 0) is said
        late = cut_core.embed(cut_core.tokenise(text))
        cut_core.classify(late)
        assert cut_core.run(late, 0).tobytes() == said.tobytes()
        assert len(graphs_run) == 8

    @pytest.mark.parametrize("exit_", [3, 5])
    def test_a_layer_where_it_cannot_stop(self, cut_core: Core, exit_: int) -> None:
        embedded = cut_core.embed(cut_core.tokenise("a film"))
        with pytest.raises(ConfigError, match=rf"at the layers 1, 2, 4, not at {exit_}"):
            cut_core.run(embedded, exit_)
        assert embedded.layer == 0

    def test_a_bundle_without_exit_0(self, cut_bundle: Path, tmp_path: Path) -> None:
        core = Core(_altered(cut_bundle, tmp_path / "mobile"))
        assert core.exit0 is None
        with pytest.raises(ConfigError, match="at the layers 1, 2, 4, not at 0"):
            core.run(core.embed(core.tokenise("a film")), 0)

    def test_one_exit_is_one_segment(self, core: Core, graphs_run: list[str | None]) -> None:
        assert core.exits == (1,)
        core.classify(core.embed(core.tokenise("a film")))
        assert graphs_run == [None, "1-1"]


def test_many_threads_get_the_same(core: Core) -> None:
    some = texts(40)
    expected = [core.classify(core.embed(core.tokenise(text))).tobytes() for text in some]
    found: dict[int, list[bytes]] = {}

    def work(number: int) -> None:
        found[number] = [core.classify(core.embed(core.tokenise(t))).tobytes() for t in some]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[number] == expected for number in range(6))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"bytes", "expected one text, got bytes"),
        (None, "expected one text, got NoneType"),
        (3, "expected one text, got int"),
        (["a", "list"], "expected one text, got list"),
        (("a", "pair"), r"expected one text, got \(str, str\)"),
        ("half \ud800 of it", "character 5 of the text is none"),
        ("\udcff", "character 0 of the text is none"),
    ],
)
def test_what_is_no_text_is_refused(core: Core, text: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        core.check(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alone", r"expected a pair \(text, text\), got one text"),
        (("alone",), r"got \(str\)"),
        (("a", "b", "c"), r"got \(str, str, str\)"),
        (("a", 3), r"got \(str, int\)"),
        (("a", "\ud800"), "character 0 of the text is none"),
    ],
)
def test_what_is_no_pair_is_refused(pair_core: Core, text: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        pair_core.check(text)  # type: ignore[arg-type]


def test_a_pair_is_read_as_one(pair_core: Core) -> None:
    def ids(*pair: str) -> list[int]:
        text = (pair[0], pair[1])
        pair_core.check(text)
        return list(pair_core.tokenise(text)["input_ids"][0])

    cls, *_, sep = ids("", "")
    assert ids("the film", "is dull") == [cls, *ids("the film", "")[1:-1], *ids("", "is dull")[2:]]
    assert ids("the film", "is dull").count(sep) == 2
    assert len(ids("film " * 50, "dull " * 50)) == 32


class TestADamagedTier:
    """Its hashes are right, so that it was made so."""

    def test_no_tokenizer(self, tiny_bundle: Path, tmp_path: Path) -> None:
        folder = tmp_path / "mobile"
        shutil.copytree(tiny_bundle / "mobile", folder)
        (folder / "tokenizer.json").write_text("{}")
        with pytest.raises(CorruptArtefactError, match=r"tokenizer\.json is no tokenizer .*export"):
            Core(_altered(tiny_bundle, folder))

    def test_graphs_in_each_others_place(self, tiny_bundle: Path, tmp_path: Path) -> None:
        folder = tmp_path / "mobile"
        shutil.copytree(tiny_bundle / "mobile", folder)
        shutil.copy(tiny_bundle / "mobile" / "embed.onnx", folder / "layers-1.onnx")
        with pytest.raises(CorruptArtefactError, match="do not do what its manifest says"):
            Core(_altered(tiny_bundle, folder))

    @pytest.mark.parametrize(
        ("name", "other"),
        [
            ("layers-1.onnx", "layers-2.onnx"),  # of the same shapes
            ("layers-2.onnx", "layers-1.onnx"),
            ("layers-2.onnx", "layers-4.onnx"),  # ends too early
            ("layers-4.onnx", "layers-2.onnx"),
            ("layers-4.onnx", "embed.onnx"),
        ],
    )
    def test_segments_out_of_order(
        self, cut_bundle: Path, tmp_path: Path, name: str, other: str
    ) -> None:
        folder = tmp_path / "mobile"
        shutil.copytree(cut_bundle / "mobile", folder)
        shutil.copy(cut_bundle / "mobile" / other, folder / name)
        with pytest.raises(
            CorruptArtefactError, match=r"do not do what its manifest says .*layers.* dimec export"
        ):
            Core(_altered(cut_bundle, folder))

    def test_a_segment_is_missing(self, cut_bundle: Path, tmp_path: Path) -> None:
        folder = tmp_path / "mobile"
        shutil.copytree(cut_bundle / "mobile", folder)
        (folder / "layers-2.onnx").unlink()
        with pytest.raises(CorruptArtefactError, match=r"names no layers-2\.onnx; make .*export"):
            Core(_altered(cut_bundle, folder))

    @pytest.mark.parametrize(
        "change",
        [
            {"vocabulary": 1 << 20},
            {"model": "f" * 64},
            {"pooled": np.zeros((1, 31), np.float32)},
            {"tokens": np.full((3, 1, 1), 1, np.float16)},
        ],
        ids=["vocabulary", "model", "width", "pairs"],
    )
    def test_an_exit_0_that_belongs_elsewhere(
        self, tiny_bundle: Path, tmp_path: Path, change: dict[str, Any]
    ) -> None:
        folder = tmp_path / "mobile"
        shutil.copytree(tiny_bundle / "mobile", folder)
        exit0 = Exit0.load(folder / EXIT0)
        if "tokens" in change:  # of pairs
            change = {**change, "shares": np.zeros((3, 21, 1), np.float16)}
            change |= {"ids": exit0.ids[:1], "bigrams": exit0.bigrams[:0]}
        replace(exit0, **change).save(folder / EXIT0)
        with pytest.raises(CorruptArtefactError, match=r"does not go with this bundle .*export"):
            Core(_altered(tiny_bundle, folder))

    def test_an_exit_0_that_is_none(self, tiny_bundle: Path, tmp_path: Path) -> None:
        folder = tmp_path / "mobile"
        shutil.copytree(tiny_bundle / "mobile", folder)
        shutil.copy(folder / "policy.safetensors", folder / EXIT0)
        with pytest.raises(CorruptArtefactError, match=r"expected a exit 0 file.*dimec export"):
            Core(_altered(tiny_bundle, folder))

    @pytest.mark.parametrize("changes", [{"width": 7}, {"labels": ("a", "b", "c")}])
    def test_another_shape(
        self, tiny_bundle: Path, tmp_path: Path, changes: dict[str, object]
    ) -> None:
        with pytest.raises(CorruptArtefactError, match=r"embedding \(32,\), probabilities \(2,\)"):
            Core(_altered(tiny_bundle, tmp_path / "mobile", **changes))
