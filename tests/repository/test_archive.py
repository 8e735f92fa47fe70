"""The source archive holds what the tests need: a part of them passes in it, unpacked."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Quick ones, which between them read every top-level folder but the conformance tests.
PART = (
    "tests/repository/test_citation.py",
    "tests/repository/test_hooks.py",
    "tests/studies/test_committed.py",
    "tests/tiers/test_scenarios.py",
    "tests/tools/test_coverage_table.py",
    "tests/web/test_lock.py",
)


def run(*arguments: str, cwd: Path, **environment: str) -> str:
    """What Python prints; it knows nothing of the tests that run it, nor of their measurement."""
    known = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "SLIPCOVER_"))}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=known | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def names(archive: Path) -> set[str]:
    """Of the files in it."""
    with tarfile.open(archive) as opened:
        return set(opened.getnames())


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive that ``make wheel`` builds, taken apart."""
    folder = tmp_path_factory.mktemp("archive")
    run("-m", "build", "--sdist", "--no-isolation", "--outdir", str(folder), ".", cwd=ROOT)
    (archive,) = folder.glob("dimec-*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def test_a_part_of_the_suite_passes_in_the_archive(unpacked: Path) -> None:
    source = unpacked / "src"
    where = run("-c", "import dimec; print(dimec.__file__)", cwd=unpacked, PYTHONPATH=str(source))
    assert Path(where.strip()) == source / "dimec" / "__init__.py"
    command = ["-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *PART]
    assert " passed" in run(*command, cwd=unpacked, PYTHONPATH=str(source))


def test_the_archive_builds_itself_anew(unpacked: Path, tmp_path: Path) -> None:
    """What a distribution does that starts from the archive: nothing asks for git."""
    run("-m", "build", "--sdist", "--no-isolation", "--outdir", str(tmp_path), ".", cwd=unpacked)
    name = f"{unpacked.name}.tar.gz"
    assert names(tmp_path / name) == names(unpacked.parent / name)


@pytest.mark.parametrize("folder", ["benchmarks", "conformance", "tests", "tools"])
def test_every_file_of_a_folder_is_in_the_archive(unpacked: Path, folder: str) -> None:
    files = {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.py")}
    assert files
    assert {path for path in files if not (unpacked / path).is_file()} == set()
