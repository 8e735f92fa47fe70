"""What a bandit has learnt, as arrays, and the arm that it plays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dimec.base.errors import ConfigError, DataError
from dimec.policies.literature.adaee import AdaEEPolicy
from dimec.policies.literature.bandit_steps import ArmSteps, Tally, arm_layers
from dimec.policies.literature.ceebert import CeeBERTPolicy
from dimec.policies.step import Answer, Go, Signal, Site, Steps, Walk
from dimec.tiers.deployment import Deployment
from dimec.tiers.tier import Tier

SITE = Site(Deployment.paper((2, 2, 6)), (2, 6))
SIGNAL = Signal(np.zeros(4, np.float32), 5)


def sure(confidence: float) -> npt.NDArray[np.float32]:
    """Two classes, the second one this probable."""
    return np.array([1 - confidence, confidence], np.float32)


def begun(steps: Steps, confidence: float) -> tuple[Walk, Go]:
    """An input that has shown its first exit, and the step that led there."""
    walk, first = Walk(SIGNAL), steps.begin(SIGNAL)
    assert isinstance(first, Go)
    walk.go(first, SITE.deployment)
    walk.see(sure(confidence))
    return walk, first


def numbers(steps: Steps) -> dict[str, Any]:
    """The state as lists."""
    return {name: array.tolist() for name, array in steps.state().items()}


def test_a_tally_by_hand() -> None:
    tally = Tally((2, 3))
    tally.add((1, 2), 0.5)
    tally.add((1, 2), 0.25)
    tally.seen += 1
    state = tally.state()
    assert {name: array.dtype for name, array in state.items()} == {
        "totals": np.float64,
        "counts": np.int64,
        "seen": np.int64,
    }
    assert state["totals"].tolist() == [[0, 0, 0], [0, 0, 0.75]]
    assert state["counts"].tolist() == [[0, 0, 0], [0, 0, 2]]
    assert state["seen"].tolist() == 1


def test_a_state_is_a_copy_both_ways() -> None:
    one, two = Tally((2,)), Tally((2,))
    state = one.state()
    two.restore(state)
    state["totals"][0], state["counts"][0] = 9.0, 9
    one.add(1, 0.5)
    assert two.state()["totals"].tolist() == [0, 0]
    assert two.state()["counts"].tolist() == [0, 0]
    assert one.state()["totals"].tolist() == [0, 0.5]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"totals": np.zeros(3)}, r"totals float64\[2\]; got .*totals float64\[3\]"),
        ({"totals": np.zeros(2, np.float32)}, r"got .*totals float32\[2\]"),
        ({"counts": np.zeros(2)}, r"got counts float64\[2\]"),
        ({"seen": np.zeros(1, np.int64)}, r"seen int64\[\], .*seen int64\[1\]"),
        ({"more": np.zeros(1)}, r"more float64\[1\]"),
        ({"totals": np.array([0.5, np.nan])}, "totals that are finite"),
        ({"totals": np.array([0.5, -np.inf])}, "totals that are finite"),
        ({"counts": np.array([1, -1])}, r"counts from 0 to 2\^53"),
        ({"counts": np.array([1, 2**53 + 1])}, r"counts from 0 to 2\^53"),
        ({"seen": np.array(-1)}, r"seen from 0 to 2\^53"),
    ],
)
def test_what_no_tally_holds_is_refused(changes: dict[str, npt.NDArray[Any]], message: str) -> None:
    tally = Tally((2,))
    tally.add(0, 0.5)
    before = tally.state()
    with pytest.raises(DataError, match=message):
        tally.restore({**before, **changes})
    assert all(np.array_equal(array, before[name]) for name, array in tally.state().items())


def test_a_state_without_an_array_is_refused() -> None:
    with pytest.raises(DataError, match="got nothing"):
        Tally((2,)).restore({})


def test_an_arm_without_a_reward_goes_first_once_the_opening_is_over() -> None:
    """Two inputs at once played arm 0 both; so did the two that followed, arm 2."""
    steps = ArmSteps(3, 1.0)
    counts, seen = np.array([2, 0, 2]), np.array(4)
    steps.restore({"totals": np.array([9.0, 0.0, 9.0]), "counts": counts, "seen": seen})
    assert steps.arm() == 1


def test_the_opening_then_the_index() -> None:
    """Means 0.4, and 0.5 with what is known beside; at c = 0 nothing else counts."""
    steps = ArmSteps(2, 0.0, opening=(1, 0, 0), offsets=(0.0, 0.25))
    for arm, reward in ((1, 0.25), (0, 0.5), (0, 0.3)):
        assert steps.arm() == arm
        steps.tally.add(arm, reward)
        steps.tally.seen += 1
    assert steps.arm() == 1


def test_inputs_that_overlap_keep_the_threshold_that_they_began_with() -> None:
    """CeeBERT: two begin at the threshold 0.5; one is answered, and a third begins at 0.55."""
    steps = CeeBERTPolicy(mu=0.0).steps(SITE)
    (one, first), (two, second) = begun(steps, 0.52), begun(steps, 0.52)
    assert steps.after(one) == Answer()
    steps.learn(one, first)
    three, third = begun(steps, 0.52)
    assert steps.after(two) == Answer()
    assert steps.after(three) == Go(0, 6)
    steps.learn(two, second)
    assert numbers(steps) == {"totals": [0.0] * 10, "counts": [2] + [0] * 9, "seen": 2}
    three.go(Go(0, 6), SITE.deployment)
    three.see(sure(0.75))
    steps.learn(three, third)
    gain = float(np.float32(0.75)) - float(np.float32(0.52))
    assert numbers(steps) == {
        "totals": [0.0, gain] + [0.0] * 8,
        "counts": [2, 1] + [0] * 8,
        "seen": 3,
    }


def test_adaee_answers_with_the_surer_of_two_exits() -> None:
    """The threshold 1.0 is the last of the opening; hidden states go on to the last exit."""
    steps = AdaEEPolicy(overhead=0.25).steps(SITE)
    state = {name: array.copy() for name, array in steps.state().items()}
    state["seen"] = np.array(10)
    for far, look in ((0.625, 0), (0.75, 1), (0.875, 1)):
        steps.restore(state)
        walk, first = begun(steps, 0.75)
        step = steps.after(walk)
        assert step == Go(2, 6, "hidden")
        walk.go(step, SITE.deployment)
        walk.see(sure(far))
        assert steps.after(walk) == Answer(look)
        steps.learn(walk, first)
        assert steps.state()["totals"].tolist() == [0.0] * 10 + [max(far - 0.75, 0) - 0.25]


def test_arms_are_the_exits_up_to_the_last_layer() -> None:
    assert arm_layers(Site(Deployment.paper((2, 3, 6)), (1, 2, 3, 6, 8))) == [1, 2, 3, 6]
    with pytest.raises(ConfigError, match=r"one at layer 6, the last; .* \[2, 3\]"):
        arm_layers(Site(Deployment.paper((2, 3, 6)), (2, 3, 8)))
    two = Deployment((Tier("phone", 2, source="a"), Tier("dc", 6, source="b")))
    with pytest.raises(ConfigError, match="models of their own"):
        arm_layers(Site(two, (2, 6), ("a", "b")))
