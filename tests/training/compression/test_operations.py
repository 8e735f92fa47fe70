"""Operations of an encoder, what is left of them, and the sparsity that fits a share of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError
from dimec.tiers.latency import ModelShape
from dimec.training.compression.operations import (
    MOST_SPARSE,
    Operations,
    attention_outputs,
    operations_of,
)
from support.compressing import APART, make_model
from support.encoders import WIDTH


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "electra", "mpnet"])
@pytest.mark.parametrize("tokens", [1, 128])
def test_counted_from_weights_they_are_those_of_the_shape(kind: str, tokens: int) -> None:
    operations = operations_of(make_model(kind), tokens)
    layer = float(ModelShape(WIDTH, 32).layer_flops(tokens))
    assert operations.total == pytest.approx(2 * layer)
    assert operations.worth(layer) == pytest.approx(1)


@pytest.mark.parametrize("kind", APART)
def test_every_architecture_has_one_projection_behind_its_heads(kind: str) -> None:
    model = make_model(kind)
    outputs = attention_outputs(model)
    assert len(outputs) == 2
    assert all(one.in_features % model.config.encoder.num_attention_heads == 0 for one in outputs)


def test_layers_that_share_their_weights_are_refused() -> None:
    with pytest.raises(ConfigError, match="ALBERT"):
        operations_of(make_model("albert"))


@given(
    layers=st.integers(1, 24),
    width=st.integers(64, 1024),
    tokens=st.integers(1, 128),
    data=st.data(),
)
def test_at_the_sparsity_of_the_formula_the_operations_are_those_of_m_layers(
    layers: int, width: int, tokens: int, data: st.DataObject
) -> None:
    m = data.draw(st.integers(1, layers))
    linear, products = 24.0 * tokens * width**2 * layers, 4.0 * tokens**2 * width * layers
    operations = Operations(layers, linear, linear / 3, products)
    s = operations.weight_sparsity(m)
    assert 0 <= s <= MOST_SPARSE
    if s < MOST_SPARSE:
        assert operations.worth(operations.with_weights(1 - s)) == pytest.approx(m)
    q = operations.head_sparsity(m)
    # Linear in the share of heads, also where that is more than there are.
    assert operations.worth(operations.with_heads(1 - q)) == pytest.approx(m)


def test_the_shares_by_hand() -> None:
    operations = Operations(4, linear=80.0, projections=30.0, products=20.0)
    assert operations.total == 100
    assert operations.with_weights(0.5) == 60
    assert operations.with_heads(0.5) == 75  # 50 of the feed-forward networks, half of 50
    assert operations.with_int8() == 40
    assert operations.worth(40) == 1.6
    # A quarter of 100 is left: 5 of 80 in weights, beside the products. Heads: 75 of 50 would go.
    assert operations.weight_sparsity(1) == 0.9375
    assert operations.head_sparsity(1) == 1.5
    assert operations.weight_sparsity(4) == operations.head_sparsity(4) == 0


def test_where_products_alone_are_too_many_nearly_all_weights_go() -> None:
    operations = Operations(4, linear=50.0, projections=20.0, products=50.0)
    assert operations.weight_sparsity(1) == MOST_SPARSE
    assert np.isclose(operations.worth(operations.with_weights(1 - MOST_SPARSE)), 2.02)
