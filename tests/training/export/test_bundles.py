"""A run to a bundle: whole or not at all, and with the same words and answers as in training."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from dimec.base.errors import (
    ArtefactError,
    ConfigError,
    CorruptArtefactError,
    DataError,
    MismatchError,
    MissingArtefactError,
    ParityError,
    RunBusyError,
)
from dimec.bundle.exit0 import EXIT0, Exit0
from dimec.bundle.folders import TierBundle, verify_bundle
from dimec.bundle.graphs import Graph
from dimec.bundle.manifest import GOLDEN, MANIFEST
from dimec.runs.run import Run
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from support.golden import check_bundle
from support.stored import stored_router
from support.tiny import contents, environment
from support.warm import WarmProcess

pytestmark = pytest.mark.usefixtures("one_trace")


class TestTheTinyBundle:
    def test_it_is_sound_and_says_what_it_is(self, tiny_bundle: Path, finished_run: Path) -> None:
        manifest, tiers = verify_bundle(tiny_bundle)
        training = Run(finished_run).training()
        assert manifest.exits == (1, 2, 4)
        assert manifest.labels == ("negative", "positive")
        assert manifest.provenance["model"] == training["model"]
        assert manifest.provenance["task"] == training["task"]
        assert manifest.deployment.tiers == Deployment.paper((1, 2, 4)).tiers
        assert len(set(manifest.versions.values())) == 3
        for tier, exit_ in zip(("mobile", "edge", "cloud"), (1, 2, 4), strict=True):
            record = tiers[tier].manifest
            assert (record.tier, record.exit, record.precision) == (tier, exit_, "fp32")
            assert record.versions == manifest.versions
            assert record.inputs == ("input_ids", "attention_mask")
            assert (record.max_tokens, record.padding, record.pairs) == (32, 0, False)

    def test_it_holds_what_each_tier_needs_and_nothing_else(self, tiny_bundle: Path) -> None:
        names = {str(path.relative_to(tiny_bundle)) for path in tiny_bundle.rglob("*.*")}
        mobile = {"embed.onnx", "layers-1.onnx", "tokenizer.json"}
        mobile |= {"policy.json", "policy.safetensors", "exit0.safetensors"}
        mobile |= {"embed.onnx.data", "layers.onnx.data", MANIFEST}
        server = {"model.onnx", "model.onnx.data", MANIFEST}
        assert names == {
            MANIFEST,
            GOLDEN,
            *(f"mobile/{name}" for name in mobile),
            *(f"{tier}/{name}" for tier in ("edge", "cloud") for name in server),
        }

    def test_tiers_answer_as_the_recorded_trace(
        self, tiny_bundle: Path, finished_run: Path
    ) -> None:
        """Texts to tokens to probabilities and embeddings, by what is in the bundle alone."""
        run = Run(finished_run)
        trace, test = run.trace("test"), run.splits().test
        tokenizer = Tokenizer.from_file(str(tiny_bundle / "mobile" / "tokenizer.json"))
        embed, layers = (
            Graph(tiny_bundle / "mobile" / f"{name}.onnx") for name in ("embed", "layers-1")
        )
        edge, cloud = (Graph(tiny_bundle / tier / "model.onnx") for tier in ("edge", "cloud"))
        exit0 = Exit0.load(tiny_bundle / "mobile" / EXIT0)
        router = stored_router(tiny_bundle / "mobile")
        routes = run.router().route(trace.embeddings)
        for row, text in enumerate(test.texts):
            ids = np.array([tokenizer.encode(text).ids])
            mask = np.ones_like(ids)
            hidden, pooled = embed(input_ids=ids, attention_mask=mask)
            assert hidden.dtype == pooled.dtype == np.float32
            answers = [
                exit0.one(ids[0], pooled[0]),
                layers(hidden=hidden, attention_mask=mask)[0][0],
                edge(input_ids=ids, attention_mask=mask)[0][0],
                cloud(input_ids=ids, attention_mask=mask)[0][0],
            ]
            np.testing.assert_allclose(answers, trace.probabilities[row], atol=1e-5)
            np.testing.assert_allclose(pooled[0], trace.embeddings[row], atol=1e-5)
            assert router.route_one(pooled[0]).tier == routes[row]


class TestAMobileOfSeveralExits:
    def test_its_layers_are_cut_after_each_of_them(self, cut_bundle: Path) -> None:
        _, tiers = verify_bundle(cut_bundle)
        assert {name: tier.manifest.segments for name, tier in tiers.items()} == {
            "mobile": (1, 2, 4),
            "edge": (),
            "cloud": (),
        }
        names = {path.name for path in (cut_bundle / "mobile").glob("layers*")}
        assert names == {"layers-1.onnx", "layers-2.onnx", "layers-4.onnx", "layers.onnx.data"}

    def test_no_weight_is_stored_twice(self, cut_bundle: Path) -> None:
        """The embeddings and the segments, beside all of it in one graph."""
        parts = (cut_bundle / "mobile").glob("*.data")
        whole = (cut_bundle / "cloud" / "model.onnx.data").stat().st_size
        assert abs(sum(part.stat().st_size for part in parts) - whole) <= 4096  # of alignment

    def test_parity_is_recorded_for_each_exit(self, cut_bundle: Path) -> None:
        recorded: Any = TierBundle.open(cut_bundle / "mobile").manifest.provenance["parity"]
        assert [each["exit"] for each in recorded["mobile"]["exits"]] == [0, 1, 2, 4]
        assert all(0 < each["difference"] < 1e-5 for each in recorded["mobile"]["exits"])
        assert [each["exit"] for each in recorded["cloud"]["exits"]] == [4]

    def test_eight_bits_and_fewer_looks(
        self, run_copy: Callable[..., Path], tmp_path: Path
    ) -> None:
        run = Run(run_copy())
        run.fit(tiers=(2, 4, 4))
        report = run.export(tmp_path / "both", int8=("mobile",), force=True)
        mobile = report.tiers[0]
        assert mobile.segments == (1, 2)
        assert [each.exit for each in mobile.parity.exits] == [0, 1, 2]
        assert all(1e-6 < each.difference < 0.1 for each in mobile.parity.exits)
        with pytest.raises(ConfigError, match=r"another bundle .* looks"):
            run.export(tmp_path / "both", int8=("mobile",), force=True, looks=())
        alone = run.export(tmp_path / "alone", int8=("mobile",), force=True, looks=())
        assert alone.tiers[0].segments == (2,)
        first, _, last = mobile.parity.exits
        assert alone.tiers[0].parity.exits == (first, last)  # to the last bit
        assert run.export(tmp_path / "alone", int8=("mobile",), looks=(2,)).reused

    @pytest.mark.parametrize("look", [0, 3, 4])
    def test_a_look_where_the_mobile_has_no_exit_is_refused(
        self, tiny_bundle: Path, finished_run: Path, look: int
    ) -> None:
        with pytest.raises(ConfigError, match=rf"can stop at the exits 1 .* got {look}"):
            Run(finished_run).export(tiny_bundle, looks=(look,))


class TestAnotherExportToTheSameFolder:
    """None of these traces the model: what is there is looked at first."""

    @pytest.fixture
    def bundle(self, tiny_bundle: Path, tmp_path: Path) -> Path:
        return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))

    def test_the_same_bundle_is_taken_as_it_is(self, bundle: Path, finished_run: Path) -> None:
        before = contents(bundle)
        report = Run(finished_run).export(bundle)
        assert report.reused
        assert contents(bundle) == before
        assert [tier.tier for tier in report.tiers] == ["mobile", "edge", "cloud"]
        assert all(tier.parity.agreement == 1 for tier in report.tiers)
        assert all(tier.footprint.memory_bytes > 0 for tier in report.tiers)

    @pytest.mark.parametrize("change", ["precision", "fit", "damage", "parity"])
    def test_another_one_is_not_replaced_unasked(
        self, bundle: Path, run_copy: Callable[..., Path], change: str
    ) -> None:
        run = Run(run_copy())
        int8: tuple[str, ...] = ("mobile",) if change == "precision" else ()
        if change == "fit":
            run.fit(lam=0.03, cost_model=CostModel(mobile_layer=2.0))
        elif change == "damage":
            (bundle / "edge" / "model.onnx").write_bytes(b"")
        elif change == "parity":
            path = bundle / MANIFEST
            manifest = json.loads(path.read_text())
            manifest["provenance"]["parity"] = "good"
            path.write_text(json.dumps(manifest))
        before = contents(bundle)
        with pytest.raises(ConfigError, match="--overwrite"):
            run.export(bundle, int8=int8)
        assert contents(bundle) == before

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_what_is_no_bundle_is_never_replaced(
        self, bundle: Path, finished_run: Path, overwrite: bool
    ) -> None:
        (bundle / "letters.txt").write_text("dear")
        for place in (bundle, bundle / "letters.txt", finished_run):
            before = contents(bundle)
            with pytest.raises(ConfigError, match="no bundle; name another folder"):
                Run(finished_run).export(place, overwrite=overwrite)
            assert contents(bundle) == before

    def test_unknown_tiers_are_refused(self, bundle: Path, finished_run: Path) -> None:
        with pytest.raises(ConfigError, match="'phone'"):
            Run(finished_run).export(bundle, int8=("phone",))

    def test_a_triton_folder_that_is_taken_is_refused_before_anything_is_done(
        self, tmp_path: Path, finished_run: Path
    ) -> None:
        (tmp_path / "triton").mkdir()
        (tmp_path / "triton" / "letters.txt").write_text("dear")
        with pytest.raises(ConfigError, match="is not empty"):
            Run(finished_run).export(tmp_path / "new", triton=tmp_path / "triton")
        assert not (tmp_path / "new").exists()


class TestARunThatCannotBeExported:
    """Nothing is written, neither into the run nor where the bundle was to stand."""

    @pytest.mark.parametrize(
        ("damage", "error", "words"),
        [
            (lambda run: (run / "policy.json").unlink(), MissingArtefactError, "dimec fit"),
            (
                lambda run: (run / "training.json").unlink(),
                MissingArtefactError,
                "dimec train",
            ),
            (
                lambda run: (run / "model" / "config.json").write_text("{}"),
                CorruptArtefactError,
                "altered since it was trained",
            ),
            (lambda run: shutil.rmtree(run / "model"), CorruptArtefactError, "missing or altered"),
            (
                lambda run: (
                    (run / "data.sha256").write_text("0" * 64),
                    (run / "parity.safetensors").unlink(),
                ),
                MismatchError,
                "earlier version has kept none: .* have changed since",
            ),
            (
                lambda run: (run / "parity.safetensors").write_bytes(b"{}"),
                CorruptArtefactError,
                "parity.safetensors is truncated",
            ),
            (lambda run: (run / "config.toml").unlink(), ArtefactError, "config.toml"),
        ],
    )
    def test_a_damaged_run(
        self,
        run_copy: Callable[..., Path],
        tmp_path: Path,
        damage: Callable[[Path], object],
        error: type[Exception],
        words: str,
    ) -> None:
        run = run_copy()
        damage(run)
        before = contents(run)
        with pytest.raises(error, match=words):
            Run(run).export(tmp_path / "bundle")
        assert contents(run) == before
        assert [path.name for path in tmp_path.iterdir()] == ["run"]

    def test_data_that_is_gone_where_the_run_kept_no_rows(
        self, run_copy: Callable[..., Path], tmp_path: Path
    ) -> None:
        """As runs of earlier versions; any other is exported without its data, see below."""
        run = run_copy()
        (run / "parity.safetensors").unlink()
        config = (run / "config.toml").read_text()
        gone = config.replace("reviews.csv", "gone.csv")
        assert gone != config
        (run / "config.toml").write_text(gone)
        with pytest.raises(DataError, match=r"kept none: .*gone\.csv"):
            Run(run).export(tmp_path / "bundle")
        assert [path.name for path in tmp_path.iterdir()] == ["run"]

    def test_a_run_in_use(self, run_copy: Callable[..., Path], tmp_path: Path) -> None:
        run = Run(run_copy())
        with run.locked(), pytest.raises(RunBusyError):
            Run(run.path).export(tmp_path / "bundle")


def test_eight_bits_where_they_are_asked_for_and_tiers_of_one_layer(
    run_copy: Callable[..., Path], tmp_path: Path
) -> None:
    run = Run(run_copy())
    run.fit(tiers=(1, 1, 4))
    out = tmp_path / "bundle"
    # The data is not needed where it was.
    config = run.path / "config.toml"
    config.write_text(config.read_text().replace("reviews.csv", "gone.csv"))
    report = run.export(out, int8=("mobile", "cloud"), force=True, triton=tmp_path / "triton")
    manifest, tiers = verify_bundle(out)
    assert manifest.exits == (1, 1, 4)
    precisions = {name: tier.manifest.precision for name, tier in tiers.items()}
    assert precisions == {"mobile": "int8", "edge": "fp32", "cloud": "int8"}
    for tier in report.tiers:
        assert tier.parity.difference < (0.1 if tier.precision == "int8" else 1e-5)
        assert tier.parity.agreement > 0.9
    beside = sum(path.stat().st_size for path in (out / "mobile").glob("layers*.data"))
    assert beside < 0.5 * (out / "edge" / "model.onnx.data").stat().st_size
    assert sorted(path.name for path in (tmp_path / "triton").iterdir()) == ["cloud", "edge"]
    assert check_bundle(out).precisions == precisions
    assert not list(tmp_path.glob(".*"))


def test_a_tier_that_lost_its_mind_leaves_no_bundle(
    run_copy: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of the word table that are mixed up, as a faulty exporter would."""
    from dimec.training.export import quantise
    from dimec.training.export import writing as export

    def mixed_up(model: Any) -> None:
        quantise.quantise_graph(model)
        for value in model.graph.initializers.values():
            if value.name.endswith(".int8"):
                codes = value.const_value.numpy()
                value.const_value = type(value.const_value)(np.flip(codes, 0).copy())

    monkeypatch.setattr(export, "quantise_graph", mixed_up)
    with pytest.raises(ParityError, match="the mobile tier in int8 agrees with the trained model"):
        Run(run_copy()).export(tmp_path / "bundle", int8=("mobile",))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_task_on_pairs_gets_token_types(pair_bundle: Path) -> None:
    run = Run(pair_bundle.with_name("run"))
    edge = TierBundle.open(pair_bundle / "edge")
    assert edge.manifest.pairs
    assert edge.manifest.inputs == ("input_ids", "attention_mask", "token_type_ids")
    graph = Graph(edge.file("model.onnx"))
    tokenizer = Tokenizer.from_file(str(pair_bundle / "mobile" / "tokenizer.json"))
    trace, test = run.trace("test"), run.splits().test
    assert test.pairs is not None
    for row, (first, second) in enumerate(zip(test.texts, test.pairs, strict=True)):
        encoding = tokenizer.encode(first, second)
        assert set(encoding.type_ids) == {0, 1}
        inputs = {
            "input_ids": np.array([encoding.ids]),
            "attention_mask": np.array([encoding.attention_mask]),
            "token_type_ids": np.array([encoding.type_ids]),
        }
        expected = trace.probabilities[row, trace.column(2)]
        np.testing.assert_allclose(graph(**inputs)[0][0], expected, atol=1e-5)
    golden = check_bundle(pair_bundle)
    assert [one.of for one in golden.inputs if one.of.startswith("long")] == [
        "long",
        "long first",
        "long second",
    ]
    for one in golden.inputs:
        assert one.pair is not None
        assert one.token_type_ids is not None
        assert set(one.token_type_ids) == {0, 1}  # however long the other text is
        assert len(one.token_type_ids) == len(one.input_ids) <= 24


def test_a_killed_export_leaves_the_old_bundle_and_the_next_one_clears_up(
    run_copy: Callable[..., Path], tiny_bundle: Path, tmp_path: Path
) -> None:
    run, out = run_copy(), tmp_path / "bundle"
    shutil.copytree(tiny_bundle, out)
    before = contents(out)
    words = ("export", run, out, "--int8", "edge", "--force", "--overwrite")
    with open(os.devnull, "wb") as quiet:  # noqa: PTH123
        stream = quiet.fileno()
        process = WarmProcess(words, env=environment(), stdout=stream, stderr=stream)
    half_made = tmp_path / ".bundle.tmp"
    # As soon as the first graph is being written; the bundle itself is minutes of files away.
    until = time.monotonic() + 120
    while not any(".onnx" in name for _, _, names in os.walk(half_made) for name in names):
        assert process.poll() is None, "the export ended before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert contents(out) == before
    verify_bundle(out)
    assert half_made.exists()
    report = Run(run).export(out, int8=("edge",), force=True, overwrite=True)
    assert report.tiers[1].precision == "int8"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "run"]
