"""One way to get tiers: its reference, its stands, and what is chosen of them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from dimec.base.errors import ConfigError, MismatchError
from dimec.evaluation.replay import replay
from dimec.policies import system
from dimec.tiers.scenario_file import Scenarios
from dimec_studies.plain_cloud import with_plain_cloud
from dimec_studies.plan import Plan
from dimec_studies.stored import TRACES, Stored, load_stored
from dimec_studies.ways import ALLOWED, HALF, Judge, Shown, Way, part_of, shown_along

ROWS = np.arange(150)


def few(name: str) -> Stored:
    """The first rows of traces of the collection."""
    stored = load_stored(TRACES / name)
    assert stored.data_map is not None
    return replace(
        stored,
        validation=stored.validation.take(ROWS),
        test=stored.test.take(ROWS),
        data_map=stored.data_map.take(ROWS),
    )


@pytest.fixture(scope="module")
def joint() -> Stored:
    return few("mrpc/minilm-joint/0")


@pytest.fixture(scope="module")
def own() -> Stored:
    return few("mrpc/minilm-own/0")


def plan() -> Plan:
    return Plan.load("small").of_collection().model_copy(update={"draws": 50})


def test_the_reference_is_right_more_often_than_the_other_on_either_split(
    joint: Stored, own: Stored
) -> None:
    way = Way.of(joint, own)
    for split, right, told in zip(("validation", "test"), way.right, way.reference, strict=True):
        exits = {
            "last exit": getattr(joint, split).correct[:, -1].mean(),
            "plain fine-tuning": getattr(own, split).correct[:, -1].mean(),
        }
        assert right.mean() == max(exits.values()) == exits[told]
    alone = Way.of(joint, None)
    assert alone.reference == ("last exit", "last exit")
    assert len(way.rests_on) == 2 * len(alone.rests_on) == 4


def test_a_reference_of_other_rows_is_refused(joint: Stored, own: Stored) -> None:
    other = replace(own, test=own.test.take(ROWS[::-1]))
    with pytest.raises(MismatchError, match=r"test traces mrpc/minilm-joint/0 and .* other rows"):
        Way.of(joint, other)


def test_every_kind_of_system_has_stands(joint: Stored) -> None:
    """One that a contract can take, one that goes on learning, one that draws lots."""
    inputs = joint.inputs(0.02)
    counts = {}
    for name in ("max-softmax-tiers", "adaee", "random"):
        stands = shown_along(system(name), inputs, joint.test, 0)
        counts[name] = len(stands)
        for one in stands:
            shown = replay(one.policy, joint.test, joint.deployment)
            np.testing.assert_array_equal(one.right, shown.right)
            np.testing.assert_array_equal(one.cost, shown.cost)
            assert len(one.seen_right) == len(one.seen_cost) == len(ROWS)
            assert name in one.told
    assert counts["random"] == 1
    assert min(counts["adaee"], counts["max-softmax-tiers"]) > 1
    with pytest.raises(ConfigError, match="training of its own"):
        shown_along(system("bottlefit"), inputs, joint.test, 0)


def test_the_stand_that_saves_most_within_the_drop_is_chosen(own: Stored) -> None:
    way = Way.of(own, own)
    judge = Judge(way, own.deployment, 50, ())
    policy = judge.singles(own.inputs(0.0))[-1].policy

    def stand(told: str, lost: int, cost: float) -> Shown:
        """Loses so many of the validation rows that the reference has right, and one of test."""
        seen, shown = way.right[0].copy(), way.right[1].copy()
        seen[np.flatnonzero(seen)[:lost]] = 0
        shown[np.flatnonzero(shown)[0]] = 0
        spent = np.full(len(ROWS), cost)
        return Shown(told, policy, seen, spent, shown, spent)

    # Of 150 rows one is 0.67 points, two are 1.33, three are 2.
    stands = [stand("a", 0, 8.0), stand("b", 1, 6.0), stand("c", 3, 3.0), stand("d", 4, 1.0)]
    chosen = judge.line(stands)["chosen"]
    assert {key: one["policy"] for key, one in chosen.items()} == {
        "0": "a",
        "0.005": "a",
        "0.01": "b",
        "0.02": "c",
    }
    assert chosen["0.02"]["saved"] == pytest.approx(1 - 3 / 9, abs=1e-6)
    assert chosen["0.02"]["seen_drop"] == pytest.approx(3 / 150, abs=1e-6)
    assert chosen["0.02"]["drop"] == pytest.approx(1 / 150, abs=1e-6)
    # The bootstrap's error of a share of 1 in 150 is about its binomial one.
    assert chosen["0.02"]["drop_error"] == pytest.approx(1 / 150, rel=0.5)
    assert chosen["0.02"]["saved_error"] == 0
    assert all(one is None for one in judge.line(stands[3:])["chosen"].values())


def test_a_part_has_every_charge_and_its_figures_are_json(joint: Stored, own: Stored) -> None:
    scenarios = [Scenarios.load().scenario("phone-4g")]
    names = ("max-softmax-tiers", "exit-cascade", "dimec-fixed-quantile", "bottlefit")
    part = part_of(Way.of(joint, own), plan(), scenarios, names)
    assert json.loads(json.dumps(part)) == part
    assert list(part["charges"]) == ["6", "15", "33"]
    prices = [one["price"] for one in part["charges"].values()]
    assert prices == [9.0, 18.0, 36.0]
    base = part["charges"]["6"]
    assert list(base["systems"]) == ["single", *names[:-1]]
    assert list(base["left_out"]) == ["bottlefit"]
    for name in names[:-1]:
        line = base["systems"][name]
        assert list(line["chosen"]) == [f"{one:g}" for one in ALLOWED]
        for key, one in line["chosen"].items():
            assert one is None or ("scenarios" in one) == (key == f"{HALF:g}")


@pytest.mark.parametrize("made", ["own", "joint", "joint+plain"])
def test_the_last_tier_alone_saves_nothing_in_any_unit(
    joint: Stored, own: Stored, made: str
) -> None:
    scenarios = [Scenarios.load().scenario("phone-4g")]
    one = {"own": own, "joint": joint, "joint+plain": with_plain_cloud(joint, own)}[made]
    part = part_of(Way.of(one, None), plan(), scenarios, ("bert-cloud",))
    told = part["charges"]["6"]["systems"]["bert-cloud"]["chosen"][f"{HALF:g}"]
    assert (told["saved"], told["drop"], told["seen_drop"]) == (0, 0, 0)
    assert told["scenarios"] == {"phone-4g": {"milliseconds": 0, "millijoules": 0}}
