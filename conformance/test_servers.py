"""Triton's own client, and plain requests, against both servers: answer by answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import tritonclient.http as tritonclient
from tritonclient.utils import InferenceServerException

from asked import BATCHES, CLOSE, inputs
from dimec.bundle.folders import TierBundle
from triton_server import TritonServer

OUTPUT = "probabilities"


@pytest.fixture(scope="module")
def servers(triton: TritonServer, ours: dict[str, str]) -> dict[str, str]:
    """Name → address of a server of the edge tier."""
    return {"triton": triton.url, "dimec": ours["edge"]}


def client(url: str) -> tritonclient.InferenceServerClient:
    """Triton's client."""
    return tritonclient.InferenceServerClient(url.removeprefix("http://"))


def ask(
    url: str, arrays: dict[str, Any], sent_binary: bool, wanted_binary: bool, **options: Any
) -> tritonclient.InferResult:
    """One inference on the edge tier by Triton's client."""
    tensors = []
    for name, values in arrays.items():
        tensor = tritonclient.InferInput(name, values.shape, "INT64")
        tensor.set_data_from_numpy(values, binary_data=sent_binary)
        tensors.append(tensor)
    wanted = tritonclient.InferRequestedOutput(OUTPUT, binary_data=wanted_binary)
    with client(url) as opened:
        return opened.infer("edge", tensors, outputs=[wanted], **options)


@pytest.mark.parametrize("sent_binary", [True, False])
@pytest.mark.parametrize("wanted_binary", [True, False])
@pytest.mark.parametrize("batch", BATCHES)
def test_tritonclient_gets_the_same_from_both(
    bundle: Path, servers: dict[str, str], batch: int, sent_binary: bool, wanted_binary: bool
) -> None:
    asked = inputs(bundle, batch)
    version = TierBundle.open(bundle / "edge").manifest.version
    results = {
        name: ask(url, asked, sent_binary, wanted_binary, request_id="one", model_version=version)
        for name, url in servers.items()
    }
    theirs, ours = (results[name].as_numpy(OUTPUT) for name in ("triton", "dimec"))
    assert ours.shape == theirs.shape == (batch, 2)
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, atol=CLOSE)
    said = {name: result.get_response() for name, result in results.items()}
    for key in ("model_name", "model_version", "id"):
        assert said["dimec"][key] == said["triton"][key]
    shapes = {name: _without_data(value["outputs"]) for name, value in said.items()}
    assert shapes["dimec"] == shapes["triton"]


def _without_data(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in output.items() if k != "data"} for output in outputs]


def test_readiness_and_metadata_are_the_same(bundle: Path, servers: dict[str, str]) -> None:
    version = TierBundle.open(bundle / "edge").manifest.version
    said: dict[str, dict[str, Any]] = {}
    for name, url in servers.items():
        with client(url) as opened:
            assert opened.is_server_live()
            assert opened.is_server_ready()
            assert opened.is_model_ready("edge", version)
            assert not opened.is_model_ready("edge", "5")
            said[name] = opened.get_model_metadata("edge", version)
            extensions = opened.get_server_metadata()["extensions"]
            assert "binary_tensor_data" in extensions
    for key in ("name", "versions", "inputs", "outputs"):
        assert said["dimec"][key] == said["triton"][key], key


def test_a_wrong_model_is_the_same_exception(bundle: Path, servers: dict[str, str]) -> None:
    for url in servers.values():
        with client(url) as opened, pytest.raises(InferenceServerException) as caught:
            opened.get_model_metadata("other")
        assert caught.value.status() == "404"


# Name → path, body, status of ours, status of Triton. Triton 2.51 blames itself (500) where it
# cannot parse a request; ours says that the request is at fault.
_IDS: dict[str, Any] = {
    "name": "input_ids",
    "datatype": "INT64",
    "shape": [1, 3],
    "data": [2, 5, 3],
}
_MASK: dict[str, Any] = {
    "name": "attention_mask",
    "datatype": "INT64",
    "shape": [1, 3],
    "data": [1, 1, 1],
}
_INFER = "/v2/models/edge/infer"
_WRONG: dict[str, tuple[str, Any, int, int]] = {
    "unknown model": ("/v2/models/other/infer", [_IDS, _MASK], 404, 404),
    "unknown version": ("/v2/models/edge/versions/5/infer", [_IDS, _MASK], 404, 404),
    "unknown path": ("/v2/nothing", [_IDS, _MASK], 404, 404),
    "malformed JSON": (_INFER, "{not json", 400, 500),
    "no inputs": (_INFER, "{}", 400, 500),
    "data that does not fit its shape": (_INFER, [{**_IDS, "shape": [1, 4]}, _MASK], 400, 500),
    "wrong number of dimensions": (_INFER, [{**_IDS, "shape": [3]}, _MASK], 400, 400),
    "wrong datatype": (_INFER, [{**_IDS, "datatype": "FP32"}, _MASK], 400, 400),
    "missing input": (_INFER, [_IDS], 400, 400),
    "unknown input": (_INFER, [_IDS, _MASK, {**_IDS, "name": "more"}], 400, 400),
    "rows that differ": (
        _INFER,
        [_IDS, {**_MASK, "shape": [2, 3], "data": [1] * 6}],
        400,
        400,
    ),
    "too many rows": (
        _INFER,
        [{**value, "shape": [99, 3], "data": value["data"] * 99} for value in (_IDS, _MASK)],
        400,
        400,
    ),
}


@pytest.mark.parametrize("wrong", _WRONG)
def test_errors_have_the_same_shape_and_class(servers: dict[str, str], wrong: str) -> None:
    path, body, own_status, their_status = _WRONG[wrong]
    content = body if isinstance(body, str) else json.dumps({"inputs": body})
    found = {
        name: httpx2.post(
            url + path,
            content=content,
            headers={"Content-Type": "application/json"},
            trust_env=False,
        )
        for name, url in servers.items()
    }
    for response in found.values():
        error = json.loads(response.text)
        assert list(error) == ["error"]
        assert isinstance(error["error"], str)
        assert error["error"]
    assert found["dimec"].status_code == own_status
    assert found["triton"].status_code == their_status


def test_the_same_request_without_a_fault_is_answered(servers: dict[str, str]) -> None:
    content = json.dumps({"inputs": [_IDS, _MASK]})
    found = [
        json.loads(httpx2.post(url + _INFER, content=content, trust_env=False).text)
        for url in servers.values()
    ]
    rows = [response["outputs"][0]["data"] for response in found]
    np.testing.assert_allclose(rows[0], rows[1], atol=CLOSE)


def test_an_unknown_output_is_refused_by_both(bundle: Path, servers: dict[str, str]) -> None:
    content = json.dumps({"inputs": [_IDS, _MASK], "outputs": [{"name": "nothing"}]})
    for url in servers.values():
        response = httpx2.post(url + _INFER, content=content, trust_env=False)
        assert response.status_code == 400
        assert list(json.loads(response.text)) == ["error"]
