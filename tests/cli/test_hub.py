"""``dimec up`` and ``dimec serve`` of names on the hub, in processes of their own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dimec.base.progress import NoProgress
from dimec.hub import HubName
from dimec.mobile import Mobile
from dimec.publishing import prepared, push
from support.hub import FakeHub
from support.served import Server
from support.tiny import Said, command, environment

TEXT = "the film is moving"
# What the fixture of the hub has switched on and off in this process.
CLIENT = {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}


@pytest.fixture
def commit(hub: FakeHub, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Of the tiny bundle, pushed as ``me/bundle``."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DIMEC_TOKEN", raising=False)
    with prepared(tiny_bundle, HubName("me/bundle")) as ready:
        return push(ready).commit


def up(name: str, **changes: str) -> Said:
    """Have ``dimec up`` answer one text."""
    done = subprocess.run(
        command("up", name),
        input=f"{TEXT}\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(**CLIENT, **changes),
    )
    return Said(done.returncode, done.stdout, done.stderr)


def test_a_served_tier_and_all_of_them_answer_as_the_bundle_does(
    hub: FakeHub, commit: str, tiny_bundle: Path, tmp_path: Path
) -> None:
    starting = command("serve", "hub:me/bundle/cloud", "--port", "0", "--threads", "1")
    with Server.by([*starting, "--workers", "1"], tmp_path / "log", **CLIENT) as server:
        assert server.ready["tier"] == "cloud"
        with Mobile.open(tiny_bundle, tiers={"cloud": server.url}, state=":memory:") as mobile:
            answer = mobile.predict(TEXT)
        assert answer.answered_by == "cloud"
        assert server.stop() == 0
    kept = tmp_path / "cache" / "hub" / "me--bundle" / commit
    assert kept.is_dir()
    hub.asked.clear()
    # It is there by now, and its name is pinned: nobody is asked, and nobody could be.
    said = up(f"hub:me/bundle@{commit}", HF_ENDPOINT="http://127.0.0.1:9")
    assert said.code == 0, said.err
    assert said.out.startswith(f"{answer.label} {answer.probability:.3f} ")
    assert "answered by cloud" in said.out
    assert f"dimec predict {kept} --tier edge=" in said.err
    assert hub.asked == []


def test_what_cannot_be_had_is_one_line(
    hub: FakeHub, commit: str, cli: Callable[..., Said], tmp_path: Path
) -> None:
    def complaint(*words: Any) -> str:
        return cli(*words).complaint()

    said = complaint("serve", f"hub:me/bundle@{commit}")
    assert said == (
        f"hub:me/bundle@{commit} is a whole bundle; serve one tier of it: "
        f"hub:me/bundle/edge@{commit} or hub:me/bundle/cloud@{commit}"
    )
    said = complaint("serve", "hub:me/bundle/gateway")
    assert said == "me/bundle has no folder gateway; name one of cloud, edge, mobile, or none"
    for verb in ("up", "serve"):
        assert "has no model me/other for you" in complaint(verb, "hub:me/other")
        assert "expected a name on the hub, ORG/NAME" in complaint(verb, "hub:bundle")
        assert "has no revision 'v9'" in complaint(verb, "hub:me/bundle@v9")


class Told(NoProgress):
    """What was reported, as stage, steps in all, and steps that were done."""

    def __init__(self) -> None:
        self.stages: list[list[Any]] = []

    def __enter__(self) -> Told:
        return self

    def __exit__(self, *_: object) -> None: ...

    def start(self, stage: str, total: int) -> None:
        self.stages.append([stage, total, 0])

    def advance(self, steps: int, note: str = "") -> None:
        self.stages[-1][2] += steps


def test_a_pull_is_told_as_it_goes(
    hub: FakeHub, commit: str, cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()
    monkeypatch.setattr("dimec.cli.common.progress_bar", lambda: told)
    for _ in range(2):  # the second time it is there
        assert cli("predict", f"hub:me/bundle@{commit}", TEXT, "--state", ":memory:").code == 0
    [(stage, total, done)] = told.stages
    assert stage == "pulling me/bundle"
    assert done == total > sum(map(len, hub.files("models/me/bundle").values())) / 2
