"""What the bandit systems share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dimec.base.errors import ConfigError
from dimec.policies import FitInputs
from dimec.policies.literature.bandits import (
    arm_columns,
    check_share,
    check_weight,
    mobile_costs,
    offload_cost,
    priced_system,
    ucb_choices,
    up_to,
)
from dimec.policies.literature.lee import LEEPolicy
from dimec.policies.registry import validation_reward
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from support import slow_bandits
from support.builders import make_trace

reward_tables = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 60), st.integers(1, 6)),
    elements=st.floats(-1, 1) | st.integers(-4, 4).map(lambda k: k / 4),
)


@given(reward_tables, st.sampled_from([0.0, 0.1, 1.0, 2.0]))
def test_ucb_is_the_loop_of_its_formula(rewards: npt.NDArray[np.float64], c: float) -> None:
    rows = rewards.tolist()
    expected = slow_bandits.ucb(len(rows), len(rows[0]), lambda t, k: rows[t][k], c)
    assert ucb_choices(rewards, c).tolist() == expected


@given(reward_tables, st.sampled_from([0.0, 0.1, 1.0]))
def test_side_observations_are_those_of_every_arm_up_to_the_one_played(
    rewards: npt.NDArray[np.float64], c: float
) -> None:
    rows = rewards.tolist()
    expected = slow_bandits.ucb(
        len(rows), len(rows[0]), lambda t, k: rows[t][k], c, lambda _, arm, other: other <= arm
    )
    assert ucb_choices(rewards, c, observed=up_to).tolist() == expected


def test_ucb_by_hand() -> None:
    """Each arm once; ln 3 = 1.0986, ln 4 = 1.3863, ln 5 = 1.6094."""
    rewards = np.array([[0.5, 9.0], [9.0, 0.75], [9.0, 0.25], [0.5, 9.0], [0.0, 0.0]])
    # t = 2: 0.5 + 1.048 < 0.75 + 1.048: arm 1 earns 0.25, its mean falls to 0.5.
    # t = 3: 0.5 + 1.177 > 0.5 + 0.833: arm 0. t = 4: both 0.5 with 2 plays: the first.
    assert ucb_choices(rewards, 1.0).tolist() == [0, 1, 1, 0, 0]


def test_an_opening_and_offsets() -> None:
    """The opening replaces the round of all arms; offsets move the means."""
    rewards = np.array([[0.0, 0.0, 0.0]] * 3)
    choices = ucb_choices(
        rewards, 0.0, opening=(2,), offsets=(0.1, 0.3, 0.2), observed=lambda t, arm: range(3)
    )
    assert choices.tolist() == [2, 1, 1]


@pytest.mark.parametrize("seed", range(3))
def test_it_finds_the_better_arm(seed: int) -> None:
    """A stationary stream: in the second half the best arm is played nine times in ten."""
    rng = np.random.default_rng(seed)
    rewards = rng.uniform(0, 1, (4000, 4)) * np.array([0.5, 1.0, 0.4, 0.3])
    late = ucb_choices(rewards, 1.0)[2000:]
    assert (late == 1).mean() > 0.9


def test_arms_are_the_exits_of_the_deployed_model() -> None:
    trace = make_trace(3, exits=(1, 2, 3, 4, 6), tiers=(2, 3, 6))
    assert arm_columns(trace, Deployment.paper((2, 3, 6))).tolist() == [0, 1, 2, 3, 4]
    assert arm_columns(trace, Deployment.paper((1, 1, 3))).tolist() == [0, 1, 2]
    with pytest.raises(ConfigError, match="layer 5"):
        arm_columns(trace, Deployment.paper((1, 1, 5)))


def test_costs_of_arms() -> None:
    trace = make_trace(3, exits=(1, 4, 6), tiers=(1, 4, 6))
    deployment = Deployment.paper((1, 4, 6), CostModel(mobile_layer=2.0, cloud_charge=7.5))
    columns = arm_columns(trace, deployment)
    assert mobile_costs(trace, deployment, columns).tolist() == [2.0, 8.0, 12.0]
    assert offload_cost(deployment) == 3.0 + 7.5
    assert offload_cost(Deployment.paper((1, 4, 6))) == 3.0 + (1.5 * 6 - 3.0)


@pytest.mark.parametrize("value", [-0.1, math.inf, math.nan])
def test_settings_out_of_range_are_refused(value: float) -> None:
    with pytest.raises(ConfigError, match="the threshold must lie between 0 and 1"):
        check_share("the threshold", value)
    with pytest.raises(ConfigError, match="c must be a finite number of at least 0"):
        check_weight("c", value)
    assert check_share("the threshold", 1) == 1.0
    assert check_weight("c", 3) == 3.0


def test_fitting_sets_mu_to_lambda_and_chooses_the_rest() -> None:
    stream = slow_bandits.long_stream(200)
    inputs = FitInputs(stream.trace, stream.deployment, 0.013)
    grid: dict[str, Any] = {"weight": (0.5, 1.0, 2.0)}
    system = priced_system("one", "nobody", LEEPolicy, grid)
    fit = system.fit(inputs)
    policies = [LEEPolicy(weight=weight, mu=0.013) for weight in grid["weight"]]
    scores = [validation_reward(policy, inputs) for policy in policies]
    assert fit.reward == max(scores)
    assert dict(fit.settings) == {
        "weight": grid["weight"][scores.index(max(scores))],
        "mu": 0.013,
    }
    assert system.settings() == [{"weight": 0.5}, {"weight": 1.0}, {"weight": 2.0}]
    again = system.make(**fit.settings)
    assert validation_reward(again, inputs) == fit.reward
