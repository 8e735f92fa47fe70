"""All that the documentation has of results: one page, its figures, and tables in others.

The store is a folder with ``studies/PROFILE/ITEM.json`` and ``benchmarks/*.json``. A table stands
between the lines ``<!-- table: NAME -->`` and ``<!-- end -->``: NAME is that of a profile whose
``ledger`` is stored, ``bench-NAME`` for the figures of a benchmark, ``bench-NAME-goals``, or one of
those that the packaged scenarios give (:mod:`dimec_studies.scenario_tables`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from dimec.base.errors import CorruptArtefactError, MissingArtefactError
from dimec.base.storage import atomic_write, read_json
from dimec_studies.benchmark_tables import benchmark_tables
from dimec_studies.ledger_tables import ledger_tables
from dimec_studies.rendering import render
from dimec_studies.scenario_tables import scenario_tables

STUDIES, BENCHMARKS = "studies", "benchmarks"  # folders of the store

_TABLE = re.compile(r"<!-- table: ([\w-]+) -->.*?<!-- end -->", re.DOTALL)


def write_docs(results: Path, docs: Path) -> list[Path]:
    """Write all of it anew; the same results give the same bytes.

    Args:
        results: the store.
        docs: folder of the pages; ``README.md`` lies beside it.

    Returns:
        The paths written.

    Raises:
        MissingArtefactError: nothing is stored there.
        CorruptArtefactError: a result is not what its name says.
        StorageError: the disk is full or refuses to write.
    """
    stored = stored_tables(results)
    try:
        paths = render(results / STUDIES, docs)
    except MissingArtefactError:
        if not stored:
            raise
        paths = []
    return paths + fill_pages(docs, stored | scenario_tables())


def all_tables(results: Path) -> dict[str, str]:
    """Every table of the pages, by its name."""
    return stored_tables(results) | scenario_tables()


def stored_tables(results: Path) -> dict[str, str]:
    """The table of every stored ledger and benchmark, by its name."""
    tables = {}
    for path in sorted((results / STUDIES).glob("*/ledger.json")):
        again = f"dimec reproduce ledger --profile {path.parent.name}"
        result = read_json(path, again)
        try:
            tables[path.parent.name] = ledger_tables(result)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise CorruptArtefactError(
                f"{path} is no result of ledger ({type(error).__name__}: {error}); make it again "
                f"with: {again}"
            ) from error
    return tables | benchmark_tables(results / BENCHMARKS)


def fill_pages(docs: Path, tables: Mapping[str, str]) -> list[Path]:
    """Put the tables into the pages that have a place for them; returns these pages."""
    filled = []
    for path in (docs.parent / "README.md", *sorted(docs.glob("*.md"))):
        if path.is_file():
            text = path.read_text("utf-8")
            if tables.keys() & set(_TABLE.findall(text)):
                atomic_write(path, with_tables(text, tables))
                filled.append(path)
    return filled


def with_tables(text: str, tables: Mapping[str, str]) -> str:
    """``text`` with the tables at their places; a place whose table is not there stays as it is."""

    def replaced(match: re.Match[str]) -> str:
        if match[1] not in tables:
            return match[0]
        return f"<!-- table: {match[1]} -->\n\n{tables[match[1]]}\n\n<!-- end -->"

    return _TABLE.sub(replaced, text)
