"""Figures' data: silhouettes against scikit-learn's, and one cost at a time against fitting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import silhouette_score

from dimec.cartography import DataMap
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from dimec_studies.maps import COSTS, silhouette, sweep
from support.builders import make_trace


@given(st.integers(0, 200), st.integers(2, 4), st.integers(8, 40))
def test_the_silhouette_is_scikit_learns(seed: int, kinds: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    pools = np.concatenate([np.arange(kinds), rng.integers(0, kinds, n - kinds)])
    embeddings = rng.normal(size=(n, 5)) + pools[:, None]
    expected = silhouette_score(embeddings, pools)
    assert silhouette(embeddings, pools) == pytest.approx(expected, abs=1e-6)


def test_one_pool_has_no_silhouette() -> None:
    assert silhouette(np.eye(4), np.zeros(4, int)) == 0.0


def test_pools_that_coincide_have_a_silhouette_of_nought() -> None:
    assert silhouette(np.zeros((6, 3)), np.arange(6) % 2) == 0.0


@pytest.mark.parametrize("cost", COSTS)
def test_only_the_cost_that_is_varied_changes(cost: str) -> None:
    """At the cost's own value the point is that of the deployment itself, for every cost."""
    validation, test = (make_trace(80, seed=k, exits=(2, 3, 6), tiers=(2, 3, 6)) for k in (1, 2))
    p = np.random.default_rng(3).random(80)
    data_map = DataMap(p, p * (1 - p) / 4, np.sqrt(p * (1 - p)) / 2, p)
    deployment = Deployment.paper((2, 3, 6))
    own = {**CostModel().__dict__, "cloud_charge": deployment.charge}[cost]
    values = (own, 2 * own)
    base, doubled = sweep(validation, test, data_map, deployment, 0.02, cost, values)  # type: ignore[arg-type]
    (again,) = sweep(
        validation, test, data_map, deployment, 0.02, "edge_layer", (deployment.costs.edge_layer,)
    )
    assert {k: v for k, v in base.items() if k != "value"} == {
        k: v for k, v in again.items() if k != "value"
    }
    share = dict(zip(("mobile", "edge", "cloud"), doubled["shares"], strict=True))
    prices = {
        name: list(Deployment.paper((2, 3, 6)).tiers)[k].price for k, name in enumerate(share)
    }
    layers = {"mobile_layer": ("mobile", 2), "edge_layer": ("edge", 3)}
    tier, times = layers.get(cost, ("edge" if cost == "offload_edge" else "cloud", 1))
    prices[tier] += own * times
    expected = sum(share[name] * prices[name] for name in share)
    assert doubled["mean_cost"] == pytest.approx(expected, abs=1e-9)
