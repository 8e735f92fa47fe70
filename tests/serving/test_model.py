from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.base.errors import ConfigError, CorruptArtefactError
from dimec.bundle.folders import TierBundle, file_records, write_manifest
from dimec.serving.model import Pace, TierModel, _Line
from support.served import FAILING, expected, inputs_of, paper_records


@pytest.mark.parametrize("threads", [1, 2])
def test_it_answers_as_the_graph_does(tier: Path, threads: int) -> None:
    model = TierModel(TierBundle.open(tier), threads)
    inputs = inputs_of([3, 7, 1], [50])
    for alone in (True, False):
        np.testing.assert_allclose(model(inputs, alone), expected(inputs), atol=1e-6)
    assert model.threads == threads
    assert 8 <= model.pace.overhead <= 64


def test_what_a_run_costs_before_its_first_token_is_measured_in_tokens() -> None:
    line = _Line.through(8, 64, lambda tokens: 3e-3 + 0.25e-3 * tokens)
    assert line.overhead == pytest.approx(12)
    assert line(100) == pytest.approx(28e-3)
    for seconds, bound in ((lambda tokens: 1e-3 * tokens, 8), (lambda tokens: 1.0, 64)):
        assert _Line.through(8, 64, seconds).overhead == bound
    assert _Line.through(3, 3, lambda tokens: 1e-3).overhead == 64


def test_what_another_has_measured_is_not_measured_again(tier: Path) -> None:
    bundle = TierBundle.open(tier)
    for pace in (Pace(20.0), Pace(12.5, 1), Pace(12.5, 48)):
        model = TierModel(bundle, 2, pace)
        assert model.pace == pace == Pace.of_json(json.loads(json.dumps(pace.to_json())))
        for alone in (True, False):
            inputs = inputs_of([3, 7, 1])
            np.testing.assert_allclose(model(inputs, alone), expected(inputs), atol=1e-6)


def test_by_default_it_takes_the_processors_of_this_process(
    tier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3, 5, 6}, raising=False)
    assert TierModel(TierBundle.open(tier), None).threads == 3


def test_the_runtime_says_nothing_of_what_failed(
    tier: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = TierModel(TierBundle.open(tier), 1)
    with pytest.raises(Exception, match="indices element out of data bounds"):
        model(inputs_of([FAILING]), alone=True)
    assert capfd.readouterr() == ("", "")  # it would quote a token id


def _altered(source: Path, folder: Path, **changes: Any) -> TierBundle:
    """A copy of a bundle with another manifest, or another graph."""
    import onnx

    shutil.copytree(source, folder)
    if (alter := changes.pop("alter", None)) is not None:
        graph = onnx.load(folder / "model.onnx")
        alter(graph.graph)
        onnx.save(graph, folder / "model.onnx")
    manifest = TierBundle.open(source).manifest
    write_manifest(folder, manifest.model_copy(update={"files": file_records(folder), **changes}))
    return TierBundle.open(folder)


def test_a_graph_that_is_not_the_manifests_is_refused(tier: Path, tmp_path: Path) -> None:
    wrong: list[dict[str, Any]] = [
        {"labels": ("one", "two", "three")},
        {"inputs": ("input_ids", "attention_mask", "token_type_ids")},
        {"inputs": ("input_ids",)},
    ]
    for number, changes in enumerate(wrong):
        bundle = _altered(tier, tmp_path / str(number), **changes)
        with pytest.raises(CorruptArtefactError, match=r"expected a graph of .* got another"):
            TierModel(bundle, 1)


def test_answers_that_are_not_finite_are_errors(tier: Path, tmp_path: Path) -> None:
    def poison(graph: Any) -> None:
        import onnx

        (table,) = (each for each in graph.initializer if each.name == "table")
        values = onnx.numpy_helper.to_array(table).copy()
        values[7] = np.nan
        table.CopyFrom(onnx.numpy_helper.from_array(values, "table"))

    model = TierModel(_altered(tier, tmp_path / "nan", alter=poison), 1)
    model(inputs_of([6]), alone=True)
    with pytest.raises(ArithmeticError, match="not finite"):
        model(inputs_of([7]), alone=True)


def test_the_mobiles_bundle_is_refused(tier: Path, tmp_path: Path) -> None:
    bundle = _altered(tier, tmp_path / "mobile", tier="mobile", segments=(1,))
    with pytest.raises(ConfigError, match="serve the folder edge/ or cloud/ beside it"):
        TierModel(bundle, 1)


def test_where_there_is_no_other_tier_it_says_so(tier: Path, tmp_path: Path) -> None:
    alone = paper_records(phone="41")
    bundle = _altered(tier, tmp_path / "phone", tier="phone", tiers=alone, segments=(1,))
    with pytest.raises(ConfigError, match=r"of the phone tier, .* predict; there is no other$"):
        TierModel(bundle, 1)
