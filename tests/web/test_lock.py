"""What web/ is made of: exact versions with hashes, no registry's address, dimec's own version."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from dimec.__about__ import __version__

WEB = Path(__file__).resolve().parents[2] / "web"


def read(name: str) -> dict[str, Any]:
    stored: dict[str, Any] = json.loads((WEB / name).read_text("utf-8"))
    return stored


def test_versions_are_exact_and_those_of_the_lock_file() -> None:
    package, locked = read("package.json"), read("package-lock.json")["packages"]
    wanted = package["dependencies"] | package["devDependencies"]
    assert len(wanted) == 6
    for name, version in wanted.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), name
        assert locked[f"node_modules/{name}"]["version"] == version


def test_every_package_has_its_hash_and_none_an_address() -> None:
    content = (WEB / "package-lock.json").read_text("utf-8")
    assert "resolved" not in content
    assert ".tgz" not in content
    for name, one in read("package-lock.json")["packages"].items():
        assert not name or one["integrity"].startswith("sha512-"), name


def test_it_has_the_version_of_the_whole() -> None:
    assert read("package.json")["version"] == __version__


def test_one_file_alone_names_packages() -> None:
    """A page without an import map, or a worker, has that one rewritten."""
    bare = re.compile(r'^(?:import|export) .*from "(?!\.|node:)', re.MULTILINE)
    sources = sorted((WEB / "src").rglob("*.js"))
    assert len(sources) > 20
    naming = [path.name for path in sources if bare.search(path.read_text("utf-8"))]
    assert naming == ["vendor.js"]


def test_nothing_but_the_folder_loader_needs_node() -> None:
    sources = sorted((WEB / "src").rglob("*.js"))
    needing = [path.name for path in sources if '"node:' in path.read_text("utf-8")]
    assert needing == ["folder_loader.js"]
