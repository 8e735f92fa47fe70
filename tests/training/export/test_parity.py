"""What is compared with the trained model, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from dimec.base.errors import ConfigError, ParityError
from dimec.base.progress import NoProgress
from dimec.bundle.folders import TierBundle
from dimec.policies.routed import RouterPolicy
from dimec.policies.step import Answer, FixedSteps, Go, Signal, Site, Walk
from dimec.routing import CentroidRouter
from dimec.runs.workspace import RunDirectory
from dimec.tiers.deployment import Deployment
from dimec.training import MultiExitClassifier
from dimec.training.export.parity import (
    Reference,
    _mixed_batches,
    check_tier,
    check_tokenizer,
    make_reference,
    same_routes,
)
from dimec.training.export.parity_rows import load_rows
from dimec.training.export.verdict import require_parity
from dimec.training.prepare import load_tokenizer

MAX_TOKENS = 32


@pytest.fixture(scope="module")
def reference(finished_run: Path) -> Reference:
    run = RunDirectory(finished_run)
    model = MultiExitClassifier.from_pretrained(run.model_path).eval()
    return make_reference(
        model,
        load_tokenizer(str(run.model_path)),
        load_rows(run, MAX_TOKENS),
        MAX_TOKENS,
        run.stored_policy().policy.steps(Site(run.deployment(), (1, 2, 4))),
        NoProgress(),
    )


def _shifted(folder: Path, by: float, name: str = "model.onnx") -> None:
    """Add ``by`` to the weights of a graph's last layer."""
    path = folder / name
    model = onnx.load(path)  # with what lies beside it
    (last,) = [node for node in model.graph.node if node.op_type == "Gemm"]
    for tensor in model.graph.initializer:
        if tensor.name == last.input[2]:
            values = numpy_helper.to_array(tensor)
            change = by * np.arange(len(values), dtype=np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values + change, tensor.name))
    onnx.save(model, path)


@pytest.mark.parametrize("tier", ["mobile", "edge", "cloud"])
def test_the_bundles_own_graphs_pass(tiny_bundle: Path, reference: Reference, tier: str) -> None:
    manifest = TierBundle.open(tiny_bundle / tier).manifest
    parity = check_tier(
        tiny_bundle / tier, manifest.exit, manifest.segments, "fp32", reference, NoProgress()
    )
    require_parity(tier, "fp32", parity, force=False)
    assert 0 < parity.difference < 1e-5
    assert parity.agreement == 1
    assert (
        parity.rows == len(reference.encoded) == 242
    )  # all rows, the added tokens, the longest text
    recorded: Any = TierBundle.open(tiny_bundle / tier).manifest.provenance["parity"]
    assert recorded[tier]["rows"] == parity.rows
    if tier == "mobile":
        assert parity.routes == 1
        assert parity.embedding is not None
        assert parity.embedding < 1e-5
    else:
        assert (parity.routes, parity.embedding) == (None, None)


def test_the_longest_text_is_among_those_compared(reference: Reference) -> None:
    assert reference.encoded.lengths[-1] == reference.encoded.lengths.max() == MAX_TOKENS


def test_a_graph_that_is_slightly_off_is_refused(
    tiny_bundle: Path, reference: Reference, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_bundle / "edge", tmp_path / "edge"))
    _shifted(folder, by=0.01)
    parity = check_tier(folder, 2, (), "fp32", reference, NoProgress())
    assert 1e-4 < parity.difference < 0.01
    with pytest.raises(ParityError, match=r"the exported edge tier differs .* on 242 rows"):
        require_parity("edge", "fp32", parity, force=True)


def test_a_segment_that_is_off_is_found_at_its_exit(
    cut_bundle: Path, reference: Reference, tmp_path: Path
) -> None:
    """Only its classifier: the hidden states that it hands on are sound."""
    folder = Path(shutil.copytree(cut_bundle / "mobile", tmp_path / "mobile"))
    _shifted(folder, by=100.0, name="layers-2.onnx")
    parity = check_tier(folder, 4, (1, 2, 4), "int8", reference, NoProgress())
    first, second, last = parity.exits
    assert max(first.difference, last.difference) < 1e-5
    assert first.agreement == last.agreement == 1
    assert parity.difference == second.difference > 0.1
    assert parity.agreement == second.agreement < 0.9
    with pytest.raises(ParityError, match=r"labels 100\.0 % at layer 1, [\d.]+ % at layer 2, 100"):
        require_parity("mobile", "int8", parity, force=False)


def test_a_graph_with_another_opinion_is_refused_in_eight_bits(
    tiny_bundle: Path, reference: Reference, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_bundle / "cloud", tmp_path / "cloud"))
    _shifted(folder, by=100.0)  # the last class, whatever the text
    parity = check_tier(folder, 4, (), "int8", reference, NoProgress())
    assert parity.agreement < 0.9
    with pytest.raises(ParityError, match=r"cloud tier in int8 agrees .*leave it out of --int8"):
        require_parity("cloud", "int8", parity, force=False)
    require_parity("cloud", "int8", parity, force=True)


def test_values_that_are_not_finite_are_refused_even_by_force(
    tiny_bundle: Path, reference: Reference, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_bundle / "cloud", tmp_path / "cloud"))
    _shifted(folder, by=float("nan"))
    parity = check_tier(folder, 4, (), "int8", reference, NoProgress())
    with pytest.raises(ParityError, match="not finite"):
        require_parity("cloud", "int8", parity, force=True)


def test_a_route_may_differ_only_where_two_are_equally_near() -> None:
    centres = np.array([[0.0, 0.0], [2.0, 0.0], [50.0, 0.0]])
    router = CentroidRouter().fit(centres, np.array([0, 1, 2]))
    policy, lengths = RouterPolicy("any", router), np.full(3, 9)
    steps = policy.steps(Site(Deployment.paper((1, 2, 4)), (1, 2, 4)))
    expected = np.array([[0.0, 0.0], [1.0 - 1e-7, 0.0], [0.9, 0.0]], np.float32)
    tie = np.array([[0.0, 0.0], [1.0 + 1e-6, 0.0], [0.9, 0.0]], np.float32)
    assert same_routes(steps, tie, expected, lengths) == 1
    moved = np.array([[0.0, 0.0], [1.0, 0.0], [1.1, 0.0]], np.float32)
    assert same_routes(steps, moved, expected, lengths) == pytest.approx(2 / 3)


class _ByLength(FixedSteps):
    """Sends what is longer than a bound, in its embedding's first component, to the last tier."""

    reach = (Go(0, 1), Go(2, 4))

    def begin(self, signal: Signal) -> Go:
        return Go(2, 4) if signal.tokens + float(signal.embedding[0]) > 10 else Go(0, 1)

    def after(self, walk: Walk) -> Answer:
        return Answer()


def test_a_policy_that_measures_no_margin_has_to_take_the_same_first_step() -> None:
    expected = np.array([[0.5], [0.5], [1.0]], np.float32)
    lengths = np.array([9, 10, 9])
    assert same_routes(_ByLength(), expected, expected, lengths) == 1
    got = np.array([[0.5], [0.5], [1.0 + 1e-6]], np.float32)
    assert same_routes(_ByLength(), got, expected, lengths) == pytest.approx(2 / 3)


@given(st.integers(1, 400))
def test_mixed_batches_hold_every_row_once_in_several_sizes(rows: int) -> None:
    batches = _mixed_batches(np.random.default_rng(0).permutation(rows))
    assert sorted(np.concatenate(batches).tolist()) == list(range(rows))
    if rows > 200:
        assert {len(batch) for batch in batches} >= {1, 2, 5, 16, 33, 64}


class TestTheTokenizer:
    def test_the_bundles_own_passes(self, tiny_bundle: Path, reference: Reference) -> None:
        check_tokenizer(tiny_bundle / "mobile" / "tokenizer.json", reference)

    @pytest.mark.parametrize("change", ["length", "words"])
    def test_another_is_refused(
        self, tiny_bundle: Path, reference: Reference, tmp_path: Path, change: str
    ) -> None:
        record = json.loads((tiny_bundle / "mobile" / "tokenizer.json").read_text())
        if change == "length":
            record["truncation"]["max_length"] -= 1  # seen on the longest text alone
        else:
            words = record["model"]["vocab"]
            words["film"], words["plot"] = words["plot"], words["film"]
        (tmp_path / "tokenizer.json").write_text(json.dumps(record))
        with pytest.raises(ConfigError, match="gives other token ids than transformers") as caught:
            check_tokenizer(tmp_path / "tokenizer.json", reference)
        assert len(str(caught.value)) < 300
