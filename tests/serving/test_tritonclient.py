"""Conformance: NVIDIA's own client drives ``dimec serve`` with an exported bundle."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.http as triton

from dimec.bundle.folders import TierBundle
from dimec.bundle.graphs import Graph, pad_batch
from support.served import Server
from support.tiny import command, reviews

Inputs = dict[str, npt.NDArray[np.int64]]


@pytest.fixture(scope="module")
def edge(tiny_bundle: Path) -> TierBundle:
    return TierBundle.open(tiny_bundle / "edge")


@pytest.fixture(scope="module")
def graph(edge: TierBundle) -> Graph:
    return Graph(edge.file("model.onnx"))


@pytest.fixture(scope="module")
def rows(tiny_bundle: Path, edge: TierBundle) -> list[Inputs]:
    """Token ids of real reviews, a text each."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tiny_bundle / "mobile" / "tokenizer.json"))
    texts = [text for text, _ in reviews(40, seed=5)]
    return [
        {
            "input_ids": np.array(encoding.ids, np.int64),
            "attention_mask": np.ones(len(encoding.ids), np.int64),
        }
        for encoding in tokenizer.encode_batch(texts)
    ]


@pytest.fixture(scope="module")
def served(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("served") / "log"
    arguments = ("serve", tiny_bundle / "edge", "--port", "0", "--max-batch", "16")
    with Server.by(command(*arguments), log) as running:
        yield running
        assert running.stop() == 0
        assert not running.logged("library")


@pytest.fixture
def client(served: Server) -> Iterator[Any]:
    with triton.InferenceServerClient(f"127.0.0.1:{served.port}") as client:
        yield client


def _inputs(values: Inputs, binary: bool = True) -> list[Any]:
    inputs = []
    for name, array in values.items():
        tensor = triton.InferInput(name, list(array.shape), "INT64")
        tensor.set_data_from_numpy(array, binary_data=binary)
        inputs.append(tensor)
    return inputs


def _batch(rows: list[Inputs]) -> Inputs:
    return pad_batch(rows, 0)


def test_health_and_metadata(client: Any, edge: TierBundle) -> None:
    version = edge.manifest.version
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("edge")
    assert client.is_model_ready("edge", version)
    assert not client.is_model_ready("cloud")
    assert not client.is_model_ready("edge", "1")
    assert client.get_server_metadata()["name"] == "dimec"
    metadata = client.get_model_metadata("edge", version)
    assert metadata["versions"] == [version]
    assert [each["name"] for each in metadata["inputs"]] == ["input_ids", "attention_mask"]
    assert metadata["outputs"] == [
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, len(edge.manifest.labels)]}
    ]
    assert client.get_model_config("edge")["max_batch_size"] == 16
    assert client.get_model_repository_index()[0]["state"] == "READY"


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize("wanted", [True, False, None])
def test_answers_are_the_graphs(
    client: Any, edge: TierBundle, graph: Graph, rows: list[Inputs], sent: bool, wanted: bool | None
) -> None:
    batch = _batch(rows[:9])
    outputs = (
        None
        if wanted is None
        else [triton.InferRequestedOutput("probabilities", binary_data=wanted)]
    )
    result = client.infer(
        "edge",
        _inputs(batch, sent),
        model_version=edge.manifest.version,
        outputs=outputs,
        request_id="a-name",
    )
    np.testing.assert_allclose(result.as_numpy("probabilities"), graph(**batch)[0], atol=1e-6)
    response = result.get_response()
    assert (response["model_name"], response["model_version"]) == ("edge", edge.manifest.version)
    assert response["id"] == "a-name"
    assert result.get_output("probabilities")["datatype"] == "FP32"


def test_concurrent_and_asynchronous_requests(
    served: Server, graph: Graph, rows: list[Inputs]
) -> None:
    with triton.InferenceServerClient(
        f"127.0.0.1:{served.port}", concurrency=8, max_greenlets=8
    ) as client:
        batches = [_batch(rows[i : i + 1 + i % 4]) for i in range(36)]
        pending = [
            client.async_infer("edge", _inputs(batch, i % 2 == 0), request_id=str(i))
            for i, batch in enumerate(batches)
        ]
        for i, (batch, each) in enumerate(zip(batches, pending, strict=True)):
            result = each.get_result(timeout=60)
            assert result.get_response()["id"] == str(i)
            answer = result.as_numpy("probabilities")
            np.testing.assert_allclose(answer, graph(**batch)[0], atol=1e-6)


def test_clients_in_threads(served: Server, graph: Graph, rows: list[Inputs]) -> None:
    wrong: list[int] = []

    def work(number: int) -> None:
        with triton.InferenceServerClient(f"127.0.0.1:{served.port}") as client:
            for row in rows[number::6]:
                batch = _batch([row])
                answer = client.infer("edge", _inputs(batch)).as_numpy("probabilities")
                if not np.allclose(answer, graph(**batch)[0], atol=1e-6):
                    wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"input_ids": np.full((1, 4), 10**9)}, "input_ids: expected values from 0 to"),
        ({"input_ids": np.ones((1, 4), np.int64)}, "inputs: expected input_ids, attention_mask"),
        ({"input_ids": np.ones((1, 4000), np.int64)}, "the length: expected 1 to 32 tokens"),
        ({"input_ids": np.ones((17, 4), np.int64)}, "the batch: expected 1 to 16 rows"),
    ],
)
def test_wrong_requests_are_errors_of_the_clients_own_kind(
    client: Any, values: Inputs, message: str
) -> None:
    whole = {**values, "attention_mask": np.ones_like(values["input_ids"])}
    sent = values if "inputs:" in message else whole
    with pytest.raises(triton.InferenceServerException, match=message) as refused:
        client.infer("edge", _inputs(sent))
    assert refused.value.status() == "400"


def test_what_is_not_there_is_an_error_of_the_clients_own_kind(
    client: Any, rows: list[Inputs]
) -> None:
    inputs = _inputs(_batch(rows[:1]))
    for model, version in (("cloud", ""), ("edge", "7")):
        with pytest.raises(triton.InferenceServerException, match="unknown") as refused:
            client.infer(model, inputs, model_version=version)
        assert refused.value.status() == "404"
    with pytest.raises(triton.InferenceServerException, match="no output 'logits'"):
        client.infer("edge", inputs, outputs=[triton.InferRequestedOutput("logits")])
    for call in (client.get_trace_settings, client.get_log_settings, client.unload_model):
        with pytest.raises(triton.InferenceServerException, match="unknown path"):
            call(*(["edge"] if call == client.unload_model else []))


def test_a_timeout_of_triton_is_a_deadline(client: Any, rows: list[Inputs]) -> None:
    inputs = _inputs(_batch(rows[:16]))
    assert client.infer("edge", inputs, timeout=60_000_000).as_numpy("probabilities").shape[0] == 16
    with pytest.raises(triton.InferenceServerException, match="the deadline has passed") as late:
        client.infer("edge", inputs, timeout=1)  # a microsecond
    assert late.value.status() == "504"


def test_statistics(client: Any, rows: list[Inputs]) -> None:
    client.infer("edge", _inputs(_batch(rows[:3])))
    (stats,) = client.get_inference_statistics("edge")["model_stats"]
    assert stats["inference_count"] >= 3
    assert stats["inference_stats"]["success"]["count"] >= 1
