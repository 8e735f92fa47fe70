"""The container file: its linter finds nothing, and it installs what the lock file says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from support.charts import DEPLOY

ROOT = DEPLOY.parent
FILE = DEPLOY / "Containerfile"


def instructions(path: Path = FILE) -> list[tuple[str, str]]:
    """(instruction, words) of a container file, lines that go on put together."""
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    pairs = (line.partition(" ") for line in whole if line.strip())
    return [(name, words.strip()) for name, _, words in pairs]


def pins(path: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Package → its version and hashes, of a lock file."""
    blocks = re.findall(
        r"^([a-z0-9._-]+)==(\S+).*\n((?:    --hash=\S+.*\n?)+)", path.read_text("utf-8"), re.M
    )
    return {name: (version, frozenset(re.findall(r"sha256:\w+", h))) for name, version, h in blocks}


def test_the_linter_finds_nothing() -> None:
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("hadolint has no wheel for this machine")
    found = subprocess.run(
        [program, "--failure-threshold", "style", FILE], capture_output=True, text=True, timeout=60
    )
    assert found.returncode == 0, found.stdout + found.stderr
    unpinned = FILE.read_text("utf-8").replace("--no-cache-dir", "")
    found = subprocess.run(
        [program, "-"], input=unpinned, capture_output=True, text=True, timeout=60
    )
    assert "DL3042" in found.stdout, "it does find what is wrong"


def test_what_runs_is_nobody_and_looks_after_its_health() -> None:
    told = instructions()
    last = max(number for number, (name, _) in enumerate(told) if name == "FROM")
    final = dict(told[last:])
    user, _, group = final["USER"].partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert final["ENTRYPOINT"] == '["dimec"]'
    assert '"/opt/dimec/healthcheck.py"' in final["HEALTHCHECK"]
    assert not any("pip" in words for name, words in told[last:] if name == "RUN")


def test_what_is_copied_is_sent_to_the_build_and_nothing_else() -> None:
    ignore = (DEPLOY / "Containerfile.dockerignore").read_text("utf-8").split()
    assert ignore[0] == "*"
    sent = [pattern.removeprefix("!") for pattern in ignore[1:]]
    copied = [
        words.split()[0]
        for name, words in instructions()
        if name == "COPY" and not words.startswith("--from")
    ]
    assert sorted(copied) == sorted(sent)
    for pattern in sent:
        assert pattern.startswith("dist/") or (ROOT / pattern).is_file()
    assert fnmatch("dist/dimec-0.1.0-py3-none-any.whl", "dist/dimec-*.whl")


def test_its_packages_are_those_of_the_lock_file() -> None:
    whole, part = pins(ROOT / "requirements.lock"), pins(DEPLOY / "serve.lock")
    assert len(part) > 20
    for name, (version, hashes) in part.items():
        if name in whole:
            assert (version, hashes) == whole[name], f"{name}: run make lock"
    # Of other platforms' only may be what no development environment has.
    assert set(part) - set(whole) <= {"httpx2-jsfetch"}


def test_it_has_all_that_a_server_needs_and_nothing_to_train_with() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["serve"], *extras["otel"]]
    part = pins(DEPLOY / "serve.lock")
    for requirement in map(Requirement, wanted):
        version, _ = part[requirement.name.lower()]
        assert version in requirement.specifier
    assert not {"torch", "transformers", "accelerate"} & part.keys()
    words = " ".join(words for name, words in instructions() if name == "RUN")
    assert "--require-hashes" in words
    assert "--only-binary :all:" in words
