"""Running a graph, and what is refused as one."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from dimec.base.errors import CorruptArtefactError
from dimec.bundle.graphs import Graph, pad_batch

SIZE = 4096


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with weights beside the graph, and others above it and behind a link."""
    inside = tmp_path / "bundle"
    (inside / "below").mkdir(parents=True)
    weights = np.arange(SIZE, dtype=np.float32).tobytes()
    for path in (inside / "beside.data", tmp_path / "secret.data"):
        path.write_bytes(weights)
    (inside / "link.data").symlink_to(tmp_path / "secret.data")
    return inside


def _graph_with_weights_at(folder: Path, location: str) -> Path:
    """y = x + w, where w lies in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[SIZE])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(4 * SIZE))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [SIZE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [SIZE])],
        [tensor],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_weights_beside_the_graph_are_read(folder: Path) -> None:
    graph = Graph(_graph_with_weights_at(folder, "beside.data"))
    (y,) = graph(x=np.ones(SIZE, np.float32))
    np.testing.assert_array_equal(y, np.arange(SIZE) + 1)
    assert (graph.inputs, graph.outputs) == (("x",), ("y",))


@pytest.mark.parametrize(
    "location",
    [
        "../secret.data",
        "below/../../secret.data",
        "link.data",
        "ABSOLUTE",
        "/proc/self/environ",
        "missing.data",
        "",
    ],
)
def test_weights_outside_the_folder_are_not_read(folder: Path, location: str) -> None:
    """A hostile graph must not reach what the user's other files hold."""
    place = str(folder.parent / "secret.data") if location == "ABSOLUTE" else location
    with pytest.raises(CorruptArtefactError, match="no graph that onnxruntime") as caught:
        Graph(_graph_with_weights_at(folder, place))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no graph", os.urandom(2000)])
def test_what_is_no_graph_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(CorruptArtefactError, match=r"model\.onnx is no graph .* dimec export"):
        Graph(path)


def test_a_graph_cut_short_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    content = (tiny_bundle / "edge" / "model.onnx").read_bytes()
    (tmp_path / "model.onnx").write_bytes(content[: len(content) // 2])
    with pytest.raises(CorruptArtefactError):
        Graph(tmp_path / "model.onnx")


def test_inputs_that_a_graph_does_not_take_are_left_out(tiny_bundle: Path) -> None:
    graph = Graph(tiny_bundle / "edge" / "model.onnx")
    ones = np.ones((1, 5), np.int64)
    one = graph(input_ids=ones, attention_mask=ones, token_type_ids=ones)
    np.testing.assert_array_equal(one, graph(attention_mask=ones, input_ids=ones))


def test_threads_share_a_graph_and_get_their_own_answers(tiny_bundle: Path) -> None:
    graph = Graph(tiny_bundle / "cloud" / "model.onnx")
    rng = np.random.default_rng(0)
    texts = [rng.integers(5, 40, (1, length)) for length in rng.integers(2, 30, 200)]
    expected = [graph(input_ids=ids, attention_mask=np.ones_like(ids))[0] for ids in texts]
    with ThreadPoolExecutor(8) as pool:
        got = pool.map(lambda ids: graph(input_ids=ids, attention_mask=np.ones_like(ids))[0], texts)
        for ours, theirs in zip(got, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)


@given(st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=9), min_size=1, max_size=6))
def test_a_batch_is_filled_up_behind_each_text(texts: list[list[int]]) -> None:
    rows = [
        {"input_ids": np.array(ids), "attention_mask": np.ones(len(ids), np.int64)} for ids in texts
    ]
    batch = pad_batch(rows, padding=77)
    width = max(map(len, texts))
    for row, ids in enumerate(texts):
        beyond = width - len(ids)
        assert batch["input_ids"][row].tolist() == ids + [77] * beyond
        assert batch["attention_mask"][row].tolist() == [1] * len(ids) + [0] * beyond
    assert all(values.dtype == np.int64 for values in batch.values())


def test_the_bundles_graphs_are_valid_onnx(tiny_bundle: Path) -> None:
    for path in tiny_bundle.rglob("*.onnx"):
        onnx.checker.check_model(str(path), full_check=True)
