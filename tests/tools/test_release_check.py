"""What a release must be, in its quick parts; ``conformance/test_release.py`` installs one."""

from __future__ import annotations

import io
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

import release_check
import release_parts
from release_check import IMPORTS, ROOT, Passed, ReleaseError, extras_of, found_pythons
from release_parts import check_archive, check_changelog, check_versions, check_wheel, version_of

CHANGED = "## [Unreleased]\n\n### What you must do\n\n{}\n\n### Added\n\n- x\n"


def test_the_checkout_names_one_version_and_says_what_to_do() -> None:
    assert check_versions(ROOT, released=False) == []


def test_every_extra_has_its_imports() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert list(IMPORTS) == list(project["optional-dependencies"])
    assert extras_of("all") == list(IMPORTS)
    assert extras_of("none") == []
    assert extras_of("serve,hub") == ["serve", "hub"]


def test_every_module_of_dimec_that_an_extra_is_tried_by_is_there() -> None:
    ours = [name for names in IMPORTS.values() for name in names if name.startswith("dimec.")]
    files = [ROOT / "src" / name.replace(".", "/") for name in ours]
    assert files
    for file in files:
        assert file.with_suffix(".py").is_file() or (file / "__init__.py").is_file(), file


@pytest.mark.parametrize(
    ("text", "released", "wrong"),
    [
        (CHANGED.format("- Fit again."), False, ""),
        (CHANGED.format("Nothing."), False, ""),
        (CHANGED.format(""), False, "expected a part '### What you must do'"),
        ("## [Unreleased]\n\n### Added\n\n- x\n", False, "expected a part"),
        (CHANGED.format("Nothing."), True, "no section '## [1.2.3] - YYYY-MM-DD'"),
        (CHANGED.replace("Unreleased]", "1.2.3] - 2026-11-29").format("Nothing."), True, ""),
        # What an older version says does not count.
        (f"## [Unreleased]\n\n{CHANGED.format('Nothing.')}", False, "expected a part"),
    ],
)
def test_a_changelog_says_what_to_do(text: str, released: bool, wrong: str) -> None:
    found = check_changelog(text, "1.2.3", released=released)
    assert len(found) == bool(wrong)
    assert wrong in "".join(found)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of few files, whose archives are written by hand."""
    files = {
        "src/dimec/__about__.py": '__version__ = "1.2.3"\n',
        "src/dimec/py.typed": "",
        "tests/test_a.py": "",
        "tools/b.py": "",
        "examples/c.py": "",
        "CITATION.cff": "version: 1.2.3\n",
        "CHANGELOG.md": CHANGED.format("Nothing."),
        "deploy/chart/Chart.yaml": 'version: 0.1.0\nappVersion: "1.2.3"\n',
        "web/package.json": '{"version": "1.2.3"}',
        "web/vendor.json": '{"files": {"vendor/x/LICENSE": {}}}',
        "pyproject.toml": "[project]\n[project.optional-dependencies]\nserve = []\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def test_versions_that_differ_are_named(checkout: Path) -> None:
    assert check_versions(checkout, released=False) == []
    (checkout / "CITATION.cff").write_text("version: 1.2.2\n")
    (checkout / "deploy/chart/Chart.yaml").write_text('appVersion: "1.3.0"\n')
    first, second = check_versions(checkout, released=False)
    assert first.startswith("CITATION.cff names '1.2.2' and src/dimec/__about__.py '1.2.3'")
    assert second.startswith("deploy/chart/Chart.yaml, appVersion names '1.3.0'")
    (checkout / "src/dimec/__about__.py").write_text('__version__ = "next"\n')
    assert check_versions(checkout, released=False) == [
        "src/dimec/__about__.py: expected a version such as 0.2.0, got 'next'"
    ]


METADATA = "Metadata-Version: 2.4\nName: dimec\nVersion: 1.2.3\nProvides-Extra: serve\n"
INFO = "dimec-1.2.3.dist-info"
WHEEL = {
    "dimec/__about__.py": "",
    "dimec/py.typed": "",
    "dimec/web/assets/vendor.json": "",
    "dimec/web/assets/vendor/x/LICENSE": "",
    f"{INFO}/METADATA": METADATA,
    f"{INFO}/licenses/LICENSE": "",
    f"{INFO}/licenses/NOTICE": "",
}


def wheel_of(folder: Path, files: Mapping[str, str | None]) -> Path:
    """A wheel with these files; a None leaves one out."""
    path = folder / "dimec-1.2.3-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as opened:
        for name, text in (WHEEL | dict(files)).items():
            if text is not None:
                opened.writestr(name, text)
    return path


@pytest.mark.parametrize(
    ("files", "wrong"),
    [
        ({}, []),
        ({"tests/test_a.py": ""}, ["holds tests/test_a.py, which is no part"]),
        ({"dimec/__pycache__/a.pyc": ""}, ["holds dimec/__pycache__/a.pyc, which belongs to this"]),
        ({"dimec/py.typed": None}, ["lacks dimec/py.typed"]),
        ({f"{INFO}/licenses/NOTICE": None}, ["lacks dimec-1.2.3.dist-info/licenses/NOTICE"]),
        ({"dimec/web/assets/vendor/x/LICENSE": None}, ["lacks dimec/web/assets/vendor/x/LICENSE"]),
        (
            {f"{INFO}/METADATA": "Name: dimec\nVersion: 1.2.2\n"},
            ["has the extras [], pyproject.toml ['serve']", "is of the version 1.2.2"],
        ),
    ],
)
def test_a_wheel_holds_the_package_alone(
    checkout: Path, files: Mapping[str, str | None], wrong: list[str]
) -> None:
    found = check_wheel(wheel_of(checkout, files), checkout)
    assert len(found) == len(wrong)
    for said, part in zip(found, wrong, strict=True):
        assert part in said


def test_an_archive_holds_the_tests_and_nothing_of_this_machine(checkout: Path) -> None:
    names = ["LICENSE", "NOTICE", "CHANGELOG.md", "README.md", "pyproject.toml", "web/vendor.json"]
    names += ["src/dimec/__about__.py", "tests/test_a.py", "tools/b.py", "examples/c.py"]
    path = checkout / "dimec-1.2.3.tar.gz"

    def found(*more: str, without: str = "") -> list[str]:
        with tarfile.open(path, "w:gz") as opened:
            for name in [*(one for one in names if one != without), *more]:
                opened.addfile(tarfile.TarInfo(f"dimec-1.2.3/{name}"), io.BytesIO())
        return check_archive(path, checkout)

    assert found("src/dimec/runs/run.py") == []
    assert found(without="tests/test_a.py") == ["dimec-1.2.3.tar.gz lacks tests/test_a.py"]
    (said,) = found("runs/mine/policy.json")
    assert said == "dimec-1.2.3.tar.gz holds runs/mine/policy.json, which belongs to this machine"
    # Nor the environments that are made beside .venv, each of a lock file.
    for lock in (ROOT / "tools").glob("*.lock"):
        (said,) = found(f".{lock.stem}/pyvenv.cfg")
        assert f"holds .{lock.stem}/pyvenv.cfg" in said


def test_this_python_is_found_and_no_other_is_taken() -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert version in found_pythons()
    assert found_pythons([sys.executable]) == {version: sys.executable}
    with pytest.raises(ReleaseError, match=r"--python no-python: expected a Python of 3.11"):
        found_pythons(["no-python"])


def test_what_has_passed_is_not_done_again_but_with_another_wheel(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel, done = tmp_path / "a.whl", []
    wheel.write_bytes(b"one")

    def fails() -> None:
        raise ReleaseError("no")

    passed = Passed(tmp_path / "passed.json", wheel)
    with pytest.raises(ReleaseError):
        passed.once("base", fails)
    for _ in range(2):
        Passed(tmp_path / "passed.json", wheel).once("base", lambda: done.append("one"))
    assert done == ["one"]
    assert "passed before, with this very wheel" in capsys.readouterr().out
    wheel.write_bytes(b"two")
    Passed(tmp_path / "passed.json", wheel).once("base", lambda: done.append("two"))
    assert done == ["one", "two"]


def test_a_step_that_fails_ends_with_what_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release_check, "WORK", tmp_path)
    with pytest.raises(ReleaseError, match=r"(?s)a step failed:.*ZeroDivisionError"):
        release_check.run([sys.executable, "-c", "1 / 0"], "a step")


def test_the_version_is_the_packages() -> None:
    assert version_of(ROOT) == release_parts.version_of(ROOT) != ""
