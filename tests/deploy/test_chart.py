"""The chart: linted and rendered by Helm, every object held against Kubernetes's own schemas."""

from __future__ import annotations

from typing import Any

import pytest

from support.charts import CHART, EXAMPLES, OTHERS_KINDS, containers, example, of_kind, render

helm = pytest.importorskip("helm_python", reason="Helm has no wheel for this machine")
kubernetes_validate = pytest.importorskip("kubernetes_validate")

VALUES = ("default", "edge", "cloud", "open")
OLDEST = "1.30"  # the chart's kubeVersion
IMAGES = "1.33"  # since when an image can be a volume


def merged(values: dict[str, Any], *path: str, **changes: Any) -> dict[str, Any]:
    """Values with some more at a path."""
    place = values
    for name in path:
        place = place.setdefault(name, {})
    place |= changes
    return values


@pytest.mark.parametrize("name", VALUES)
def test_the_linter_finds_nothing(name: str) -> None:
    report = helm.lint(CHART, example(name), strict=True, kube_version=f"v{IMAGES}.0")
    assert report["errors"] == []
    assert [m for m in report["messages"] if m["severity"] > 1] == []


@pytest.mark.parametrize("name", VALUES)
def test_every_object_fits_the_schemas_of_kubernetes(name: str) -> None:
    objects = render(example(name))
    oldest = IMAGES if name == "cloud" else OLDEST
    for version in (oldest, kubernetes_validate.latest_version()):
        for one in objects:
            if one["kind"] not in OTHERS_KINDS:
                kubernetes_validate.validate(one, version, strict=True)


def test_a_misspelt_field_would_be_found() -> None:
    (deployment,) = of_kind(render(example("cloud")), "Deployment").values()
    deployment["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readinesProbe"):
        kubernetes_validate.validate(deployment, IMAGES, strict=True)


@pytest.mark.parametrize("name", VALUES)
def test_no_name_is_taken_twice_and_every_selector_finds_its_pods(name: str) -> None:
    objects = render(example(name))
    names = [(one["kind"], one["metadata"]["name"]) for one in objects]
    assert len(set(names)) == len(names)
    for tier, deployment in of_kind(objects, "Deployment").items():
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        selectors = [deployment["spec"]["selector"]["matchLabels"]]
        selectors.append(of_kind(objects, "Service")[tier]["spec"]["selector"])
        for kind, field in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
            if tier in of_kind(objects, kind):
                selectors.append(of_kind(objects, kind)[tier]["spec"][field]["matchLabels"])
        for selector in selectors:
            assert selector.items() <= labels.items()
            assert selector["app.kubernetes.io/component"] == tier


@pytest.mark.parametrize("name", VALUES)
def test_no_pod_may_do_more_than_it_has_to(name: str) -> None:
    for deployment in of_kind(render(example(name)), "Deployment").values():
        pod = deployment["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(deployment):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]
            # With a root that is read-only, what is written has to go somewhere.
            mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
            assert "readOnly" not in mounts["/tmp"]
        serving = pod["containers"][0]
        read_only = [m for m in serving["volumeMounts"] if m["mountPath"] != "/tmp"]
        assert all(mount["readOnly"] for mount in read_only)


@pytest.mark.parametrize("name", VALUES)
def test_every_volume_that_is_mounted_is_there_and_no_other(name: str) -> None:
    for deployment in of_kind(render(example(name)), "Deployment").values():
        mounted = {m["name"] for one in containers(deployment) for m in one["volumeMounts"]}
        volumes = [v["name"] for v in deployment["spec"]["template"]["spec"]["volumes"]]
        assert sorted(volumes) == sorted(mounted)


@pytest.mark.parametrize("drain", [0, 10, 42.5])
def test_a_pod_has_time_to_be_forgotten_and_to_answer_what_it_accepted(drain: float) -> None:
    values = {"defaults": {"server": {"drain": drain}, "goingSeconds": 7}}
    for deployment in of_kind(render(values), "Deployment").values():
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert container["lifecycle"]["preStop"]["sleep"]["seconds"] == 7
        assert pod["terminationGracePeriodSeconds"] >= 7 + drain + 2
        (given,) = (word for word in container["args"] if word.startswith("--drain="))
        assert float(given.removeprefix("--drain=")) == drain


def test_the_autoscaler_goes_by_the_queue_and_by_the_processor() -> None:
    objects = render(example("cloud"))
    scaler = of_kind(objects, "HorizontalPodAutoscaler")["cloud"]["spec"]
    deployment = of_kind(objects, "Deployment")["cloud"]
    assert scaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"], "or each upgrade would undo what it did"
    queue, processor = scaler["metrics"]
    assert queue["pods"]["metric"]["name"] == "dimec_queue_rows"
    assert queue["pods"]["target"] == {"type": "AverageValue", "averageValue": "16"}
    assert processor["containerResource"]["container"] == "dimec"
    assert processor["containerResource"]["target"]["averageUtilization"] == 80
    assert scaler["minReplicas"] == 3


@pytest.mark.parametrize(("off", "left"), [("queueRows", "ContainerResource"), ("cpu", "Pods")])
def test_either_metric_can_be_left_out(off: str, left: str) -> None:
    values = merged(example("cloud"), "tiers", "cloud", "autoscaling", **{off: 0})
    scaler = of_kind(render(values), "HorizontalPodAutoscaler")["cloud"]["spec"]
    assert [metric["type"] for metric in scaler["metrics"]] == [left]


def test_a_server_may_ask_nobody_and_one_that_fetches_only_for_that() -> None:
    for policy in of_kind(render(), "NetworkPolicy").values():
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        assert policy["spec"]["egress"] == []
        assert policy["spec"]["ingress"][0]["from"] == [{"podSelector": {}}]
    (policy,) = of_kind(render(example("edge")), "NetworkPolicy").values()
    names, archive = policy["spec"]["egress"]
    assert {port["port"] for port in names["ports"]} == {53}
    assert [port["port"] for port in archive["ports"]] == [443]
    (address,) = archive["to"]
    assert address["ipBlock"]["except"] == ["169.254.169.254/32"]


def test_a_server_that_makes_spans_may_send_them_to_the_collector_alone() -> None:
    objects = render(example("cloud"))
    (container,) = containers(of_kind(objects, "Deployment")["cloud"])
    told = {one["name"]: one.get("value") for one in container["env"]}
    assert "--otel" in container["args"]
    assert told["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector.monitoring:4318"
    assert told["OTEL_TRACES_SAMPLER_ARG"] == "0.1"
    names, collector = of_kind(objects, "NetworkPolicy")["cloud"]["spec"]["egress"]
    assert {port["port"] for port in names["ports"]} == {53}
    assert collector == {
        "to": [{"namespaceSelector": {}}],
        "ports": [{"protocol": "TCP", "port": 4318}],
    }
    for silent in of_kind(render(), "Deployment").values():
        (container,) = containers(silent)
        assert "--otel" not in container["args"]
        assert [one["name"] for one in container["env"]] == ["THREADS"]


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [("https://in.example/otlp", 443), ("http://in.example", 80), ("http://[fd00::1]:9", 9)],
)
def test_a_collector_is_reached_at_the_port_of_its_address(endpoint: str, port: int) -> None:
    values = merged(example("edge"), "otel", endpoint=endpoint)
    (policy,) = of_kind(render(values), "NetworkPolicy").values()
    _names, archive, collector = policy["spec"]["egress"]
    assert [one["port"] for one in (*archive["ports"], *collector["ports"])] == [443, port]


def test_metrics_are_read_with_the_token_from_where_they_may_be() -> None:
    objects = render(example("cloud"))
    (monitor,) = (one for one in objects if one["kind"] == "ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["path"] == "/metrics"
    assert endpoint["authorization"]["credentials"] == {"name": "dimec-token", "key": "token"}
    service = of_kind(objects, "Service")["cloud"]
    wanted = monitor["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= service["metadata"]["labels"].items()
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
    (policy,) = of_kind(objects, "NetworkPolicy").values()
    assert (
        example("cloud")["networkPolicy"]["metricsFrom"][0] in policy["spec"]["ingress"][0]["from"]
    )


def test_a_new_bundle_is_a_new_pod() -> None:
    def told(values: dict[str, Any]) -> str:
        (deployment,) = of_kind(render(values), "Deployment").values()
        told: str = deployment["spec"]["template"]["metadata"]["annotations"]["dimec/bundle"]
        return told

    assert told(example("edge")) == "0" * 64
    assert told(example("cloud")) == "registry.example/bundles/mine:2026-11"
    assert told(merged(example("cloud"), "bundle", revision="second")) == "second"


def test_a_tier_says_what_is_its_own_and_has_the_defaults_for_the_rest() -> None:
    values = {
        "defaults": {"replicas": 5},
        "tiers": {"edge": None, "gateway": {"replicas": 1, "folder": "Gate way"}},
    }
    deployments = of_kind(render(values), "Deployment")
    assert deployments.keys() == {"gateway", "cloud"}
    assert deployments["cloud"]["spec"]["replicas"] == 5
    assert deployments["gateway"]["spec"]["replicas"] == 1
    (container,) = deployments["gateway"]["spec"]["template"]["spec"]["containers"]
    assert container["args"][0] == "/bundle/Gate way"


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"tires": {}}, "tires"),
        ({"defaults": {"replica": 1}}, "replica"),
        ({"defaults": {"server": {"drain": -1}}}, "drain"),
        ({"defaults": {"server": {"corsOrigins": ["*"]}}}, "corsOrigins"),
        ({"bundle": {"source": "git"}}, "source"),
        ({"bundle": {"source": "image"}}, "reference"),
        ({"bundle": {"source": "archive", "archive": {"url": "https://a/b.tar"}}}, "sha256"),
        ({"bundle": {"claim": {"subPath": "../other"}}}, "subPath"),
        ({"tiers": {"Edge": {}}}, "Edge"),
        ({"token": {"value": "secret"}}, "value"),
        ({"otel": {"endpoint": "collector:4318"}}, "endpoint"),
        ({"otel": {"env": [{"name": "THREADS", "value": "9"}]}}, "env"),
        ({"otel": {"env": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "x"}]}}, "env"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_name(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(helm.HelmError, match=complaint):
        render(values)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"tiers": {"edge": {"enabled": False}, "cloud": None}}, "at least one tier"),
        ({"defaults": {"resources": {"requests": {"cpu": None}}}}, "cpu: expected a number"),
        ({"defaults": {"autoscaling": {"enabled": True, "cpu": 0, "queueRows": 0}}}, "neither"),
        ({"defaults": {"autoscaling": {"enabled": True, "minReplicas": 11}}}, "at most .* 10"),
    ],
)
def test_what_only_makes_no_sense_together_is_refused_too(
    values: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(helm.HelmError, match=complaint):
        render(values)


def test_every_example_is_tried() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == {*VALUES[1:], "queue-metric"}
    assert example("queue-metric")["rules"]["custom"][0]["name"]["matches"] == "dimec_queue_rows"


def test_the_chart_is_of_this_version() -> None:
    from dimec.__about__ import __version__

    with helm.Chart.load(CHART) as chart:
        assert chart.metadata["appVersion"] == __version__
        assert chart.metadata["kubeVersion"] == f">={OLDEST}.0-0"
