"""Traces that are kept: the same as the run's, but for rounding that moves no policy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dimec.base.errors import ConfigError, CorruptArtefactError, MissingArtefactError
from dimec.policies import system
from dimec.policies.candidates import did
from dimec.tiers.costs import CostModel
from dimec.traces.trace import Trace
from dimec_studies.stored import TRACES, keep, load_stored, names_of
from support.kept import look_plan
from support.written import EXITS, MODEL, N, written_run

LOOK = names_of("look")


def test_kept_traces_are_those_of_the_run(tmp_path: Path) -> None:
    run = written_run(tmp_path / "run")
    folder = keep(run, look_plan(), "some", 4, tmp_path / "traces")
    assert folder == tmp_path / "traces" / "look" / "some"
    assert names_of("look", tmp_path / "traces") == ["some"]
    stored = load_stored(folder)
    for split in ("validation", "test"):
        there, own = getattr(stored, split), run.trace(split)
        np.testing.assert_array_equal(there.predictions, own.predictions)
        np.testing.assert_array_equal(there.labels, own.labels)
        np.testing.assert_allclose(there.embeddings, own.embeddings, atol=4.5 / 127)
        assert not there.extra
    data_map = run.dynamics().data_map(1)
    for name in ("confidence", "variance", "std", "correctness"):
        np.testing.assert_allclose(
            getattr(stored.data_map, name), getattr(data_map, name), rtol=1e-6
        )
    assert stored.card["exits"] == list(EXITS)
    assert (stored.card["model"], stored.card["seed"]) == (MODEL, 4)
    assert stored.inputs(0.01).lam == 0.01
    assert len(stored.inputs(0.01).validation) == N


def test_prices_are_the_papers_or_those_that_are_given(tmp_path: Path) -> None:
    folder = keep(written_run(tmp_path / "run"), look_plan(), "some", 4, tmp_path)
    assert load_stored(folder).deployment.prices == CostModel().for_exits(1, 2, 6)
    dear = CostModel(mobile_layer=3.0)
    assert load_stored(folder, dear).deployment.prices == dear.for_exits(1, 2, 6)


def test_what_is_missing_or_damaged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingArtefactError, match="dimec reproduce look"):
        load_stored(tmp_path)
    folder = keep(written_run(tmp_path / "run"), look_plan(), "some", 4, tmp_path)
    path = folder / "test.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CorruptArtefactError):
        load_stored(folder)


@pytest.mark.parametrize("name", LOOK)
def test_the_traces_of_the_repository_are_what_their_cards_say(name: str) -> None:
    stored = load_stored(TRACES / "look" / name)
    assert len(stored.validation) == stored.card["rows"]["validation"] == len(stored.needed_map())
    assert len(stored.test) == stored.card["rows"]["test"]
    assert stored.validation.exits[0] == 0
    assert set(stored.validation.guids).isdisjoint(stored.test.guids)
    accuracies = stored.test.correct.mean(axis=0)
    told = json.loads(json.dumps(stored.card["test_accuracy"]))
    # The probabilities are rounded; a tie of two classes may fall otherwise.
    assert list(told.values()) == pytest.approx(accuracies.tolist(), abs=0.001)


def rounded_again(trace: Trace, rng: np.random.Generator) -> Trace:
    """Every number of a compact trace moved by up to half of its last place, as rounding did."""
    step = np.abs(trace.embeddings).max(axis=0) / 127
    halves = trace.probabilities.astype(np.float16)
    place = trace.probabilities - np.nextafter(halves, np.float16(0)).astype(np.float32)
    noise = [rng.uniform(-0.5, 0.5, one.shape) for one in (trace.embeddings, place)]
    return replace(
        trace,
        embeddings=(trace.embeddings + noise[0] * step).astype(np.float32),
        probabilities=np.clip(trace.probabilities + noise[1] * place, 0, 1).astype(np.float32),
    )


@pytest.mark.parametrize("name", ["cascade", "deferral", "exit-cascade", "dimec-fixed-quantile"])
def test_rounding_moves_no_policy_by_more_than_a_row_or_two_in_a_thousand(name: str) -> None:
    stored = load_stored(TRACES / "look" / "movies")
    policy = system(name).fit(stored.inputs(0.01)).policy
    before = did(policy, stored.test, stored.deployment)
    for seed in range(5):
        trace = rounded_again(stored.test, np.random.default_rng(seed))
        after = did(policy, trace, stored.deployment)
        labels = stored.test.labels
        moved = int((after.classes == labels).sum()) - int((before.classes == labels).sum())
        assert abs(moved) <= 0.002 * len(labels)
        cost = after.cost.mean() - before.cost.mean()
        assert abs(cost) <= 0.003 * stored.deployment.prices[-1]


def test_traces_without_a_data_map_say_so_where_one_is_needed() -> None:
    stored = load_stored(TRACES / "trial" / "qqp-own")
    assert stored.data_map is None
    with pytest.raises(ConfigError, match="qqp-own have no data map"):
        stored.needed_map()
