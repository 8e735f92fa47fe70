"""What a server says of its model: metadata, configuration and statistics."""

from __future__ import annotations

import json
from typing import Any

from dimec.__about__ import __version__
from dimec.bundle.manifest import TierManifest
from dimec.protocol import BYTES
from dimec.serving.checks import OUTPUT, text_inputs
from dimec.serving.metrics import Totals

_PLATFORM = "onnxruntime_onnx"
_TYPES = {"INT64": "TYPE_INT64", BYTES: "TYPE_STRING"}  # Triton's names in a configuration


def server_metadata() -> dict[str, Any]:
    """``GET /v2``."""
    return {
        "name": "dimec",
        "version": __version__,
        "extensions": [
            "binary_tensor_data",
            "model_configuration",
            "model_repository",
            "schedule_policy",
            "statistics",
        ],
    }


def model_metadata(manifest: TierManifest) -> dict[str, Any]:
    """``GET /v2/models/NAME``; -1 stands for any size."""
    return {
        "name": manifest.tier,
        "versions": [manifest.version],
        "platform": _PLATFORM,
        "inputs": [
            {"name": name, "datatype": datatype, "shape": [-1, size]}
            for name, datatype, size in _inputs(manifest)
        ],
        "outputs": [{"name": OUTPUT, "datatype": "FP32", "shape": [-1, len(manifest.labels)]}],
    }


def model_configuration(manifest: TierManifest, max_batch: int) -> dict[str, Any]:
    """``GET /v2/models/NAME/config``, by Triton's model configuration extension."""
    return {
        "name": manifest.tier,
        "platform": _PLATFORM,
        "backend": "onnxruntime",
        "version_policy": {"specific": {"versions": [int(manifest.version)]}},
        "max_batch_size": max_batch,
        "input": [
            {"name": name, "data_type": _TYPES[datatype], "dims": [size]}
            for name, datatype, size in _inputs(manifest)
        ],
        "output": [{"name": OUTPUT, "data_type": "TYPE_FP32", "dims": [len(manifest.labels)]}],
        "parameters": {
            "labels": {"string_value": json.dumps(manifest.labels, ensure_ascii=False)},
            "max_tokens": {"string_value": str(manifest.max_tokens)},
            "vocabulary": {"string_value": str(manifest.vocabulary)},
        },
    }


def _inputs(manifest: TierManifest) -> list[tuple[str, str, int]]:
    """Name, datatype and size of a row of each input."""
    if manifest.takes == "text":
        return [(name, BYTES, 1) for name in text_inputs(manifest)]
    return [(name, "INT64", -1) for name in manifest.inputs]


def repository_index(manifest: TierManifest, ready: bool) -> list[dict[str, str]]:
    """``POST /v2/repository/index``, by Triton's model repository extension."""
    state = "READY" if ready else "UNAVAILABLE"
    return [{"name": manifest.tier, "version": manifest.version, "state": state}]


def statistics(manifest: TierManifest, totals: Totals) -> dict[str, Any]:
    """``GET /v2/models/NAME/stats``, by Triton's statistics extension."""

    return {
        "model_stats": [
            {
                "name": manifest.tier,
                "version": manifest.version,
                "last_inference": round(totals.last * 1000),
                "inference_count": round(totals.rows),
                "execution_count": round(totals.runs),
                "inference_stats": {
                    "success": _share(totals.answered, totals.answered_seconds),
                    "fail": _share(totals.failed, totals.failed_seconds),
                    "queue": _share(totals.answered, totals.queue_seconds),
                    **_preparing(manifest, totals),
                    "compute_infer": _share(totals.runs, totals.run_seconds),
                },
                "batch_stats": [],
            }
        ]
    }


def _preparing(manifest: TierManifest, totals: Totals) -> dict[str, dict[str, int]]:
    """Tokenising, which is how Triton's statistics would call it: what prepares the inputs."""
    if manifest.takes == "tokens":
        return {}
    return {"compute_input": _share(totals.tokenised, totals.tokenise_seconds)}


def _share(count: float, seconds: float) -> dict[str, int]:
    return {"count": round(count), "ns": round(seconds * 1e9)}
