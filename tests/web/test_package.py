"""The package in web/: its own tests, against bundles that are made here; and what it is made of."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from dimec.policies.kinds import _HOMES

WEB = Path(__file__).resolve().parents[2] / "web"
NODE, NPM = shutil.which("node"), shutil.which("npm")

pytestmark = pytest.mark.skipif(
    NODE is None or NPM is None, reason="node and npm are not installed, which run JavaScript"
)


def run(*command: str, **environment: str) -> str:
    """What a command in web/ prints; it must succeed."""
    missing = "its packages are not installed: make setup fetches them (npm ci in web/)"
    assert (WEB / "node_modules").is_dir(), missing
    known = {k: v for k, v in os.environ.items() if k != "NODE_OPTIONS"}
    done = subprocess.run(
        command,
        cwd=WEB,
        env={**known, "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
    return done.stdout


def test_its_tests_pass_on_bundles_of_every_kind(web_bundles: Path) -> None:
    said = run("npm", "--silent", "test", DIMEC_BUNDLES=str(web_bundles))
    assert "\n# fail 0\n" in said and "\n# skipped 0\n" in said, said[-2_000:]


def test_its_types_hold() -> None:
    assert run("npm", "--silent", "run", "check") == ""


def test_it_runs_every_kind_that_can_be_served(web_bundles: Path) -> None:
    """All but those that hand on hidden states, which no server takes."""
    made = {
        json.loads((folder / "golden.json").read_text("utf-8"))["policy"]["kind"]
        for folder in web_bundles.iterdir()
        if folder.is_dir()
    }
    said = run("node", "-e", "import('./src/index.js').then((m) => console.log(m.kinds.join()))")
    known = set(said.strip().split(","))
    split = {"adaee", "splitee", "splitee-s", "i-splitee"}
    assert known == _HOMES.keys() - split
    assert made == known
