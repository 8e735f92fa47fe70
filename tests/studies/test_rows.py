"""The rows of the tables: which there are, and on which traces each stands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dimec.base.errors import MismatchError
from dimec.cartography import DataMap
from dimec.policies import systems
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace
from dimec_studies.rows import SeedTraces, rows_of
from support.builders import make_trace

TRAINED = {name: one.needs for name, one in systems().items() if one.needs}
LAYERS = (1, 2, 3, 4, 5, 6)
TIERS = (2, 3, 6)


def trace_of(seed: int, split: str) -> Trace:
    """Samples with the same guids, labels and texts whatever the model that ``seed`` stands for."""
    trace = make_trace(50, exits=LAYERS, tiers=TIERS, seed=seed, split=split)
    same = make_trace(50, exits=LAYERS, tiers=TIERS, seed=0)
    extra = {"code_bytes": np.full(50, 7.0)}
    return replace(trace, labels=same.labels, lengths=same.lengths, extra=extra)


def traces_of(*recipes: str) -> SeedTraces:
    rng = np.random.default_rng(0)
    p = rng.random(50)
    data_map = DataMap(p, p * (1 - p) / 4, np.sqrt(p * (1 - p)) / 2, p)
    named = {recipe: number for number, recipe in enumerate(recipes)}
    return SeedTraces(
        0,
        {recipe: trace_of(number, "validation") for recipe, number in named.items()},
        {recipe: trace_of(number + 10, "test") for recipe, number in named.items()},
        data_map,
    )


def test_every_registered_system_has_a_row() -> None:
    traces = traces_of("joint", "two-stage", "depth", *TRAINED.values())
    rows = rows_of(traces, Deployment.paper(TIERS), 0.02)
    names = [row.replay.policy for row in rows]
    assert len(set(names)) == len(names)
    assert set(systems()) <= set(names)
    assert {"deebert@two-stage", "pabee@depth"} <= set(names)
    assert names[0] == "bert-plain"
    assert names[-1] == "oracle"
    assert {"all-mobile", "all-edge", "random", "random@dimec-fixed-paper"} <= set(names)


def test_rows_stand_on_the_traces_of_their_recipe() -> None:
    traces = traces_of("joint", "two-stage")
    rows = {row.replay.policy: row for row in rows_of(traces, Deployment.paper(TIERS), 0.02)}
    for name, recipe in (("bert-plain", "two-stage"), ("bert-cloud", "joint")):
        expected = traces.test[recipe].correct[:, -1].astype(float)
        assert rows[name].replay.right.tolist() == expected.tolist()
        assert rows[name].recipe == recipe
    assert rows["deebert"].recipe == "joint"
    assert rows["deebert@two-stage"].recipe == "two-stage"


def test_without_their_own_training_systems_have_no_such_row() -> None:
    names = [
        row.replay.policy for row in rows_of(traces_of("joint"), Deployment.paper(TIERS), 0.02)
    ]
    assert "bert-plain" not in names
    assert not set(TRAINED) & set(names)
    assert not any("@" in name and not name.startswith("random@") for name in names)


def test_settings_come_from_the_validation_split() -> None:
    """A test split with other probabilities changes no setting."""
    traces = traces_of("joint")
    other = replace(traces, test={"joint": trace_of(77, "test")})
    one = {
        row.replay.policy: row.settings for row in rows_of(traces, Deployment.paper(TIERS), 0.02)
    }
    two = {row.replay.policy: row.settings for row in rows_of(other, Deployment.paper(TIERS), 0.02)}
    assert one == two
    assert one["deebert"]["threshold"] >= 0


def test_traces_of_other_samples_are_refused() -> None:
    traces = traces_of("joint", "depth")
    stranger = replace(traces.test["depth"], guids=tuple(f"x{k}" for k in range(50)))
    with pytest.raises(MismatchError, match="joint and depth are of other samples"):
        SeedTraces(0, traces.validation, {**traces.test, "depth": stranger}, traces.data_map)
