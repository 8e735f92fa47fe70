"""What pages say of the packages that dimec's extras bring is what the lock files have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pinned_env import ROOT, pins
from setup_env import count_packages

# Page → the lock file that it names, and the packages of which it gives a version.
PAGES = {
    "phone.md": ("executorch", ["executorch"]),
    "training.md": ("trackers", ["trackio", "MLflow"]),
    "score.md": ("ray", ["Ray"]),
}


def page(name: str) -> str:
    """Its text, as one line, so that it may break anywhere."""
    return " ".join((Path(ROOT) / "docs" / name).read_text("utf-8").split())


def lock(name: str) -> str:
    """The text of a lock file."""
    return (Path(ROOT) / "tools" / f"{name}.lock").read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "of", "package"),
    [(name, of, package) for name, (of, packages) in PAGES.items() for package in packages],
)
def test_a_version_on_a_page_is_the_locked_one(name: str, of: str, package: str) -> None:
    said = re.findall(rf"\b{package}`? (\d+\.\d+)\b", page(name))
    assert said, f"docs/{name} gives no version of {package}"
    assert {pins(lock(of))[package.lower()].rpartition(".")[0]} == set(said)


@pytest.mark.parametrize("name", ["phone.md", "training.md"])
def test_a_page_counts_the_packages_of_the_lock_that_it_names(name: str) -> None:
    of = PAGES[name][0]
    (said,) = re.findall(r"\b(\d+) packages\b", page(name))
    assert f"tools/{of}.lock" in page(name)
    assert int(said) == count_packages(lock(of))
