"""Everything but inference, over a real socket."""

from __future__ import annotations

import json

import pytest

from dimec import __version__
from dimec.protocol import digest_matches
from support.served import VERSION, Server, inputs_of


def test_metadata_of_server_and_model(server: Server) -> None:
    value = server.get("/v2").json()
    assert (value["name"], value["version"]) == ("dimec", __version__)
    assert "binary_tensor_data" in value["extensions"]
    tensor = {"datatype": "INT64", "shape": [-1, -1]}
    for path in ("/v2/models/edge", f"/v2/models/edge/versions/{VERSION}"):
        assert server.get(path).json() == {
            "name": "edge",
            "versions": [VERSION],
            "platform": "onnxruntime_onnx",
            "inputs": [{"name": "input_ids", **tensor}, {"name": "attention_mask", **tensor}],
            "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]}],
        }


def test_health_and_readiness(server: Server) -> None:
    assert server.get("/v2/health/live").json() == {"live": True}
    assert server.get("/v2/health/ready").json() == {"ready": True}
    for path in ("/v2/models/edge/ready", f"/v2/models/edge/versions/{VERSION}/ready"):
        answer = server.get(path)
        assert (answer.status, answer.json()) == (200, {"name": "edge", "ready": True})


def test_configuration_and_repository(server: Server) -> None:
    value = server.get("/v2/models/edge/config").json()
    assert value["max_batch_size"] == 8
    assert [each["name"] for each in value["input"]] == ["input_ids", "attention_mask"]
    assert value["output"][0]["dims"] == [2]
    # As JSON: a label may have a comma of its own.
    assert json.loads(value["parameters"]["labels"]["string_value"]) == ["negative", "positive"]
    index = server.ask("POST", "/v2/repository/index", body=b"{}").json()
    assert index == [{"name": "edge", "version": VERSION, "state": "READY"}]


def test_statistics_count_what_was_answered(server: Server) -> None:
    def stats() -> dict[str, dict[str, int]]:
        (value,) = server.get("/v2/models/stats").json()["model_stats"]
        rows = {"rows": {"count": value["inference_count"]}}
        return {**value["inference_stats"], **rows}

    before = stats()
    server.infer(inputs_of([1, 2], [3]))
    server.infer({})
    after = stats()
    assert after["success"]["count"] == before["success"]["count"] + 1
    assert after["success"]["ns"] > before["success"]["ns"]
    assert after["fail"]["count"] == before["fail"]["count"] + 1
    assert after["rows"]["count"] == before["rows"]["count"] + 2
    assert server.get("/v2/models/edge/stats").status == 200


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/", "unknown path"),
        ("/v2/", "unknown path"),
        ("/v2/models", "unknown path"),
        ("/v2/models/edge/", "unknown path"),
        ("/v2/models/edge/versions/41/unknown", "unknown path"),
        ("/v2/models/../models/edge", "unknown path"),
        ("/v2/trace/setting", "unknown path"),
        ("/v2/models/cloud", "unknown model; this server has 'edge'"),
        ("/v2/models/EDGE/ready", "unknown model"),
        ("/v2/models/%00/ready", "unknown model"),
        ("/v2/models/edge/versions/42", "unknown version; this server has 'edge' 41"),
        ("/v2/models/edge/versions/041/ready", "unknown version"),
    ],
)
def test_what_is_not_there_is_404(server: Server, path: str, message: str) -> None:
    answer = server.get(path)
    assert answer.status == 404
    assert answer.error.startswith(message)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v2/models/cloud/infer", "unknown model; this server has 'edge'"),
        ("/v2/models/edge/versions/42/infer", "unknown version; this server has 'edge' 41"),
        ("/v2/models/edge/infer/", "unknown path"),
    ],
)
def test_inference_elsewhere_is_404(server: Server, path: str, message: str) -> None:
    answer = server.ask("POST", path, body=b"{}")
    assert answer.status == 404
    assert answer.error.startswith(message)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v2/models/edge/infer", "POST"),
        ("DELETE", "/v2/models/edge/versions/41/infer", "POST"),
        ("POST", "/v2/models/edge", "GET"),
        ("PUT", "/v2", "GET"),
        ("GET", "/v2/repository/index", "POST"),
    ],
)
def test_wrong_methods_are_405(server: Server, method: str, path: str, allowed: str) -> None:
    answer = server.ask(method, path)
    assert answer.status == 405
    assert allowed in answer.headers["allow"].split(", ")
    assert allowed in answer.error


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v2"), ("GET", "/nowhere"), ("PUT", "/v2"), ("POST", "/v2/models/edge/infer")],
)
def test_every_answer_carries_server_id_and_digest(server: Server, method: str, path: str) -> None:
    answer = server.ask(method, path)
    assert answer.headers["server"] == f"dimec/{__version__}"
    assert len(answer.headers["x-request-id"]) == 32
    assert answer.headers["content-digest"].startswith("sha-256=:")
    assert digest_matches(answer.headers["content-digest"], answer.body)
    assert answer.headers["date"].endswith(" GMT")
    assert answer.headers["content-type"] == "application/json"


def test_head_has_no_body(server: Server) -> None:
    answer = server.ask("HEAD", "/v2/health/live")
    assert (answer.status, answer.body) == (200, b"")


def test_metrics_are_prometheus(server: Server) -> None:
    answer = server.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert server.metric("dimec_build_info", tier="edge", model_version=VERSION) == 1
    assert server.metric("dimec_connections") >= 1
    assert server.metric("dimec_queue_rows") == 0
