"""``dimec predict`` on a file, killed again and again."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from dimec.mobile import Mobile
from support.tiers import assert_pools_fit, balanced, offline_routes, texts
from support.tiny import command, environment


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Path:
    """The tiny bundle with a router that uses all three tiers."""
    return balanced(tiny_bundle, tmp_path_factory.mktemp("killed") / "bundle")


class TestKilled:
    @pytest.fixture
    def job(self, bundle: Path, tmp_path: Path) -> list[str]:
        self.some = texts(1500)
        self.out, self.state = tmp_path / "out.jsonl", tmp_path / "state.sqlite"
        (tmp_path / "in.txt").write_text("".join(f"{text}\n" for text in self.some))
        words = ("--input", tmp_path / "in.txt", "--output", self.out, "--state", self.state)
        return command("predict", bundle, "--adaptive", *words)

    def written(self) -> int:
        return self.out.read_bytes().count(b"\n") if self.out.exists() else 0

    def test_again_and_again_and_still_each_text_has_one_line(
        self, bundle: Path, job: list[str]
    ) -> None:
        rng = random.Random(0)
        kills = 0
        for _ in range(4):
            goal = self.written() + rng.randint(1, 300)
            with subprocess.Popen(job, stderr=subprocess.DEVNULL, env=environment()) as process:
                killer = threading.Timer(60, process.kill)
                killer.start()
                while process.poll() is None and self.written() < goal:
                    time.sleep(rng.uniform(0, 0.01))
                process.kill()
                killer.cancel()
            kills += process.returncode == -signal.SIGKILL
        assert kills >= 3
        subprocess.run(job, check=True, capture_output=True, env=environment())
        found = [json.loads(line) for line in self.out.read_text("utf-8").splitlines()]
        assert [int(a["id"].rpartition("-")[2]) for a in found] == list(range(1500))
        with Mobile.open(bundle, state=self.state, adaptive=True) as mobile:
            assert mobile.ledger().answers == 1500
            assert_pools_fit(mobile)
            # As if it had never been stopped.
            routes = offline_routes(bundle, mobile, self.some, adaptive=True)
            assert [a["route"] for a in found] == routes
