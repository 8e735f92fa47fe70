"""Edge and cloud as child processes: they start, restart and stop, and leave nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil
import pytest

from dimec.base.errors import MissingArtefactError, ServerError, StorageError
from dimec.bundle.manifest import MANIFEST
from dimec.mobile import Mobile
from dimec.serving.local import LocalTiers
from support.tiers import texts

TOKEN = "a-token-for-tests"


@pytest.fixture(scope="module")
def tiers(
    tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[LocalTiers, Path]]:
    """Running tiers that want a token, and the file of their logs."""
    log = tmp_path_factory.mktemp("logs") / "deep" / "servers.log"
    with LocalTiers(tiny_bundle, token=TOKEN, log=log) as running:
        yield running, log


def test_a_mobile_is_answered_by_them(tiers: tuple[LocalTiers, Path], tiny_bundle: Path) -> None:
    running, log = tiers
    assert list(running.urls) == ["edge", "cloud"]
    edge, cloud = running.urls["edge"], running.urls["cloud"]
    with Mobile.open(
        tiny_bundle, edge=edge, cloud=cloud, token=TOKEN, state=":memory:", timeout=30
    ) as mobile:
        answers = list(mobile.predict_many(texts(60)))
        assert [a.fallback_reason for a in answers] == [None] * 60
        assert {a.answered_by for a in answers} == {a.route for a in answers} != {"mobile"}
    assert '"event"' in log.read_text()
    assert TOKEN not in log.read_text()


def test_a_token_is_wanted_and_not_in_the_command_line(
    tiers: tuple[LocalTiers, Path],
) -> None:
    running, _ = tiers
    for tier, url in running.urls.items():
        assert httpx2.get(f"{url}/v2/health/ready").status_code == 200
        assert httpx2.get(f"{url}/v2/models/{tier}").status_code == 401
        assert TOKEN not in " ".join(psutil.Process(running.pids[tier]).cmdline())


def test_a_restarted_one_has_its_address_again(tiers: tuple[LocalTiers, Path]) -> None:
    running, _ = tiers
    urls, pids = dict(running.urls), running.pids
    os.kill(pids["edge"], signal.SIGKILL)
    running.restart("edge")
    running.restart("cloud")
    assert running.urls == urls
    assert set(running.pids.values()).isdisjoint(pids.values())
    for url in urls.values():
        assert httpx2.get(f"{url}/v2/health/ready").status_code == 200


class TestTheEnd:
    def test_leaves_nothing(self, tiny_bundle: Path) -> None:
        with LocalTiers(tiny_bundle) as running:
            pids, urls = running.pids, running.urls
            assert httpx2.get(f"{urls['edge']}/v2/models/edge").status_code == 200
            assert running.stop() == {"edge": 0, "cloud": 0}
            assert running.stop() == {}
        assert not any(psutil.pid_exists(pid) for pid in pids.values())


class TestWhatCannotStart:
    def test_without_its_folder(self, tiny_bundle: Path, tmp_path: Path) -> None:
        with pytest.raises(MissingArtefactError, match="is no whole bundle; give the folder"):
            LocalTiers(tmp_path).__enter__()
        shutil.copy(tiny_bundle / MANIFEST, tmp_path)
        with pytest.raises(MissingArtefactError, match="has no folder edge/"):
            LocalTiers(tmp_path).__enter__()
        shutil.copytree(tiny_bundle / "edge", tmp_path / "edge")
        with pytest.raises(MissingArtefactError, match="has no folder cloud/"):
            LocalTiers(tmp_path).__enter__()

    def test_a_damaged_tier_says_why_and_stops_the_other(
        self, tiny_bundle: Path, tmp_path: Path
    ) -> None:
        for tier in ("edge", "cloud"):
            shutil.copytree(tiny_bundle / tier, tmp_path / tier)
        shutil.copy(tiny_bundle / MANIFEST, tmp_path)
        model = tmp_path / "cloud" / "model.onnx"
        model.write_bytes(model.read_bytes()[:-1])
        tiers = LocalTiers(tmp_path)
        with pytest.raises(
            ServerError,
            match=r"the cloud did not get ready and ended with 2: .*cloud.model\.onnx was altered",
        ):
            tiers.__enter__()
        assert tiers.pids == {}
        children = psutil.Process().children(recursive=True)
        assert not [child for child in children if str(tmp_path) in " ".join(child.cmdline())]

    def test_where_no_log_can_be(self, tiny_bundle: Path, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StorageError, match="cannot write"):
            LocalTiers(tiny_bundle, log=tmp_path / "file" / "log").__enter__()
