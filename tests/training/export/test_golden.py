"""Golden vectors: what they say of a text is what the trained model and a replay say of it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.base.errors import ConfigError
from dimec.bundle.folders import verify_bundle
from dimec.bundle.golden import Golden
from dimec.bundle.manifest import GOLDEN, MANIFEST
from dimec.policies.kinds import StoredPolicy
from dimec.policies.literature.exit_thresholds import ThresholdsPolicy
from dimec.runs.run import Run
from dimec.runs.workspace import RunDirectory
from dimec.training.export.golden import golden_of
from dimec.training.export.golden_texts import candidates, made_up
from dimec.training.export.parity_rows import ParityRows, load_rows
from dimec.training.export.plan import Export
from support.golden import check_bundle

MAX_TOKENS = 32


@pytest.fixture(scope="module")
def golden(tiny_bundle: Path) -> Golden:
    return Golden.load(tiny_bundle)


def made_again(run: Path, bundle: Path, policy: Any = None) -> Golden:
    """The golden vectors of a bundle, or of another policy on its tiers."""
    directory = RunDirectory(run)
    export = Export.of(directory, (), None)
    if policy is not None:
        export = replace(export, stored=StoredPolicy(policy, export.stored.fitted_on))
    manifests = {name: tier.manifest for name, tier in verify_bundle(bundle)[1].items()}
    return golden_of(export, bundle, manifests, load_rows(directory, MAX_TOKENS))


def test_texts_of_the_data_are_as_the_model_and_a_replay_have_them(
    golden: Golden, finished_run: Path
) -> None:
    """The model runs in torch, on batches; its answers were recorded when it was trained."""
    run, known = Run(finished_run), set[str]()
    deployment, names = run.deployment(), golden.tiers
    for split in ("validation", "test"):
        trace, texts = run.trace(split), getattr(run.splits(), split).texts
        routes = run.router().route(trace.embeddings)
        rows = {text: row for row, text in enumerate(texts)}
        for one in golden.inputs:
            if (row := rows.get(one.text)) is None:
                continue
            known.add(one.text)
            assert len(one.input_ids) == trace.lengths[row]
            np.testing.assert_allclose(one.embedding, trace.embeddings[row], atol=1e-5)
            assert [(each.tier, each.layer) for each in one.exits] == [
                ("mobile", 0),
                ("mobile", 1),
                ("edge", 2),
                ("cloud", 4),
            ]
            said = [each.probabilities for each in one.exits]
            np.testing.assert_allclose(said, trace.probabilities[row], atol=1e-5)
            tier, way = int(routes[row]), one.alone
            assert (way.first.tier, way.answered_by[0]) == (names[tier], names[tier])
            assert way.cost == deployment.prices[tier]
            column = trace.column(deployment.exits[tier])
            code = int(trace.probabilities[row, column].argmax())
            assert way.label == golden.labels[code]
            assert way.clear
    data = {one.text for one in golden.inputs if one.of == "data"}
    assert len(data) == 18
    assert 9 < len(known) < len(data)
    assert data - known <= set(run.splits().train.texts)


def test_made_up_inputs_are_at_the_edges(golden: Golden) -> None:
    made = {one.of: one for one in golden.inputs if one.of != "data"}
    assert list(made) == ["empty", "space", "unicode", "marks", "word", "long"]
    assert made["empty"].input_ids == made["space"].input_ids
    assert len(made["long"].input_ids) == MAX_TOKENS < len(made["long"].text.split())
    assert len({one.text for one in golden.inputs}) == len(golden.inputs)


def test_they_are_the_same_each_time(golden: Golden, finished_run: Path, tiny_bundle: Path) -> None:
    assert made_again(finished_run, tiny_bundle) == golden


def test_a_way_that_rounding_may_change_is_not_clear(
    golden: Golden, finished_run: Path, tiny_bundle: Path
) -> None:
    """A threshold that is the confidence in one of the texts, to the last bit."""
    some = next(one for one in golden.inputs if one.of == "marks")
    (seen,) = (each for each in some.exits if (each.tier, each.layer) == ("mobile", 1))
    edge = float(np.float32(max(seen.probabilities)))
    way = ((0, 1), (2, 4))
    policy = ThresholdsPolicy("exit-cascade", way, np.array([[edge, edge]]))
    ways = {one.text: one for one in made_again(finished_run, tiny_bundle, policy).inputs}
    sure = [max(each.exits[1].probabilities) - edge for each in ways.values()]
    assert not ways[some.text].alone.clear
    assert all(
        each.alone.clear for each, more in zip(ways.values(), sure, strict=True) if abs(more) > 1e-3
    )
    assert sum(abs(more) > 1e-3 for more in sure) > len(sure) / 2
    for each, more in zip(ways.values(), sure, strict=True):
        if each.alone.clear:
            assert each.alone.answered_by == (("mobile", 1) if more > 0 else ("cloud", 4))
            assert each.alone.cost == (1.5 if more > 0 else 7.5)
        assert each.learning is None


def test_a_bundle_of_before_is_not_taken_as_it_is(
    finished_run: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    before = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    (before / GOLDEN).unlink()
    manifest = json.loads((before / MANIFEST).read_text())
    del manifest["files"][GOLDEN]
    (before / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ConfigError, match=r"another bundle .*--overwrite"):
        Run(finished_run).export(before)


class TestTheTexts:
    def test_are_spread_over_the_rows_and_cut(self) -> None:
        rows = ParityRows([f"{number} {'x' * 5000}" for number in range(1000)], None)
        chosen = candidates(rows, 64)
        assert len(chosen) == 64
        assert chosen[0].text.startswith("0 ")
        assert chosen[-1].text.startswith("999 ")
        assert {len(one.text) for one in chosen} == {1000}

    def test_are_all_where_there_are_few(self) -> None:
        rows = ParityRows(["a", "b", "half \ud800 of it"], ["c", "d", "e"])
        assert [(one.text, one.pair) for one in candidates(rows, 64)] == [("a", "c"), ("b", "d")]

    def test_a_limit_far_away_is_not_tried(self) -> None:
        for pairs in (False, True):
            assert not [one for one in made_up(pairs, 8192) if one.of.startswith("long")]
            assert sum(len(one.text) for one in made_up(pairs, 1024)) < 20_000


@pytest.mark.parametrize(
    ("name", "learns", "exits"),
    [
        ("tiny_bundle", "deciding", 1),
        ("two_tier_bundle", "deciding", 2),
        ("own_bundle", "never", 4),
    ],
)
def test_the_mobile_does_what_they_say(
    name: str, learns: str, exits: int, request: pytest.FixtureRequest
) -> None:
    """A router, which learns, and a way from exit 0 through a model of each tier's own."""
    golden = check_bundle(request.getfixturevalue(name))
    assert golden.learns == learns
    assert len({one.alone.answered_by for one in golden.inputs}) == exits
    assert sum(one.alone.clear for one in golden.inputs) > len(golden.inputs) / 2
