"""Ours-F and Ours-D as systems: thresholds, pools, centres, routes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError
from dimec.cartography.thresholds import BETA_QUANTILES, PAPER_ALPHAS, PAPER_BETAS, Grid
from dimec.policies.dimec import fit_router
from dimec.policies.registry import WEIGHTS, FitInputs, system
from dimec.tiers.deployment import Deployment
from support import reference
from support.builders import make_trace, points
from support.scenes import LAM, Scene, scenes

KINDS = [
    (kind, grid, f"dimec-{kind}-{grid}")
    for grid in ("paper", "quantile")
    for kind in ("fixed", "adaptive")
]


def slow_betas(inputs: FitInputs, grid: str) -> list[float]:
    """The paper's values, or quantiles of the variances that clear the smallest α."""
    if grid == "paper":
        return list(PAPER_BETAS)
    data_map = inputs.data_map
    assert data_map is not None
    pairs = list(zip(data_map.confidence.tolist(), data_map.variance.tolist(), strict=True))
    kept = [v for c, v in pairs if c >= min(PAPER_ALPHAS)] or [v for _, v in pairs]
    return [reference.quantile(kept, q) for q in BETA_QUANTILES]


def slow_table(inputs: FitInputs, grid: str, weight: float) -> list[reference.Cell]:
    """Equation 6 for every pair of the grid, a unit of cost weighing ``weight`` times λ."""
    trace, deployment = inputs.validation, inputs.deployment
    columns = [trace.exits.index(layer) for layer in deployment.exits]
    confidences = [[max(sample[x]) for x in columns] for sample in trace.probabilities.tolist()]
    assert inputs.data_map is not None
    coordinates = list(
        zip(inputs.data_map.confidence.tolist(), inputs.data_map.variance.tolist(), strict=True)
    )
    m, n, l = deployment.exits  # noqa: E741
    prices = reference.prices(m, n, 1.5, 1.0, 2.5, 3.0, gamma=max(0.0, 1.5 * l - 3.0))
    betas = slow_betas(inputs, grid)
    return reference.threshold_table(
        coordinates, confidences, prices, weight * inputs.lam, PAPER_ALPHAS, betas
    )


@pytest.mark.parametrize(("kind", "grid", "name"), KINDS, ids=[name for *_, name in KINDS])
@given(scene=scenes())
def test_it_routes_as_the_paper_says(kind: str, grid: str, name: str, scene: Scene) -> None:
    """From the data map to the tier of every test sample, all in loops."""
    inputs, test = scene.inputs(), scene.trace("test")
    assert inputs.data_map is not None
    fit = system(name).fit(inputs)
    alpha, beta = fit.settings["alpha"], fit.settings["beta"]
    # The best pair, by a table that rounds otherwise: as good as the best to a millionth.
    table = slow_table(inputs, grid, fit.settings["weight"])
    best = max(cell.reward for cell in table)
    chosen = [
        cell
        for cell in table
        if cell.alpha == alpha and cell.beta == pytest.approx(beta, rel=1e-12, abs=1e-15)
    ]
    assert max(cell.reward for cell in chosen) == pytest.approx(best, rel=0, abs=1e-9)
    pools = [
        reference.pool_of(mu, sigma, alpha, beta)
        for mu, sigma in zip(
            inputs.data_map.confidence.tolist(), inputs.data_map.variance.tolist(), strict=True
        )
    ]
    averages, sizes = reference.pool_averages(inputs.validation.embeddings.tolist(), pools)
    decisions, _, _ = reference.route(
        test.embeddings.tolist(), averages, sizes, adaptive=kind == "adaptive"
    )
    outcome = fit.policy.replay(test, inputs.deployment)
    assert outcome.tiers.argmax(axis=1).tolist() == [one.tier for one in decisions]
    assert fit.settings["grid"] == grid


def test_by_hand() -> None:
    """Six validation samples, two to a pool; the test samples go where they are nearest.

    Only α = 0.55 and β = 0.05 put the third and the fourth sample into the medium pool, whose exit
    alone is sure of them, and the last two, of which only the cloud is sure, into the hard one.
    """
    sure = {0: 0, 1: 0, 2: 1, 3: 1, 4: 2, 5: 2}  # the tier whose exit is sure of the sample
    p = np.full((6, 3, 2), 0.5, np.float32)
    for i, tier in sure.items():
        p[i, tier] = (1.0, 0.0)
    validation = make_trace(
        6,
        dim=1,
        probabilities=p,
        embeddings=np.array([[0], [2], [10], [12], [20], [22]], np.float32),
    )
    data_map = points([0.9, 0.9, 0.57, 0.57, 0.1, 0.5], [0.0, 0.05, 0.06, 0.2, 0.0, 0.2])
    inputs = FitInputs(validation, Deployment.paper((2, 4, 6)), 0.001, data_map=data_map)
    fit = system("dimec-fixed-paper").fit(inputs)
    assert dict(fit.settings) == {
        "alpha": 0.55,
        "beta": 0.05,
        "grid": "paper",
        "weight": 1.0,
    }
    test = make_trace(4, dim=1, embeddings=np.array([[-5], [6.5], [14], [17]], np.float32))
    # The centres are 1, 11 and 21.
    outcome = fit.policy.replay(test, inputs.deployment)
    assert outcome.tiers.argmax(axis=1).tolist() == [0, 1, 1, 2]
    assert inputs.deployment.price(outcome.usage).tolist() == [3.0, 6.5, 6.5, 9.0]
    adaptive = system("dimec-adaptive-paper").fit(inputs)
    stream = make_trace(
        5, dim=1, embeddings=np.array([[6.5], [6.5], [6.5], [6.5], [15]], np.float32)
    )
    moved = adaptive.policy.replay(stream, inputs.deployment)
    # Four of 6.5 pull the medium centre from 11 to 8, and 15 is nearer to 21 than to 8.
    assert moved.tiers.argmax(axis=1).tolist() == [1, 1, 1, 1, 2]
    still = fit.policy.replay(stream, inputs.deployment)
    assert still.tiers.argmax(axis=1).tolist() == [1, 1, 1, 1, 1]


@given(scenes(), st.sampled_from(["paper", "quantile"]))
def test_the_policy_is_made_of_the_router_that_fit_router_gives(scene: Scene, grid: Grid) -> None:
    inputs, test = scene.inputs(), scene.trace("test")
    assert inputs.data_map is not None
    one = system(f"dimec-fixed-{grid}")
    fit = one.fit(inputs)
    lam = fit.settings["weight"] * inputs.lam
    router, search = fit_router(inputs.validation, inputs.data_map, inputs.deployment, lam, grid)
    assert (fit.settings["alpha"], fit.settings["beta"]) == (search.alpha, search.beta)
    mine = one.make(router).replay(test, inputs.deployment)
    assert np.array_equal(mine.tiers, fit.policy.replay(test, inputs.deployment).tiers)
    # The router handed in is left as it was, also by a policy that learns.
    before = router.sums
    system(f"dimec-adaptive-{grid}").make(router).replay(test, inputs.deployment)
    assert np.array_equal(router.sums, before)
    assert not router.adaptive


@pytest.mark.parametrize(("kind", "grid", "name"), KINDS, ids=[name for *_, name in KINDS])
@given(scene=scenes())
def test_no_other_weight_of_cost_does_better_on_the_validation_split(
    kind: str, grid: Grid, name: str, scene: Scene
) -> None:
    inputs = scene.inputs()
    assert inputs.data_map is not None
    trace, deployment = inputs.validation, inputs.deployment
    fit = system(name).fit(inputs)
    rewards = {}
    for weight in WEIGHTS:
        lam = weight * inputs.lam
        router, _ = fit_router(trace, inputs.data_map, deployment, lam, grid)
        routes = router.copy(adaptive=kind == "adaptive").route(trace.embeddings)
        columns = trace.columns(deployment.exits)
        prices = [tier.price for tier in deployment.tiers]
        rewards[weight] = sum(
            float(trace.correct[i, columns[tier]]) - inputs.lam * prices[tier]
            for i, tier in enumerate(routes.tolist())
        ) / len(trace)
    assert fit.reward == pytest.approx(max(rewards.values()), abs=1e-9)
    assert rewards[fit.settings["weight"]] == pytest.approx(fit.reward, abs=1e-9)


def test_values_of_ones_own_take_the_place_of_the_grid() -> None:
    scene = Scene()
    inputs = scene.inputs()
    assert inputs.data_map is not None
    _, search = fit_router(
        inputs.validation, inputs.data_map, scene.deployment, LAM, "paper", [0.4], [0.1, 0.2]
    )
    assert search.alphas.tolist() == [0.4]
    assert search.betas.tolist() == [0.1, 0.2]


@pytest.mark.parametrize("name", [name for *_, name in KINDS])
def test_without_a_data_map_it_cannot_be_fitted(name: str) -> None:
    trace = make_trace(4)
    with pytest.raises(ConfigError, match=f"{name} needs the data map"):
        system(name).fit(FitInputs(trace, Deployment.paper(trace.tiers), 0.02))
