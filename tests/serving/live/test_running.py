"""``dimec up --web``: a page for this machine alone, the tiers in its hand, nothing left behind."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import psutil
import pytest

from dimec.base.errors import ServerError
from dimec.serving.listening import bind
from dimec.serving.live import running
from support.tiers import balanced
from support.tiny import command, environment

PATIENCE = 60.0


class Up(NamedTuple):
    """The process, and what it has printed."""

    process: subprocess.Popen[bytes]
    origin: str
    key: str

    def ask(
        self, method: str, path: str, key: str | None = None, **headers: str
    ) -> httpx2.Response:
        """One request, by default with the right key; with an empty one, without any."""
        if given := self.key if key is None else key:
            headers["Authorization"] = f"Bearer {given}"
        url = f"{self.origin}/{path}"
        return httpx2.request(method, url, headers=headers, timeout=PATIENCE)

    def events(self) -> Iterator[dict[str, dict[str, Any]]]:
        """What the servers do, as it is told."""
        headers = {"Authorization": f"Bearer {self.key}"}
        url = f"{self.origin}/events"
        with httpx2.stream("GET", url, headers=headers, timeout=PATIENCE) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))["tiers"]

    def left(self) -> bytes:
        """What else it has printed, once it has ended."""
        said: bytes = self.process.communicate(timeout=PATIENCE)[0]
        return said

    def until(self, tier: str, **wanted: Any) -> dict[str, Any]:
        """The first event in which a tier is so."""
        for told in self.events():
            if all(told[tier][name] == value for name, value in wanted.items()):
                return told[tier]
        raise AssertionError("the events have ended")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Path:
    """The tiny bundle with a router that uses all three tiers."""
    return balanced(tiny_bundle, tmp_path_factory.mktemp("live") / "my bundle")


def started(bundle: Path) -> Up:
    """A process that has printed its address."""
    line = command("up", bundle, "--web")
    process = subprocess.Popen(
        line, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    address = process.stdout.readline().decode().strip()
    origin, _, key = address.partition("/#")
    return Up(process, origin, key)


@pytest.fixture(scope="module")
def up(bundle: Path) -> Iterator[Up]:
    """One for all tests that leave it running."""
    found = started(bundle)
    yield found
    found.process.terminate()
    assert found.left() == b""
    assert found.process.returncode == 0


def test_the_page_and_its_files_are_there_under_a_strict_policy(up: Up) -> None:
    for path, kind in (
        ("", "text/html"),
        ("mobile/worker.js", "text/javascript"),
        ("vendor/onnxruntime/ort-wasm-simd-threaded.wasm", "application/wasm"),
        ("bundle/manifest.json", "application/json"),
    ):
        answer = up.ask("GET", path, key="")
        assert answer.status_code == 200, path
        assert answer.headers["content-type"].startswith(kind)
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self' 'wasm-unsafe-eval';" in policy
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy


def test_a_file_that_is_held_already_is_not_sent_again(up: Up) -> None:
    tag = up.ask("GET", "mobile/worker.js").headers["etag"]
    again = up.ask("GET", "mobile/worker.js", **{"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["bundle/golden.json", "golden.json", "edge/model.onnx", "..%2f"])
def test_nothing_but_the_site_is_served(up: Up, path: str) -> None:
    assert up.ask("GET", path).status_code == 404


@pytest.mark.parametrize("key", ["", "another"])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "setup.json"), ("GET", "events"), ("POST", "tiers/edge/stop")]
)
def test_who_has_no_key_is_told_nothing_and_stops_nothing(
    up: Up, method: str, path: str, key: str
) -> None:
    answer = up.ask(method, path, key=key)
    assert answer.status_code == 401
    assert "address" in answer.json()["error"]
    assert up.until("edge", state="running")


def test_a_name_that_was_pointed_at_this_address_is_refused(up: Up) -> None:
    assert up.ask("GET", "", Host="evil.example").status_code == 421
    assert up.ask("GET", "setup.json", Host="evil.example").status_code == 421


def test_the_page_is_told_how_to_ask_the_tiers(up: Up) -> None:
    setup = up.ask("GET", "setup.json").json()
    assert setup["control"] is True
    assert set(setup["tiers"]) == {"edge", "cloud"}
    assert set(setup["links"]) == {"3G", "4G", "5G", "Wi-Fi"}
    assert setup["examples"]
    for tier, url in setup["tiers"].items():
        headers = {"Authorization": f"Bearer {setup['token']}", "Origin": up.origin}
        answer = httpx2.get(f"{url}/v2/models/{tier}", headers=headers)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == up.origin


def test_a_tier_is_stopped_and_started_at_its_address_and_the_events_tell(up: Up) -> None:
    url = up.ask("GET", "setup.json").json()["tiers"]["edge"]
    assert up.ask("POST", "tiers/edge/stop").json() == {"state": "stopped"}
    assert up.until("edge", state="stopped")["ready"] is False
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{url}/v2/health/ready")
    assert up.ask("POST", "tiers/edge/start").json() == {"state": "running"}
    assert httpx2.get(f"{url}/v2/health/ready").status_code == 200
    assert up.until("edge", state="running", ready=True)["requests"] == 0


@pytest.mark.parametrize("path", ["tiers/mobile/stop", "tiers/edge/break", "tiers/edge"])
def test_another_order_is_none(up: Up, path: str) -> None:
    assert up.ask("POST", path).status_code == 404


def test_a_server_that_dies_is_told_as_failed_and_can_be_started_again(up: Up) -> None:
    port = int(up.ask("GET", "setup.json").json()["tiers"]["cloud"].rpartition(":")[2])
    for child in psutil.Process(up.process.pid).children(recursive=True):
        if any(c.laddr.port == port for c in child.net_connections() if c.status == "LISTEN"):
            child.kill()
    assert up.until("cloud", state="failed")["ready"] is False
    assert up.ask("POST", "tiers/cloud/start").json() == {"state": "running"}
    assert up.until("cloud", state="running", ready=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_no_process_is_left_behind_though_a_page_listens(bundle: Path, number: int) -> None:
    up = started(bundle)
    servers = psutil.Process(up.process.pid).children(recursive=True)
    assert len(servers) == 2
    events = up.events()
    next(events)
    up.process.send_signal(number)
    assert up.left() == b""
    assert up.process.returncode == 0
    assert psutil.wait_procs(servers, timeout=PATIENCE)[1] == []


def test_the_port_is_the_same_each_time_and_any_free_one_where_that_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with bind(running.HOST, 0) as free:
        port = free.getsockname()[1]
    monkeypatch.setattr(running, "PORT", port)
    with running.listener_of(None) as first:
        assert first.getsockname()[1] == port
        with running.listener_of(None) as second:
            assert second.getsockname()[1] not in (0, port)
        # Whoever names a port wants that one.
        with pytest.raises(ServerError, match=f"port {port}: .*choose another with --port"):
            running.listener_of(port)
