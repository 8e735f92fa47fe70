"""What answers take, and the price of it."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError, DataError
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from dimec.tiers.paths import tier_legs, usage_of
from dimec.tiers.usage import Usage, hidden_bytes, text_bytes
from support.builders import EXIT_TRIPLES, eighths
from support.usages import named, usage_from, usages

prices = st.builds(
    CostModel,
    mobile_layer=eighths(),
    edge_layer=eighths(),
    offload_edge=eighths(),
    offload_cloud=eighths(),
    cloud_charge=st.none() | eighths(80),
)


some_usages = usages(eighths(40), 3)  # multiples of 1/8, so that sums are exact


def slow_price(deployment: Deployment, usage: Usage) -> list[float]:
    """Sections IV-C and V-D of the paper, one answer after the other."""
    costs, l = deployment.costs, deployment.exits[2]  # noqa: E741
    parts = named(usage)
    gamma = costs.cloud_charge
    if gamma is None:
        gamma = max(0.0, costs.mobile_layer * l - costs.offload_cloud)
    total = []
    for i in range(len(usage)):
        cost = parts["mobile_layers"][i] * costs.mobile_layer
        cost += parts["edge_layers"][i] * costs.edge_layer
        cost += parts["edge_offloads"][i] * costs.offload_edge
        cost += parts["cloud_offloads"][i] * costs.offload_cloud
        cost += parts["cloud_charges"][i] * gamma
        total.append(float(cost))
    return total


@given(st.sampled_from(EXIT_TRIPLES), prices, some_usages)
def test_the_price(exits: tuple[int, int, int], costs: CostModel, usage: Usage) -> None:
    deployment = Deployment.paper(exits, costs)
    assert deployment.price(usage).tolist() == slow_price(deployment, usage)


def test_the_price_by_hand() -> None:
    """2·1.5 + 4·1 + 2.5 + 3 + 6 = 18.5; bytes and the layers in the cloud have no price."""
    deployment = Deployment.paper((2, 4, 6))
    assert (deployment.layers, deployment.charge) == (6, 6.0)
    usage = usage_from(
        2,
        mobile_layers=[2, 0],
        edge_layers=[4, 0],
        edge_offloads=[1, 0],
        cloud_offloads=[1, 0],
        cloud_charges=[1, 0.5],
        cloud_layers=[6, 6],
        cloud_bytes=[1e6, 1e6],
        edge_bytes=[1e6, 1e6],
    )
    assert deployment.price(usage).tolist() == [18.5, 3.0]


@given(st.sampled_from(EXIT_TRIPLES), prices, some_usages, some_usages)
def test_the_price_is_linear(
    exits: tuple[int, int, int], costs: CostModel, one: Usage, two: Usage
) -> None:
    """So a policy that draws lots may state expected values."""
    deployment = Deployment.paper(exits, costs)
    mixed = Usage(
        *(0.25 * getattr(one, f.name) + 0.75 * getattr(two, f.name) for f in fields(Usage))
    )
    expected = 0.25 * deployment.price(one) + 0.75 * deployment.price(two)
    np.testing.assert_allclose(deployment.price(mixed), expected, rtol=1e-12, atol=1e-12)


@given(st.sampled_from(EXIT_TRIPLES), prices, st.integers(0, 6), st.integers(0, 2**16))
def test_sending_to_a_tier_takes_what_the_tier_is_priced_at(
    exits: tuple[int, int, int], costs: CostModel, n: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    deployment = Deployment.paper(exits, costs)
    weights, lengths = rng.dirichlet(np.ones(3), n), rng.integers(1, 50, n)
    usage = usage_of(tier_legs(deployment, lengths, weights), deployment)
    table = costs.for_exits(*exits)
    expected = [sum(w * p for w, p in zip(row, table, strict=True)) for row in weights.tolist()]
    np.testing.assert_allclose(deployment.price(usage), expected, rtol=1e-12, atol=1e-12)
    for i in range(n):
        mobile, edge, cloud = weights[i].tolist()
        assert usage.layers[i, 0] == exits[0] * mobile
        assert usage.layers[i, 1] == exits[1] * edge
        assert usage.layers[i, 2] == exits[2] * cloud
        assert usage.bytes[i, 1] == pytest.approx(4 * lengths[i] * edge)
        assert usage.bytes[i, 2] == pytest.approx(4 * lengths[i] * cloud)


def test_payloads() -> None:
    """A token is 4 bytes as text, and width numbers of 4 bytes as a hidden state."""
    lengths = np.array([0, 1, 26])
    assert text_bytes(lengths).tolist() == [0, 4, 104]
    assert hidden_bytes(lengths, 384).tolist() == [0, 1536, 39936]


@pytest.mark.parametrize("shape", [(3, 3), (2, 1), (2,), ()])
def test_parts_of_different_shapes_are_refused(shape: tuple[int, ...]) -> None:
    tables = [np.zeros((2, 3)) for _ in range(3)]
    with pytest.raises(DataError, match="one shape"):
        Usage(tables[0], tables[1], tables[2], np.zeros(shape))


def test_a_usage_of_other_tiers_has_no_price() -> None:
    with pytest.raises(ConfigError, match=r"a usage of 3 tiers has no price .* mobile, cloud"):
        Deployment.paper((2, 6)).price(usage_from(1))
