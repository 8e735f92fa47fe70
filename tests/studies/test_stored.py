"""Traces that are kept: the same as the run's, but for rounding that moves no policy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dimec.base.errors import ConfigError, CorruptArtefactError, MissingArtefactError
from dimec.policies import system
from dimec.policies.candidates import did
from dimec.tiers.costs import CostModel
from dimec.traces.collection import Collection
from dimec.traces.compact import load_compact, save_compact
from dimec.traces.trace import Trace
from dimec_studies.stored import TRACES, Stored, keep, load_stored
from support.kept import look_plan
from support.written import EXITS, MODEL, N, written_run


def test_kept_traces_are_those_of_the_run(tmp_path: Path) -> None:
    run = written_run(tmp_path / "run")
    folder = keep(run, look_plan(), "some", 4, tmp_path / "traces")
    assert folder == tmp_path / "traces" / "some" / f"{look_plan().model_name}-joint" / "4"
    stored = load_stored(folder)
    assert (stored.name, stored.entry) == ("some", f"some/{look_plan().model_name}-joint/4")
    assert Collection.open(tmp_path / "traces").names() == (stored.entry,)
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
    assert stored.card.exits == EXITS
    assert (stored.card.model, stored.card.seed) == (MODEL, 4)
    assert stored.inputs(0.01).lam == 0.01
    assert len(stored.inputs(0.01).validation) == N


def test_prices_are_the_papers_or_those_that_are_given(tmp_path: Path) -> None:
    folder = keep(written_run(tmp_path / "run"), look_plan(), "some", 4, tmp_path)
    assert load_stored(folder).deployment.prices == CostModel().for_exits(1, 2, 6)
    dear = CostModel(mobile_layer=3.0)
    assert load_stored(folder, dear).deployment.prices == dear.for_exits(1, 2, 6)


def test_what_is_missing_or_damaged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingArtefactError, match="dimec reproduce traces"):
        load_stored(tmp_path)
    folder = keep(written_run(tmp_path / "run"), look_plan(), "some", 4, tmp_path)
    path = folder / "test.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CorruptArtefactError):
        load_stored(folder)


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


@pytest.fixture(scope="module")
def many() -> Stored:
    """Rows of the largest task: one in 3,000 is a thirtieth of a point."""
    whole = load_stored(TRACES / "sst2" / "minilm-joint" / "0")
    few, rows = np.arange(1000), np.arange(3000)
    assert len(whole.test) >= len(rows)
    return replace(
        whole,
        validation=whole.validation.take(few),
        data_map=whole.needed_map().take(few),
        test=whole.test.take(rows),
    )


@pytest.fixture(scope="module")
def pairs(many: Stored, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Trace, Trace]]:
    """What the test trace may have been before it was rounded, and what is kept of that."""
    made, path = [], tmp_path_factory.mktemp("compact") / "trace"
    for seed in range(5):
        whole = rounded_again(many.test, np.random.default_rng(seed))
        save_compact(whole, path)
        made.append((whole, load_compact(path)))
    return made


@pytest.mark.parametrize(
    "name", ["cascade", "exit-cascade", "dimec-fixed-quantile", "deebert", "max-softmax-tiers"]
)
def test_rounding_moves_no_policy_by_a_twentieth_of_a_point(
    name: str, many: Stored, pairs: list[tuple[Trace, Trace]]
) -> None:
    """Neither its accuracy nor its cost reduction, on average over what was rounded away."""
    policy = system(name).fit(many.inputs(0.01)).policy
    labels, dear = many.test.labels, many.deployment.prices[-1]
    points = np.empty((len(pairs), 2, 2))
    for i, pair in enumerate(pairs):
        for j, trace in enumerate(pair):
            done = did(policy, trace, many.deployment)
            right, cost = (done.classes == labels).mean(), done.cost.mean() / dear
            points[i, j] = 100 * right, 100 * cost
    before, after = points.mean(axis=0)
    assert (np.abs(after - before) <= 0.05).all()


def test_traces_without_a_data_map_say_so_where_one_is_needed() -> None:
    stored = load_stored(TRACES / "qqp" / "minilm-trial-own" / "0")
    assert stored.data_map is None
    with pytest.raises(ConfigError, match="qqp/minilm-trial-own/0 have no data map"):
        stored.needed_map()
