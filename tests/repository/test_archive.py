"""The source archive holds what the tests need: a part of them passes in it, unpacked."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from dimec.web.site import write_site

ROOT = Path(__file__).resolve().parents[2]
# Quick ones, which between them read every top-level folder but the conformance tests.
PART = (
    "tests/deploy/test_kserve.py",
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


@pytest.mark.skipif(
    not (ROOT / "web" / "node_modules").is_dir(), reason="the packages of web/ are not fetched"
)
def test_a_wheel_of_the_archive_carries_the_mobile_in_a_browser(
    unpacked: Path, tmp_path: Path, tiny_bundle: Path
) -> None:
    """Where there is neither a checkout nor npm: all of a site, with the licences."""
    run("-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), ".", cwd=unpacked)
    (wheel,) = tmp_path.glob("dimec-*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(installed)
    program = "import sys; from dimec.web.site import write_site; write_site(*sys.argv[1:])"
    run("-c", program, str(tiny_bundle), "site", cwd=tmp_path, PYTHONPATH=str(installed))
    site = tmp_path / "site"
    write_site(tiny_bundle, tmp_path / "of the checkout")
    assert files_of(site) == files_of(tmp_path / "of the checkout")
    for folder in (site / "vendor").iterdir():
        assert folder.is_file() or (folder / "LICENSE").is_file()


def files_of(folder: Path) -> dict[str, bytes]:
    """Path → content, of every file below."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.mark.parametrize("folder", ["benchmarks", "conformance", "tests", "tools"])
def test_every_file_of_a_folder_is_in_the_archive(unpacked: Path, folder: str) -> None:
    files = {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.py")}
    assert files
    assert {path for path in files if not (unpacked / path).is_file()} == set()
