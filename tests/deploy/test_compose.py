"""The compose file: what its containers would run is run here, three tiers with one another."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.charts import DEPLOY
from support.served import Server
from support.tiers import balanced
from support.tiny import command, environment, reviews

TOKEN = "of-the-environment"
TEXTS = [text for text, _ in reviews(9, seed=3)]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """Name → service."""
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    services: dict[str, Any] = found["services"]
    return services


def mounted(service: dict[str, Any], bundle: Path) -> dict[str, str]:
    """Path in the container → path here, of what is mounted from the bundle."""
    start = "${DIMEC_BUNDLE:?the folder that dimec export wrote}"
    places = [v.removeprefix(start) for v in service["volumes"] if v.startswith(start)]
    return {inside: f"{bundle}{here}" for here, inside, _ in (v.split(":") for v in places)}


def told(service: dict[str, Any], places: dict[str, str]) -> list[str]:
    """The words of its command, with paths and addresses as they are here."""
    words: list[str] = service["command"]
    for inside, here in places.items():
        words = [word.replace(inside, here) for word in words]
    return words


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose router sends texts to every tier."""
    return balanced(tiny_bundle, tmp_path_factory.mktemp("balanced") / "bundle")


@pytest.fixture(scope="module")
def here(
    services: dict[str, Any], bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Path or address in the mobile's container → the same here, while both servers run."""
    folder = tmp_path_factory.mktemp("composed")
    (folder / "token").write_text(TOKEN)
    places = {"/run/secrets/token": str(folder / "token"), "/state/": f"{folder}/"}
    of_servers = {**places, "--host=0.0.0.0": "--host=127.0.0.1", "--port=8001": "--port=0"}
    with ExitStack() as stack:
        for name in ("edge", "cloud"):
            service = services[name]
            words = told(service, mounted(service, bundle) | of_servers)
            server = stack.enter_context(Server.by(command(*words), folder / name))
            places[f"http://{name}:8001"] = server.url
        yield places


def test_the_mobile_asks_both_servers(
    services: dict[str, Any], bundle: Path, here: dict[str, str]
) -> None:
    mobile = services["mobile"]
    words = told(mobile, mounted(mobile, bundle) | here)
    done = subprocess.run(
        command(*words),
        input="".join(f"{text}\n" for text in TEXTS),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(TEXTS)
    assert {answer["answered_by"] for answer in answers} == {"mobile", "edge", "cloud"}
    assert all(answer["fallback_reason"] is None for answer in answers)
    assert all(answer["recorded"] for answer in answers)


def test_no_container_may_do_more_than_it_has_to(services: dict[str, Any]) -> None:
    assert services.keys() == {"edge", "cloud", "mobile"}
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert all(volume.endswith(":ro") for volume in service["volumes"] if "BUNDLE" in volume)
        # Nobody outside this machine is let in.
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_the_mobile_waits_for_servers_that_are_well(services: dict[str, Any]) -> None:
    for name, wanted in services["mobile"]["depends_on"].items():
        assert wanted == {"condition": "service_healthy"}
        assert services[name]["healthcheck"]["test"][-1] == "/opt/dimec/healthcheck.py"
    assert services["mobile"]["profiles"] == ["mobile"], "it is run for some texts, not kept up"


def test_the_image_is_built_from_here(services: dict[str, Any]) -> None:
    for service in services.values():
        build = service["build"]
        context = os.path.normpath(DEPLOY / build["context"])
        assert (Path(context) / build["dockerfile"]).is_file()
        assert (Path(context) / "pyproject.toml").is_file()
