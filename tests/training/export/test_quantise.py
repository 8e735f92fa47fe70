"""Eight-bit weights: how far they are off, and what they leave alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper, numpy_helper

from dimec.base.arrays import Float32Array
from dimec.bundle.graphs import Graph
from dimec.training.export.cuts import save_graph
from dimec.training.export.quantise import quantise_columns, quantise_graph

IN, OUT, WORDS = 48, 32, 70


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.floats(-(2.0**99), 2.0**99, width=32),
    )
)
def test_every_weight_is_off_by_at_most_half_a_step(weights: Float32Array) -> None:
    codes, scales = quantise_columns(weights)
    assert codes.dtype == np.int8
    assert scales.dtype == np.float32
    assert codes.shape == weights.shape
    assert scales.shape == weights.shape[1:]
    assert np.abs(codes.astype(int)).max(initial=0) <= 127
    off = np.abs(codes * scales.astype(np.float64) - weights)
    largest = np.abs(weights).max(axis=0)
    # Columns too small to be divided by are taken for zeros.
    allowed = np.where(largest > 127 * np.finfo(np.float32).tiny, 0.501 * largest / 127, largest)
    assert (off <= allowed).all()


def test_the_largest_weight_of_a_column_takes_the_last_code() -> None:
    codes, scales = quantise_columns(np.array([[1.0, -8.0, 0.0], [0.5, 2.0, 0.0]], np.float32))
    assert codes.tolist() == [[127, -127, 0], [64, 32, 0]]
    np.testing.assert_allclose(scales, [1 / 127, 8 / 127, 1])


def _model(bias: bool = True) -> tuple[Any, dict[str, Float32Array]]:
    """hidden → two linear layers side by side, and their product; ids → rows of a table."""
    rng = np.random.default_rng(0)
    arrays = {
        "w1": rng.standard_normal((IN, OUT)).astype(np.float32),
        "w2": rng.standard_normal((IN, OUT)).astype(np.float32),
        "b1": rng.standard_normal(OUT).astype(np.float32),
        "table": rng.standard_normal((WORDS, IN)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["hidden", "w1"], ["p1"]),
        helper.make_node("Add", ["b1", "p1"] if bias else ["p1", "p1"], ["y1"]),
        helper.make_node("MatMul", ["hidden", "w2"], ["y2"]),
        helper.make_node("Transpose", ["y2"], ["t2"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["y1", "t2"], ["scores"]),
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [
            value("hidden", TensorProto.FLOAT, ["b", "t", IN]),
            value("input_ids", TensorProto.INT64, ["b", "t"]),
        ],
        [
            value("y1", TensorProto.FLOAT, ["b", "t", OUT]),
            value("scores", TensorProto.FLOAT, ["b", "t", "t"]),
            value("rows", TensorProto.FLOAT, ["b", "t", IN]),
        ],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    opset = [helper.make_opsetid("", 20)]
    return ir.from_proto(helper.make_model(graph, opset_imports=opset, ir_version=10)), arrays


@pytest.fixture
def quantised(tmp_path: Path) -> tuple[Path, dict[str, Float32Array]]:
    model, arrays = _model()
    quantise_graph(model)
    save_graph(model, tmp_path / "q.onnx")
    return tmp_path / "q.onnx", arrays


def _inputs(rows: int, tokens: int, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "hidden": rng.standard_normal((rows, tokens, IN)).astype(np.float32),
        "input_ids": rng.integers(0, WORDS, (rows, tokens)),
    }


def test_layers_and_table_come_out_as_they_went_in_but_for_rounding(
    quantised: tuple[Path, dict[str, Float32Array]],
) -> None:
    path, arrays = quantised
    inputs = _inputs(3, 11)
    y1, scores, rows = Graph(path)(**inputs)
    expected = inputs["hidden"] @ arrays["w1"] + arrays["b1"]
    assert np.abs(y1 - expected).max() < 0.02 * np.abs(expected).max()
    whole = expected @ (inputs["hidden"] @ arrays["w2"]).transpose(0, 2, 1)
    assert np.abs(scores - whole).max() < 0.02 * np.abs(whole).max()
    exact = arrays["table"][inputs["input_ids"]]
    steps = np.abs(exact).max(axis=-1, keepdims=True) / 127
    assert (np.abs(rows - exact) <= 0.501 * steps).all()


def test_one_outlying_token_takes_no_precision_from_the_others(
    quantised: tuple[Path, dict[str, Float32Array]],
) -> None:
    graph = Graph(quantised[0])
    inputs = _inputs(2, 9)
    before = graph(**inputs)[0]
    inputs["hidden"][0, 4] *= 1000
    after = graph(**inputs)[0]
    others = np.ones((2, 9), bool)
    others[0, 4] = False
    np.testing.assert_array_equal(after[others], before[others])


def test_an_answer_does_not_depend_on_what_shares_its_batch(
    quantised: tuple[Path, dict[str, Float32Array]],
) -> None:
    graph = Graph(quantised[0])
    inputs = _inputs(16, 7)
    together = graph(**inputs)[0]
    for row in range(16):
        alone = graph(**{name: values[row : row + 1] for name, values in inputs.items()})[0]
        np.testing.assert_array_equal(alone[0], together[row])


def test_queries_keys_and_values_share_the_codes_of_their_input(
    quantised: tuple[Path, dict[str, Float32Array]],
) -> None:
    nodes = [node.op_type for node in onnx.load(quantised[0]).graph.node]
    assert nodes.count("QuantizeLinear") == 1
    assert nodes.count("MatMulIntegerToFloat") == 2
    assert nodes.count("MatMul") == 1  # of two activations


def test_the_file_is_a_quarter_of_the_size(tmp_path: Path) -> None:
    sizes = []
    for bits in (32, 8):
        model, _ = _model()
        if bits == 8:
            quantise_graph(model)
        save_graph(model, tmp_path / f"{bits}.onnx")
        weights = onnx.load(tmp_path / f"{bits}.onnx").graph.initializer
        sizes.append(sum(len(tensor.raw_data) for tensor in weights))
    assert sizes[1] < 0.32 * sizes[0]


def test_a_layer_without_a_bias_is_taken_too(tmp_path: Path) -> None:
    model, arrays = _model(bias=False)
    quantise_graph(model)
    save_graph(model, tmp_path / "q.onnx")
    inputs = _inputs(1, 4)
    expected = 2 * (inputs["hidden"] @ arrays["w1"])
    got = Graph(tmp_path / "q.onnx")(**inputs)[0]
    assert np.abs(got - expected).max() < 0.02 * np.abs(expected).max()


def test_what_stands_before_the_embeddings_is_left_in_full_precision(tmp_path: Path) -> None:
    """ELECTRA projects its embeddings; the route is decided behind that."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((IN, OUT)).astype(np.float32)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["hidden"])],
        "g",
        [value("x", TensorProto.FLOAT, ["b", "t", IN])],
        [value("hidden", TensorProto.FLOAT, ["b", "t", OUT])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = ir.from_proto(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    )
    quantise_graph(model)
    save_graph(model, tmp_path / "q.onnx")
    x = rng.standard_normal((2, 3, IN)).astype(np.float32)
    np.testing.assert_allclose(Graph(tmp_path / "q.onnx")(x=x)[0], x @ weights, atol=1e-4)
