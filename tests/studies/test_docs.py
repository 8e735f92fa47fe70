"""One command puts every stored result into the pages that have a place for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dimec.base.errors import CorruptArtefactError, MissingArtefactError
from dimec_studies.docs import all_tables, fill_pages, with_tables, write_docs
from support.stored_results import store, table_result

REPORT = {
    "date": "2026-01-02",
    "benchmarks": {
        "x": {
            "figures": [
                {"name": "a: b", "value": 0.5, "low": 0.4, "high": 0.6, "unit": "s", "goal": None}
            ]
        }
    },
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A store of a table and a benchmark, and pages with places for it and for something else."""
    store(tmp_path / "results" / "studies", table_result())
    (tmp_path / "results" / "benchmarks").mkdir()
    (tmp_path / "results" / "benchmarks" / "one.json").write_text(json.dumps(REPORT))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("A\n<!-- table: bench-x -->\nold\n<!-- end -->\n")
    (tmp_path / "docs" / "b.md").write_text("B\n<!-- table: other -->\nkept\n<!-- end -->\n")
    (tmp_path / "README.md").write_text("C\n")
    return tmp_path


def test_a_table_replaces_what_stands_between_its_markers() -> None:
    text = "before\n<!-- table: a -->\nold\n<!-- end -->\nafter"
    once = with_tables(text, {"a": "NEW"})
    assert once == "before\n<!-- table: a -->\n\nNEW\n\n<!-- end -->\nafter"
    assert with_tables(once, {"a": "NEW"}) == once


def test_a_place_whose_table_is_not_stored_stays_as_it_is() -> None:
    text = "<!-- table: a -->\nold\n<!-- end --> <!-- table: b -->\nold\n<!-- end -->"
    assert with_tables(text, {}) == text
    assert with_tables(text, {"b": "NEW"}).startswith("<!-- table: a -->\nold\n<!-- end -->")


def test_the_page_and_the_tables_are_written_and_no_other_file(tree: Path) -> None:
    written = write_docs(tree / "results", tree / "docs")
    assert {path.relative_to(tree).as_posix() for path in written} == {
        "docs/reproduction.md",
        "docs/a.md",
    }
    assert "| a | 500 ms |" in (tree / "docs" / "a.md").read_text("utf-8")
    assert "kept" in (tree / "docs" / "b.md").read_text("utf-8")
    before = {path: path.read_bytes() for path in written}
    assert write_docs(tree / "results", tree / "docs") == written
    assert {path: path.read_bytes() for path in written} == before


def test_a_readme_beside_the_docs_is_filled_too(tree: Path) -> None:
    (tree / "README.md").write_text("<!-- table: bench-x-goals -->\n<!-- end -->")
    assert tree / "README.md" in fill_pages(tree / "docs", all_tables(tree / "results"))


def test_the_tables_of_the_scenarios_need_no_stored_result(tree: Path) -> None:
    (tree / "docs" / "c.md").write_text("<!-- table: crossings -->\nold\n<!-- end -->")
    assert tree / "docs" / "c.md" in write_docs(tree / "results", tree / "docs")
    assert "| phone-wifi | 115 | 1 | 1 | 1 |" in (tree / "docs" / "c.md").read_text("utf-8")
    assert "crossings" in all_tables(tree / "nothing")


def test_an_empty_store_is_an_error_with_the_command_that_fills_it(tmp_path: Path) -> None:
    with pytest.raises(MissingArtefactError, match="dimec reproduce table1"):
        write_docs(tmp_path / "results", tmp_path / "docs")


def test_a_damaged_ledger_is_named_with_the_command_that_makes_it(tree: Path) -> None:
    folder = tree / "results" / "studies" / "movies"
    folder.mkdir()
    (folder / "ledger.json").write_text('{"runs": [{"task": "x"}]}')
    with pytest.raises(CorruptArtefactError, match=r"ledger\.json .*ledger --profile movies"):
        all_tables(tree / "results")
