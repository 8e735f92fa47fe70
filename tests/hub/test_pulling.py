"""Pulls with the real client from a small hub: whole, checked, resumed; and hubs that lie."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from dimec.base.errors import (
    ConfigError,
    CorruptArtefactError,
    DimecError,
    HubError,
    HubUnreachableError,
)
from dimec.bundle.folders import verify_bundle
from dimec.hub import HubName, local_folder, pull
from dimec.hub.listing import LISTING, ORIGIN
from dimec.mobile import Mobile
from dimec.publishing import prepared, push
from support.hub import FakeHub
from support.tiny import command, environment

NAME = HubName("me/bundle")
REPO = "models/me/bundle"
BIG = "cloud/model.onnx.data"


@pytest.fixture
def commit(hub: FakeHub, tiny_bundle: Path) -> str:
    """Of the tiny bundle, pushed."""
    with prepared(tiny_bundle, NAME) as ready:
        return push(ready).commit


def nothing_at(out: Path) -> bool:
    return not out.exists() and not out.with_name(f".{out.name}.tmp").exists()


def test_a_bundle_comes_whole_with_its_commit_beside(commit: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    pulled = pull(NAME, out)
    assert (pulled.commit, pulled.holds, pulled.there) == (commit, "bundle", False)
    assert json.loads((out / ORIGIN).read_bytes())["commit"] == commit
    verify_bundle(out)
    assert not any(path.is_symlink() for path in out.rglob("*"))
    assert not list(tmp_path.glob(".out*"))


def test_the_same_again_is_there_and_anything_else_is_refused(
    hub: FakeHub, commit: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    pull(NAME, out)
    hub.asked.clear()
    assert pull(NAME, out).there
    assert not hub.gets(BIG)
    (out / BIG).write_bytes(b"other")
    with pytest.raises(ConfigError, match="altered"):
        pull(NAME, out)
    hub.change(REPO, {"README.md": b"mine"})
    with pytest.raises(ConfigError, match="already, and not"):
        pull(NAME, out)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="something else"):
        pull(NAME, tmp_path / "full")


def test_a_broken_connection_goes_on_behind_the_last_byte(
    hub: FakeHub, commit: str, tmp_path: Path
) -> None:
    hub.cut[BIG] = 100_000
    pull(NAME, tmp_path / "out")
    first, second = hub.gets(BIG)
    assert "range" not in first
    assert second["range"].startswith("bytes=")
    assert 0 < int(second["range"][6:].partition("-")[0]) <= 100_000


def test_a_killed_pull_goes_on_behind_the_last_byte(
    hub: FakeHub, commit: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    hub.hold[BIG] = 100_000
    words = command("pull", str(NAME), out)
    env = environment(HF_HUB_OFFLINE="0", HF_HUB_DISABLE_XET="1")
    with subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL) as process:
        assert hub.holding.wait(60)
        part = out.with_name(".out.pull") / commit / f"{BIG}.part"
        # What stands still at the hub is under way to the file.
        while process.poll() is None and not (part.exists() and part.stat().st_size):
            threading.Event().wait(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    assert nothing_at(out)
    kept = part.stat().st_size
    hub.asked.clear()
    pull(NAME, out)
    assert [one.get("range") for one in hub.gets(BIG)] == [f"bytes={kept}-"]
    assert not hub.gets("cloud/model.onnx"), "what was whole is not fetched again"
    verify_bundle(out)


def test_more_bytes_than_announced_are_not_taken(hub: FakeHub, commit: str, tmp_path: Path) -> None:
    hub.instead[BIG] = bytes(1 << 22)
    with pytest.raises(CorruptArtefactError, match="more of"):
        pull(NAME, tmp_path / "out")
    assert nothing_at(tmp_path / "out")
    sizes = [path.stat().st_size for path in tmp_path.rglob("*.part")]
    assert max(sizes, default=0) <= len(hub.files(REPO)[BIG])


@pytest.mark.parametrize("file", [BIG, "mobile/policy.json", LISTING])
def test_other_bytes_than_announced_are_refused(
    file: str, hub: FakeHub, commit: str, tmp_path: Path
) -> None:
    content = hub.files(REPO)[file]
    hub.instead[file] = content[:-9] + bytes(9)
    with pytest.raises(CorruptArtefactError, match="hash differs"):
        pull(NAME, tmp_path / "out")
    assert nothing_at(tmp_path / "out")
    hub.instead.clear()
    assert pull(NAME, tmp_path / "out").commit == commit


@pytest.mark.parametrize("size", [0, 1])
def test_a_file_that_was_changed_after_the_push_is_refused(
    size: int, hub: FakeHub, commit: str, tmp_path: Path
) -> None:
    content = hub.files(REPO)["mobile/policy.json"]
    hub.change(REPO, {"mobile/policy.json": content[: len(content) - size].replace(b"1", b"2")})
    with pytest.raises(CorruptArtefactError, match="pushed again"):
        pull(NAME, tmp_path / "out")
    assert nothing_at(tmp_path / "out")
    assert pull(NAME.at(commit), tmp_path / "out").commit == commit, "what is pinned is as it was"


def test_a_hostile_listing_brings_nothing(hub: FakeHub, commit: str, tmp_path: Path) -> None:
    value = json.loads(hub.files(REPO)[LISTING])
    value["files"]["../../evil.json"] = value["files"].pop(BIG)
    hub.change(REPO, {LISTING: json.dumps(value).encode(), "../../evil.json": b"{}"})
    with pytest.raises(CorruptArtefactError, match="only plain files"):
        pull(NAME, tmp_path / "out")
    assert nothing_at(tmp_path / "out")
    hub.change(REPO, {LISTING: bytes(2 << 20)})
    with pytest.raises(CorruptArtefactError, match="far too large"):
        pull(NAME, tmp_path / "out")


def test_who_may_not_see_it_learns_nothing(
    hub: FakeHub, commit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repos[REPO].private = True
    pull(NAME, tmp_path / "mine")
    monkeypatch.delenv("HF_TOKEN")
    for token in (None, "hf_stranger"):
        with pytest.raises(HubError, match="HF_TOKEN"):
            pull(NAME, tmp_path / "out", token=token)
    with pytest.raises(HubError, match="no model me/none"):
        pull(HubName("me/none"), tmp_path / "out", token="hf_stranger")
    with pytest.raises(HubError, match="no revision 'v9'"):
        pull(NAME.at("v9"), tmp_path / "out", token="hf_owner")


def test_what_dimec_did_not_push_is_refused(hub: FakeHub, commit: str, tmp_path: Path) -> None:
    found = hub.repos[REPO]
    del found.commits[found.branches["main"]][LISTING]
    with pytest.raises(HubError, match="did not push"):
        pull(NAME, tmp_path / "out")


def test_a_mobile_opens_a_name_and_offline_what_is_there(
    hub: FakeHub,
    commit: str,
    tiny_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def said(place: Path | str) -> str:
        with Mobile.open(place, state=":memory:") as mobile:
            return str(mobile.predict("the film is moving").probability)

    told = said(tiny_bundle)
    assert said("hub:me/bundle") == told
    hub.asked.clear()
    assert said(f"hub:me/bundle@{commit}") == told
    assert hub.asked == [], "what is pinned and there is not asked for"
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert said("hub:me/bundle") == told
    with pytest.raises(HubUnreachableError, match="HF_HUB_OFFLINE"):
        said("hub:me/other")
    assert hub.asked == []


def test_the_network_gone_what_is_there_serves(
    hub: FakeHub, commit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = local_folder("hub:me/bundle/edge")
    assert folder.name == "edge"
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert local_folder("hub:me/bundle/edge") == folder
    with pytest.raises(HubUnreachableError, match="does not answer"):
        local_folder("hub:me/bundle@v1")


def test_a_path_is_left_as_it_is(tmp_path: Path) -> None:
    assert local_folder(tmp_path) == tmp_path
    assert local_folder("bundles/mine") == Path("bundles/mine")


@pytest.mark.parametrize("damage", ["link", "folder"])
def test_what_lies_in_the_way_is_not_followed(
    damage: str, hub: FakeHub, commit: str, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "kept.txt").write_text("mine")
    if damage == "link":
        (tmp_path / ".out.pull").symlink_to(victim)
    else:
        (tmp_path / "out").symlink_to(victim)
    with pytest.raises(DimecError, match=r"link|no folder"):
        pull(NAME, tmp_path / "out")
    assert (victim / "kept.txt").read_text() == "mine"
