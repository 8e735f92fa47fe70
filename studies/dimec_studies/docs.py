"""All that the documentation has of results: one page, its figures, and tables in others.

The store is a folder with ``studies/PROFILE/ITEM.json``, ``exit0/alone.json`` and
``benchmarks/*.json``. A table stands between the lines ``<!-- table: NAME -->`` and
``<!-- end -->``: NAME is that of a profile whose ``ledger`` is stored, ``exit0-alone``,
``bench-NAME`` for the figures of a benchmark, ``bench-NAME-goals``,
``contract-NAME`` of the contract's simulations, ``fleet-NAME`` of the simulated fleet,
``look-NAME`` of the study of policies that look again, which has a figure for each task too,
``tiers-PROFILE-NAME`` of the study of tiers with a model each (``tiers-trial-marks`` beside the
trial's figures), ``beyond-NAME`` of the trace collection, which has a figure, or one of those that
the packaged scenarios give (:mod:`dimec_studies.scenario_tables`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from dimec.base.errors import CorruptArtefactError, MissingArtefactError
from dimec.base.storage import atomic_write, read_json
from dimec_studies import (
    beyond_figures,
    beyond_tables,
    fleets,
    look,
    look_figures,
    own_tiers,
    promises,
)
from dimec_studies.benchmark_tables import benchmark_tables
from dimec_studies.contract_tables import contract_tables
from dimec_studies.contracts import ITEM, PROFILE
from dimec_studies.exit0_table import exit0_table
from dimec_studies.fleet_tables import fleet_tables
from dimec_studies.ledger_tables import ledger_tables
from dimec_studies.plan import LOOK_ITEMS, OWN_ITEMS
from dimec_studies.rendering import render
from dimec_studies.scenario_tables import scenario_tables

T = TypeVar("T")

BEYOND, COLLECTION_PROFILE = "beyond", "small"  # the item, and whose result the page shows
STUDIES, BENCHMARKS, EXIT0 = "studies", "benchmarks", "exit0"  # folders of the store

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
        if not any((results / STUDIES).glob("*/*.json")) and not stored:
            raise
        paths = []
    paths += draw_look(results, docs)
    paths += draw_beyond(results, docs)
    return paths + fill_pages(docs, stored | scenario_tables())


def draw_look(results: Path, docs: Path) -> list[Path]:
    """Draw the curves of every task that policies look again on; returns the paths."""
    path = results / STUDIES / look.PROFILE / "savings.json"
    if not path.is_file():
        return []
    drawings = _made(path, _again_look("savings"), look_figures.draw_all)
    paths = []
    for drawing in drawings:
        paths.append(docs / look_figures.FOLDER / f"{drawing.name}.svg")
        atomic_write(paths[-1], drawing.svg)
    return paths


def draw_beyond(results: Path, docs: Path) -> list[Path]:
    """Draw the curves on the trace collection; returns the path, or none without a result."""
    path = results / STUDIES / COLLECTION_PROFILE / f"{BEYOND}.json"
    if not path.is_file():
        return []
    drawing = _made(path, _again_beyond(), beyond_figures.draw)
    target = docs / beyond_figures.FOLDER / f"{drawing.name}.svg"
    atomic_write(target, drawing.svg)
    return [target]


def _again_beyond() -> str:
    return f"dimec reproduce {BEYOND} --profile {COLLECTION_PROFILE}"


def _again_look(item: str) -> str:
    return f"dimec reproduce {item} --profile {look.PROFILE}"


def all_tables(results: Path) -> dict[str, str]:
    """Every table of the pages, by its name."""
    return stored_tables(results) | scenario_tables()


def stored_tables(results: Path) -> dict[str, str]:
    """The table of every stored ledger, simulation and benchmark, by its name."""
    tables: dict[str, str] = {}
    for path in sorted((results / STUDIES).glob("*/*.json")):
        name, item = path.parent.name, path.stem
        if item == "ledger":
            again = f"dimec reproduce ledger --profile {name}"
            tables[name] = _made(path, again, ledger_tables)
        elif (name, item) == (PROFILE, ITEM):
            tables |= _made(path, f"dimec reproduce {item}", contract_tables)
        elif (name, item) == (PROFILE, fleets.ITEM):
            tables |= _made(path, f"dimec reproduce {item}", fleet_tables)
        elif name == look.PROFILE and item in LOOK_ITEMS:
            tables |= _made(path, _again_look(item), look.tables_of)
        elif item in OWN_ITEMS:
            tables |= _made(path, f"dimec reproduce {item} --profile {name}", own_tiers.tables_of)
        elif (name, item) == (COLLECTION_PROFILE, BEYOND):
            tables |= _made(path, _again_beyond(), beyond_tables.tables_of)
        elif (name, item) == (COLLECTION_PROFILE, promises.ITEM):
            again = f"dimec reproduce {item} --profile {name}"
            tables |= _made(path, again, promises.tables_of)
    alone = results / EXIT0 / "alone.json"
    if alone.is_file():
        tables |= _made(alone, "python -m dimec_studies.exit0", exit0_table)
    return tables | benchmark_tables(results / BENCHMARKS)


def _made(path: Path, again: str, tables: Callable[[Mapping[str, Any]], T]) -> T:
    """What is made of a stored result."""
    result = read_json(path, again)
    try:
        return tables(result)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise CorruptArtefactError(
            f"{path} is no result of {path.stem} ({type(error).__name__}: {error}); make it again "
            f"with: {again}"
        ) from error


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
