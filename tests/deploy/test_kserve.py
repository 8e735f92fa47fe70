"""The manifests for KServe: their pods by Kubernetes's schemas, their names by the server's.

Whether each field is one of KServe's own kinds is held by conformance/test_kserve.py, which
installs its types.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from dimec.serving.checks import OUTPUT
from support.charts import DEPLOY

FOLDER = DEPLOY / "kserve"


def manifests(kind: str) -> dict[str, dict[str, Any]]:
    """Name → object of a kind, of all files."""
    texts = [path.read_text("utf-8") for path in sorted(FOLDER.glob("*.yaml"))]
    found = (one for text in texts for one in yaml.safe_load_all(text))
    return {one["metadata"]["name"]: one for one in found if one["kind"] == kind}


@pytest.mark.parametrize("version", ["1.30", "latest"])
def test_the_runtimes_pod_fits_the_schemas_of_kubernetes(version: str) -> None:
    validator = pytest.importorskip("kubernetes_validate")
    runtime = manifests("ServingRuntime")["dimec"]["spec"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}}
    pod["spec"] = {"containers": runtime["containers"], "volumes": runtime["volumes"]}
    if version == "latest":
        version = validator.latest_version()
    validator.validate(pod, version, strict=True)
    (container,) = runtime["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["runAsNonRoot"] is True


def test_the_runtime_serves_what_is_mounted_where_it_is_asked() -> None:
    (container,) = manifests("ServingRuntime")["dimec"]["spec"]["containers"]
    assert container["command"] == ["dimec", "serve"]
    assert container["args"][0] == "/mnt/models"
    (port,) = (port["containerPort"] for port in container["ports"])
    assert f"--port={port}" in container["args"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] == port


def test_every_service_has_the_runtime_and_the_name_of_its_tier() -> None:
    runtime = manifests("ServingRuntime")["dimec"]["spec"]
    (known,) = runtime["supportedModelFormats"]
    services = manifests("InferenceService")
    assert services.keys() == {"edge", "cloud", "dimec-triton"}
    for name in ("edge", "cloud"):
        model = services[name]["spec"]["predictor"]["model"]
        assert model["runtime"] == "dimec"
        assert model["modelFormat"] == {"name": known["name"], "version": known["version"]}
        assert model["protocolVersion"] in runtime["protocolVersions"]
        # The server's model has its tier's name, and clients ask for it by the service's.
        assert model["storageUri"].rpartition("/")[2] == name


def test_the_format_is_the_manifests() -> None:
    from dimec.bundle.manifest import FORMAT

    (known,) = manifests("ServingRuntime")["dimec"]["spec"]["supportedModelFormats"]
    assert known["version"] == str(FORMAT)


def test_the_graph_asks_the_services_in_turn_the_same() -> None:
    (root,) = manifests("InferenceGraph")["edge-then-cloud"]["spec"]["nodes"].values()
    assert root["routerType"] == "Sequence", "a switch sees the request, not what the edge said"
    edge, cloud = root["steps"]
    for step, name in ((edge, "edge"), (cloud, "cloud")):
        assert step["serviceUrl"] == f"http://{name}-predictor/v2/models/{name}/infer"
        assert step["dependency"] == "Hard"
    assert "condition" not in edge
    assert cloud["data"] == "$request"
    assert f'name=="{OUTPUT}"' in cloud["condition"]
