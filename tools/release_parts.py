"""What a release must be, as far as its files tell: versions that agree, and what archives hold.

Every function returns what is wrong, in sentences; nothing where nothing is. The standard library
alone, so that it runs wherever a release is made.
"""

from __future__ import annotations

import json
import re
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable
from email.parser import HeaderParser
from pathlib import Path

MUST = "### What you must do"  # of every version in the changelog
LARGEST = 60 * 1024 * 1024  # bytes; the package index refuses files of over 100 MB
# What no archive holds.
_NEVER = re.compile(
    r"^(runs|dist|build)/|(^|/)(\.git|\.venv|node_modules|__pycache__)/"
    r"|(^|/)\.(docs|executorch|kserve|ray|trackers|triton)/"
    r"|\.(pyc|pyo|so|pem|key|onnx|sqlite3?|log)$"
)
_LICENCES = ("LICENSE", "NOTICE")


def version_of(root: Path) -> str:
    """The version that the package says it has."""
    said = (root / "src" / "dimec" / "__about__.py").read_text("utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', said, re.MULTILINE)
    return found[1] if found else ""


def project_of(root: Path) -> dict[str, object]:
    """The table ``project`` of ``pyproject.toml``."""
    table: dict[str, object] = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))[
        "project"
    ]
    return table


def check_versions(root: Path, *, released: bool) -> list[str]:
    """Whether all that names the version names the same, and the changelog has it.

    Args:
        root: of the checkout.
        released: whether the version is to have a section with a date, and not be unreleased.
    """
    version = version_of(root)
    if not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc|\.dev)\d+)?", version):
        return [f"src/dimec/__about__.py: expected a version such as 0.2.0, got {version!r}"]
    chart = (root / "deploy" / "chart" / "Chart.yaml").read_text("utf-8")
    cited = (root / "CITATION.cff").read_text("utf-8")
    web = json.loads((root / "web" / "package.json").read_text("utf-8"))["version"]
    named = {
        "CITATION.cff": _of_line("version", cited),
        "deploy/chart/Chart.yaml, appVersion": _of_line("appVersion", chart),
        "web/package.json": str(web),
    }
    wrong = [
        f"{where} names {other!r} and src/dimec/__about__.py {version!r}; make them the same"
        for where, other in named.items()
        if other != version
    ]
    changelog = (root / "CHANGELOG.md").read_text("utf-8")
    return wrong + check_changelog(changelog, version, released=released)


def _of_line(key: str, text: str) -> str:
    found = re.search(rf"^{key}: (.*)$", text, re.MULTILINE)
    return found[1].strip().strip("\"'") if found else ""


def check_changelog(text: str, version: str, *, released: bool) -> list[str]:
    """Whether the changelog has a section for what is released, which says what to do.

    Args:
        text: of the changelog.
        version: that is released.
        released: whether the section must name the version and a date; else ``[Unreleased]`` does.
    """
    heading = rf"## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d" if released else r"## \[[^\n]*"
    found = re.search(rf"^({heading})$\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        return [f"CHANGELOG.md has no section '## [{version}] - YYYY-MM-DD'; rename [Unreleased]"]
    todo = re.search(rf"^{MUST}$\n(.*?)(?=^### |\Z)", found[2], re.MULTILINE | re.DOTALL)
    if todo is None or not todo[1].strip():
        return [
            f"CHANGELOG.md, {found[1]}: expected a part '{MUST}' with what a user must do, or "
            "'Nothing.'"
        ]
    return []


def check_wheel(wheel: Path, root: Path) -> list[str]:
    """Whether a wheel holds the package, whole and alone, with licences and the web's files."""
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        told = HeaderParser().parsestr(opened.read(metadata).decode("utf-8"))
    home = metadata.removesuffix("METADATA")
    wrong = _leaks(wheel, names)
    strange = sorted(name for name in names if not name.startswith(("dimec/", home)))
    wrong += [f"{wheel.name} holds {name}, which is no part of the package" for name in strange[:3]]
    source = root / "src"
    wanted = [
        path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    needed = {path.relative_to(source).as_posix() for path in wanted}
    needed |= {f"{home}licenses/{name}" for name in _LICENCES}
    vendor = json.loads((root / "web" / "vendor.json").read_text("utf-8"))["files"]
    needed |= {f"dimec/web/assets/{name}" for name in (*vendor, "vendor.json")}
    wrong += _lacks(wheel, needed - names)
    extras = set(told.get_all("Provides-Extra", ()))
    known = set(project_of(root)["optional-dependencies"])  # type: ignore[call-overload]
    if extras != known:
        wrong.append(
            f"{wheel.name} has the extras {sorted(extras)}, pyproject.toml {sorted(known)}"
        )
    if told["Version"] != version_of(root):
        wrong.append(f"{wheel.name} is of the version {told['Version']}")
    return wrong


def check_archive(archive: Path, root: Path) -> list[str]:
    """Whether a source archive holds what builds and tests it, and nothing of this machine."""
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    needed = {*_LICENCES, "CHANGELOG.md", "README.md", "pyproject.toml", "web/vendor.json"}
    for folder in ("src", "tests", "tools", "examples"):
        needed |= {path.relative_to(root).as_posix() for path in (root / folder).rglob("*.py")}
    return _leaks(archive, names) + _lacks(archive, needed - names)


def _leaks(archive: Path, names: Iterable[str]) -> list[str]:
    found = sorted(name for name in names if _NEVER.search(name))
    wrong = [f"{archive.name} holds {name}, which belongs to this machine" for name in found[:3]]
    if (size := archive.stat().st_size) > LARGEST:
        wrong.append(f"{archive.name} has {size:,} bytes; at most {LARGEST:,} are wanted")
    return wrong


def _lacks(archive: Path, names: Iterable[str]) -> list[str]:
    missing = sorted(names)
    more = f", and {len(missing) - 3} files more" if len(missing) > 3 else ""
    return [f"{archive.name} lacks {', '.join(missing[:3])}{more}"] if missing else []
