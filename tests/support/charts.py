"""The chart of deploy/, rendered by Helm itself as a library: no cluster, no network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
CHART = DEPLOY / "chart"
EXAMPLES = DEPLOY / "examples"
# Of a Prometheus operator, which Kubernetes itself has no schema of.
OTHERS_KINDS = ("ServiceMonitor",)

Values = Mapping[str, Any]
Manifest = dict[str, Any]


def example(name: str) -> dict[str, Any]:
    """The values of an example, ``"default"`` being none."""
    if name == "default":
        return {}
    found: dict[str, Any] = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text("utf-8"))
    return found


def render(values: Values | None = None, release: str = "mine") -> list[Manifest]:
    """The objects that ``helm install`` would send, in no order.

    Raises:
        helm_python.HelmError: the values do not fit the chart.
    """
    import helm_python

    with helm_python.Chart.load(CHART) as chart:
        chart.validate_schema(dict(values or {}))
        files = chart.render(dict(values or {}), name=release, namespace="here")
    texts = (text for path, text in files.items() if path.endswith(".yaml"))
    return [one for text in texts for one in yaml.safe_load_all(text) if one]


def of_kind(objects: list[Manifest], kind: str) -> dict[str, Manifest]:
    """Tier → its object of that kind."""
    return {
        one["metadata"]["labels"]["app.kubernetes.io/component"]: one
        for one in objects
        if one["kind"] == kind
    }


def containers(deployment: Manifest) -> Iterator[Manifest]:
    """All of a pod's, those that run before it among them."""
    pod = deployment["spec"]["template"]["spec"]
    yield from pod.get("initContainers", ())
    yield from pod["containers"]
