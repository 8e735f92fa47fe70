"""What answers take, and the price of it."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError, DataError
from dimec.tiers.costs import CostModel
from dimec.tiers.usage import Deployment, Usage, hidden_bytes, text_bytes, tier_usage
from support.builders import EXIT_TRIPLES, eighths

PARTS = [one.name for one in fields(Usage)]
prices = st.builds(
    CostModel,
    mobile_layer=eighths(),
    edge_layer=eighths(),
    offload_edge=eighths(),
    offload_cloud=eighths(),
    cloud_charge=st.none() | eighths(80),
)


@st.composite
def usages(draw: st.DrawFn, size: int = 3) -> Usage:
    """Multiples of 1/8, so that sums are exact."""
    column = st.lists(eighths(40), min_size=size, max_size=size)
    return Usage.of(size, **{name: draw(column) for name in PARTS})


def slow_price(deployment: Deployment, usage: Usage) -> list[float]:
    """Sections IV-C and V-D of the paper, one answer after the other."""
    costs, l = deployment.costs, deployment.exits[2]  # noqa: E741
    gamma = costs.cloud_charge
    if gamma is None:
        gamma = max(0.0, costs.mobile_layer * l - costs.offload_cloud)
    total = []
    for i in range(len(usage)):
        cost = usage.mobile_layers[i] * costs.mobile_layer
        cost += usage.edge_layers[i] * costs.edge_layer
        cost += usage.edge_offloads[i] * costs.offload_edge
        cost += usage.cloud_offloads[i] * costs.offload_cloud
        cost += usage.cloud_charges[i] * gamma
        total.append(float(cost))
    return total


@given(st.sampled_from(EXIT_TRIPLES), prices, usages())
def test_the_price(exits: tuple[int, int, int], costs: CostModel, usage: Usage) -> None:
    deployment = Deployment(exits, costs)
    assert deployment.price(usage).tolist() == slow_price(deployment, usage)


def test_the_price_by_hand() -> None:
    """2·1.5 + 4·1 + 2.5 + 3 + 6 = 18.5; bytes and the layers in the cloud have no price."""
    deployment = Deployment((2, 4, 6))
    assert (deployment.layers, deployment.charge) == (6, 6.0)
    usage = Usage.of(
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


@given(st.sampled_from(EXIT_TRIPLES), prices, usages(), usages())
def test_the_price_is_linear(
    exits: tuple[int, int, int], costs: CostModel, one: Usage, two: Usage
) -> None:
    """So a policy that draws lots may state expected values."""
    deployment = Deployment(exits, costs)
    mixed = Usage(*(0.25 * getattr(one, n) + 0.75 * getattr(two, n) for n in PARTS))
    expected = 0.25 * deployment.price(one) + 0.75 * deployment.price(two)
    np.testing.assert_allclose(deployment.price(mixed), expected, rtol=1e-12, atol=1e-12)


@given(st.sampled_from(EXIT_TRIPLES), prices, st.integers(0, 6), st.integers(0, 2**16))
def test_sending_to_a_tier_takes_what_the_tier_is_priced_at(
    exits: tuple[int, int, int], costs: CostModel, n: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    deployment = Deployment(exits, costs)
    weights, lengths = rng.dirichlet(np.ones(3), n), rng.integers(1, 50, n)
    usage = tier_usage(deployment, lengths, weights)
    table = costs.for_exits(*exits)
    expected = [sum(w * p for w, p in zip(row, table, strict=True)) for row in weights.tolist()]
    np.testing.assert_allclose(deployment.price(usage), expected, rtol=1e-12, atol=1e-12)
    for i in range(n):
        mobile, edge, cloud = weights[i].tolist()
        assert usage.mobile_layers[i] == exits[0] * mobile
        assert usage.edge_layers[i] == exits[1] * edge
        assert usage.cloud_layers[i] == exits[2] * cloud
        assert usage.edge_bytes[i] == pytest.approx(4 * lengths[i] * edge)
        assert usage.cloud_bytes[i] == pytest.approx(4 * lengths[i] * cloud)


def test_payloads() -> None:
    """A token is 4 bytes as text, and width numbers of 4 bytes as a hidden state."""
    lengths = np.array([0, 1, 26])
    assert text_bytes(lengths).tolist() == [0, 4, 104]
    assert hidden_bytes(lengths, 384).tolist() == [0, 1536, 39936]


def test_parts_that_are_not_given_are_0() -> None:
    usage = Usage.of(2, mobile_layers=3, cloud_offloads=[True, False])
    assert len(usage) == 2
    assert usage.mobile_layers.tolist() == [3, 3]
    assert usage.cloud_offloads.tolist() == [1, 0]
    for name in set(PARTS) - {"mobile_layers", "cloud_offloads"}:
        assert getattr(usage, name).tolist() == [0, 0]
    assert all(getattr(usage, name).dtype == np.float64 for name in PARTS)
    assert len(Usage.of(0)) == 0


def test_parts_do_not_share_their_numbers() -> None:
    """A caller's array that changes later does not change what was used."""
    layers = np.array([1.0, 2.0])
    usage = Usage.of(2, mobile_layers=layers)
    layers[:] = 9
    assert usage.mobile_layers.tolist() == [1, 2]
    assert usage.edge_layers.tolist() == [0, 0]


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no part 'mobil_layers'; it has \['mobile_layers'"):
        Usage.of(2, mobil_layers=1)


@pytest.mark.parametrize("shape", [(3,), (2, 1), ()])
def test_parts_of_different_shapes_are_refused(shape: tuple[int, ...]) -> None:
    columns = {name: np.zeros(2) for name in PARTS} | {"edge_layers": np.zeros(shape)}
    with pytest.raises(DataError, match="one shape"):
        Usage(**columns)


@pytest.mark.parametrize("exits", [(4, 2, 6), (0, 2, 6), (2, 4), (2, 4, 6, 8), (2.0, 4, 6)])
def test_exits_out_of_order_are_refused(exits: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError):
        Deployment(exits)


def test_exits_of_a_file_are_taken_as_a_tuple() -> None:
    assert Deployment([2, 4, 6]) == Deployment((2, 4, 6))  # type: ignore[arg-type]
