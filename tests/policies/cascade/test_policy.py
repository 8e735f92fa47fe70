"""The cascade as a stored policy: what it looks at, what it refuses, what a file may say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.base.errors import ConfigError, CorruptArtefactError
from dimec.base.storage import load_arrays, read_json, save_arrays, write_json
from dimec.policies.cascade.policy import CascadePolicy
from dimec.policies.cascade.system import fit_cascade
from dimec.policies.drive import drive, site_of
from dimec.policies.kinds import ARRAYS, POLICY, StoredPolicy
from dimec.policies.reach import served_steps
from dimec.policies.step import Go, Look, Signal, Site, Walk
from dimec.tiers.deployment import Deployment
from support.scenes import Scene

SCENE = Scene(exits=(0, 1, 2, 4, 6), tiers=(2, 4, 6), classes=3, samples=60)
SITE = Site(SCENE.deployment, SCENE.exits)


@pytest.fixture(scope="module")
def cascade() -> CascadePolicy:
    return fit_cascade(SCENE.inputs())


def test_every_text_begins_at_layer_0_and_that_costs_nothing(cascade: CascadePolicy) -> None:
    steps = served_steps(cascade, SITE, (0, 1, 2), 8)
    assert steps.begin(Signal(np.zeros(8, np.float32), 9)) == Go(0, 0)
    trace = SCENE.trace("test")
    dear = fit_cascade(replace(SCENE.inputs(), lam=0.2))
    for policy in (cascade, dear):
        outcome = policy.replay(trace, SCENE.deployment)
        driven = drive(policy.steps(site_of(trace, SCENE.deployment)), trace, SCENE.deployment)
        np.testing.assert_array_equal(outcome.answers, driven.answers)
        np.testing.assert_array_equal(outcome.cost, driven.cost)
        at_zero = outcome.answers[:, 0] == 1
        assert ((outcome.cost == 0) == at_zero).all()
    assert at_zero.all()  # at that price


def test_a_signal_has_to_the_last_bit_the_features_that_it_has_among_others(
    cascade: CascadePolicy,
) -> None:
    trace = SCENE.trace("test")
    whole = cascade.signal(trace.embeddings, trace.lengths)
    assert whole.shape[1] > 1
    for x, tokens, row in zip(trace.embeddings, trace.lengths.tolist(), whole, strict=True):
        assert cascade.signal_one(Signal(x, tokens)) == row.tolist()


def test_whoever_asks_again_or_late_is_told_the_same(cascade: CascadePolicy) -> None:
    trace, steps = SCENE.trace("test"), cascade.steps(SITE)
    for row in range(len(trace)):
        looks = [Look(0, layer, trace.probabilities[row, k]) for k, layer in enumerate((0, 1, 2))]
        signal = Signal(trace.embeddings[row], int(trace.lengths[row]))
        walk, told = Walk(signal, note=steps.begin(signal).note), []  # type: ignore[union-attr]
        for look in looks:
            walk.looks.append(look)
            told.append(steps.after(walk))
        assert steps.after(walk) == told[-1]
        assert steps.after(Walk(signal, looks[:2], note=walk.note)) == told[1]
        late = Walk(signal, looks, note=steps.begin(signal).note)  # type: ignore[union-attr]
        assert steps.after(late) == told[-1]


def test_it_can_be_served_wherever_the_device_has_its_exits(cascade: CascadePolicy) -> None:
    with pytest.raises(ConfigError, match=r"layer 0 on the mobile, which can stop at 1, 2"):
        served_steps(cascade, SITE, (1, 2), 8)


@pytest.mark.parametrize(
    "site",
    [Site(SCENE.deployment, (1, 2, 4, 6)), Site(Deployment.paper((1, 4, 6)), SCENE.exits)],
    ids=["exits", "tiers"],
)
def test_other_exits_or_tiers_are_refused(cascade: CascadePolicy, site: Site) -> None:
    with pytest.raises(ConfigError, match=r"fitted for other exits or tiers .* fit it again"):
        cascade.steps(site)


def test_it_is_small(cascade: CascadePolicy, tmp_path: Path) -> None:
    StoredPolicy(cascade).save(tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 50_000


ALTERED: dict[str, Any] = {
    "a point less": lambda record, arrays: record["settings"]["points"].pop(),
    "no lambda": lambda record, arrays: record["settings"].pop("lam"),
    "a lambda below 0": lambda record, arrays: record["settings"].update(lam=-1),
    "a word for a layer": lambda r, a: r["settings"]["points"][1]["seen"].append([0, "x"]),
    "a step more": lambda r, a: r["settings"]["points"][0]["goes"].append([2, 6]),
    "no arrays of a point": lambda record, arrays: arrays.pop("0.weights"),
    "weights of another type": lambda r, a: a.update({"0.biases": a["0.biases"].astype("f4")}),
    "not finite": lambda r, a: a["0.weights"].fill(np.nan),
    "axes of another width": lambda r, a: a.update(axes=a["axes"][:, :-1].copy()),
    "too few weights": lambda r, a: a.update({"1.biases": a["1.biases"][:-1].copy()}),
}


@pytest.mark.parametrize("change", ALTERED)
def test_a_file_that_holds_something_else_is_refused(
    cascade: CascadePolicy, tmp_path: Path, change: str
) -> None:
    StoredPolicy(cascade).save(tmp_path)
    record = json.loads(json.dumps(read_json(tmp_path / POLICY, "")))
    arrays, metadata = load_arrays(tmp_path / ARRAYS, "policy", "")
    ALTERED[change](record, arrays)
    record["arrays"] = sorted(arrays)
    write_json(tmp_path / POLICY, record)
    save_arrays(tmp_path / ARRAYS, "policy", arrays, metadata)
    with pytest.raises(CorruptArtefactError, match="holds no policy"):
        StoredPolicy.load(tmp_path)
