"""Conformance: NVIDIA's own client sends texts to ``dimec serve``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.http as triton

from dimec.bundle.folders import TierBundle
from dimec.bundle.graphs import Graph
from support.served import Server, expected, inputs_of
from support.texts import column, let_tier_take_texts, make_text_tier
from support.tiny import command, reviews

TEXTS = [text for text, _ in reviews(40, seed=5)]


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported bundle, with an edge that is sent texts."""
    bundle = tmp_path_factory.mktemp("texts") / "bundle"
    shutil.copytree(tiny_bundle, bundle)
    let_tier_take_texts(bundle, "edge")
    return bundle


@pytest.fixture(scope="module")
def client(bundle: Path) -> Iterator[Any]:
    arguments = ("serve", bundle / "edge", "--port", "0", "--max-batch", "16")
    with Server.by(command(*arguments), bundle.parent / "log") as served:
        with triton.InferenceServerClient(f"127.0.0.1:{served.port}") as client:
            yield client
        assert served.stop() == 0
        assert not served.logged("library")


@pytest.fixture(scope="module")
def by_tokens(bundle: Path) -> npt.NDArray[np.float32]:
    """What the same graph says of the texts' tokens, (40, 2), one by one."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(bundle / "mobile" / "tokenizer.json"))
    graph = Graph(TierBundle.open(bundle / "edge").file("model.onnx"))
    ids = [np.array([encoding.ids]) for encoding in tokenizer.encode_batch(TEXTS)]
    rows = [graph(input_ids=each, attention_mask=np.ones_like(each))[0] for each in ids]
    return np.concatenate(rows)


def asked(binary: bool = True, **columns: npt.NDArray[Any]) -> list[Any]:
    inputs = []
    for name, array in columns.items():
        inputs.append(triton.InferInput(name, list(array.shape), "BYTES"))
        inputs[-1].set_data_from_numpy(array, binary_data=binary)
    return inputs


def test_metadata(client: Any) -> None:
    metadata = client.get_model_metadata("edge")
    assert metadata["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1, 1]}]


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("rows", [1, 16])
def test_texts_have_the_answers_of_their_tokens(
    client: Any, by_tokens: npt.NDArray[np.float32], binary: bool, rows: int
) -> None:
    result = client.infer("edge", asked(binary, text=column(*TEXTS[:rows])), request_id="a-name")
    np.testing.assert_allclose(result.as_numpy("probabilities"), by_tokens[:rows], atol=1e-6)
    assert result.get_response()["id"] == "a-name"


def test_an_empty_text_has_an_answer(client: Any) -> None:
    answer = client.infer("edge", asked(text=column("", "a"))).as_numpy("probabilities")
    np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-6)


def test_token_ids_are_refused(client: Any) -> None:
    ids = triton.InferInput("text", [1, 1], "INT64")
    ids.set_data_from_numpy(np.array([[3]]))
    with pytest.raises(triton.InferenceServerException, match="expected datatype BYTES") as refused:
        client.infer("edge", [ids])
    assert refused.value.status() == "400"


@pytest.mark.parametrize("binary", [True, False])
def test_pairs(tmp_path: Path, binary: bool) -> None:
    folder = make_text_tier(tmp_path / "edge", pairs=True)
    inputs = {"text": column("t1 t2", "t3"), "pair": column("t4", "t5 t6")}
    with (
        Server(folder, tmp_path / "log") as server,
        triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client,
    ):
        result = client.infer("edge", asked(binary, **inputs), model_version="41")
        np.testing.assert_allclose(
            result.as_numpy("probabilities"), expected(inputs_of([1, 2, 4], [3, 5, 6])), atol=1e-6
        )
