"""What the chart has a pod do, done here: the real server with its words, probes and metrics."""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import trustme
from prometheus_client.parser import text_string_to_metric_families

from support.charts import DEPLOY, Manifest, example, of_kind, render
from support.served import Answer, Server, ask, make_tier
from support.tiny import command

pytest.importorskip("helm_python", reason="Helm has no wheel for this machine")
TOKEN = "of-the-secret"


class Pod(NamedTuple):
    """A server that was started as the chart's container is."""

    server: Server
    container: Manifest
    context: ssl.SSLContext | None

    def get(self, path: str, **headers: str) -> Answer:
        connection = self.server.connect(self.context)
        try:
            return ask(connection, "GET", path, headers)
        finally:
            connection.close()


@pytest.fixture(scope="module", params=["default", "edge"])
def pod(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    """The edge by the chart's own values, and by the example's with TLS."""
    folder = tmp_path_factory.mktemp("pod")
    tier = make_tier(folder / "edge")
    (folder / "token").write_text(TOKEN + "\n")
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(str(folder / "tls.key"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "tls.crt"))
    deployment = of_kind(render(example(request.param)), "Deployment")["edge"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    here = {
        "/bundle/edge": str(tier),
        "/etc/dimec/token/token": str(folder / "token"),
        "/etc/dimec/tls/": f"{folder}/",
        "$(THREADS)": "1",  # as the kubelet puts it in
        "--host=0.0.0.0": "--host=127.0.0.1",
        "--port=8001": "--port=0",
    }
    words = container["args"]
    for there, own in here.items():
        words = [word.replace(there, own) for word in words]
    program, *subcommand = container["command"]
    assert program == "dimec"
    context = None
    if request.param == "edge":
        context = ssl.create_default_context()
        authority.configure_trust(context)
    with Server.by(command(*subcommand, *words), folder / "log") as server:
        yield Pod(server, container, context)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0


def test_it_answers_every_probe_without_a_token(pod: Pod) -> None:
    assert pod.server.url.startswith("https:" if pod.context else "http:")
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = pod.container[name]["httpGet"]
        assert probe["scheme"].lower() == pod.server.url.partition(":")[0]
        assert probe["port"] in [port["name"] for port in pod.container["ports"]]
        assert pod.get(probe["path"]).status == 200


def test_the_autoscaler_finds_its_metric(pod: Pod) -> None:
    values: dict[str, Any] = {"tiers": {"edge": {"autoscaling": {"enabled": True}}}}
    scaler = of_kind(render(values), "HorizontalPodAutoscaler")["edge"]
    name = scaler["spec"]["metrics"][0]["pods"]["metric"]["name"]
    assert pod.get("/metrics").status == 401
    text = pod.get("/metrics", Authorization=f"Bearer {TOKEN}").body.decode()
    (family,) = (f for f in text_string_to_metric_families(text) if f.name == name)
    assert family.type == "gauge"
    (sample,) = family.samples
    assert (sample.name, sample.labels, sample.value) == (name, {}, 0)
    assert name in (DEPLOY / "examples" / "queue-metric.yaml").read_text()


def test_the_health_check_of_the_container_sees_it(pod: Pod) -> None:
    script, url = DEPLOY / "healthcheck.py", f"{pod.server.url}/v2/health/ready"
    run = [sys.executable, str(script)]
    subprocess.run([*run, url], check=True, timeout=60)
    refused = subprocess.run(
        [*run, f"{pod.server.url}/v2/models/edge"], capture_output=True, text=True, timeout=60
    )
    assert refused.returncode == 1
    assert "answered 401, expected 200" in refused.stderr
    closed = subprocess.run(
        [*run, "http://127.0.0.1:9"], capture_output=True, text=True, timeout=60
    )
    assert closed.returncode == 1
    assert "Traceback" not in closed.stderr


def test_it_says_ready_as_it_does_anywhere(pod: Pod) -> None:
    assert pod.server.ready["tier"] == "edge"
    assert json.loads(pod.get("/v2/health/ready").body) == {"ready": True}
