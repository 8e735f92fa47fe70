"""CITATION.cff agrees with the package about the software, and with the README about the paper."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import dimec

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def citation() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    return loaded


def test_it_has_the_fields_that_the_format_asks_for(citation: dict[str, Any]) -> None:
    assert citation["cff-version"] == "1.2.0"
    for work in (citation, citation["preferred-citation"]):
        assert work["type"]
        assert work["title"]
        assert work["authors"]
    assert citation["message"]


def test_the_software_is_the_package(citation: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert citation["title"] == project["name"]
    assert citation["version"] == dimec.__version__
    assert citation["license"] == project["license"]
    assert citation["abstract"] == project["description"]
    assert citation["keywords"] == project["keywords"]
    assert citation["authors"] == project["authors"]


def test_the_paper_is_the_one_of_the_readme(citation: dict[str, Any]) -> None:
    said = " ".join((ROOT / "README.md").read_text("utf-8").split())
    paper = citation["preferred-citation"]
    names = [author["family-names"] for author in paper["authors"]]
    assert f"{' and '.join(names)}, *{paper['title']}*" in said
