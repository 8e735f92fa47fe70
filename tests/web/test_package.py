"""The package in web/: its own tests pass, against bundles and cases that are made here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from dimec.policies.kinds import _HOMES

WEB = Path(__file__).resolve().parents[2] / "web"


def has_node() -> bool:
    """Whether a Node that knows its own test runner, and npm, are there."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return False
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    return int(said.removeprefix("v").split(".")[0]) >= 20


pytestmark = pytest.mark.skipif(not has_node(), reason="Node 20 or later is not installed")


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
    assert "\n# fail 0\n" in said, said[-2_000:]
    assert "\n# skipped 0\n" in said, said[-2_000:]


def test_its_types_hold() -> None:
    assert run("npm", "--silent", "run", "check") == ""


def test_it_runs_every_kind_that_can_be_served(web_bundles: Path) -> None:
    """All but those that hand on hidden states, which no server takes."""
    made = {
        json.loads(golden.read_text("utf-8"))["policy"]["kind"]
        for golden in web_bundles.glob("*/golden.json")
    }
    said = run("node", "-e", "import('./src/index.js').then((m) => console.log(m.kinds.join()))")
    known = set(said.strip().split(","))
    split = {"adaee", "splitee", "splitee-s", "i-splitee"}
    assert known == _HOMES.keys() - split
    assert made == known


def test_what_npm_packs_is_what_it_needs_and_no_more() -> None:
    (packed,) = json.loads(run("npm", "pack", "--dry-run", "--json"))
    sources = {path.relative_to(WEB).as_posix() for path in (WEB / "src").rglob("*.js")}
    told = {"LICENSE", "README.md", "mobile.d.ts", "package.json", "worker.d.ts"}
    assert {file["path"] for file in packed["files"]} == sources | told
    assert (WEB / "LICENSE").read_bytes() == (WEB.parent / "LICENSE").read_bytes()


def test_its_parts_are_found_by_the_names_that_it_exports() -> None:
    """By the package's own name, as whoever has installed it writes them."""
    names = {"@dimec/mobile": "Mobile, kinds", "@dimec/mobile/worker": "openInWorker, DimecError"}
    for name, wanted in names.items():
        program = f"import {{ {wanted} }} from '{name}'; console.log(typeof {wanted.split(',')[0]})"
        assert run("node", "--input-type=module", "-e", program) == "function\n"


def test_a_worker_where_there_is_none_is_one_line() -> None:
    program = "import('@dimec/mobile/worker').then((m) => m.openInWorker('http://x.test/'))"
    said = run("node", "-e", f"{program}.catch((error) => console.log(error.name, error.message))")
    assert said == "ConfigError there are no workers here; open the mobile with Mobile.open\n"
