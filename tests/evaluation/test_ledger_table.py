"""Ledgers as tables of Arrow, pandas and Parquet, and back."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import CorruptArtefactError, DataError, MissingArtefactError
from dimec.base.tables import with_metadata
from dimec.evaluation.ledger import Ledger, LedgerRow
from dimec.evaluation.ledger_table import FIGURES, KEY

_FIGURE = st.floats(-2, 2)
_CONTEXT = {"task": "glue/sst2", "exits": [2, 6], "versions": {"dimec": "1"}, "lam": None}


@st.composite
def ledgers(draw: st.DrawFn) -> Ledger:
    paper, own = ("mobile", "edge", "cloud"), ("phone", "dc", "größer")
    tiers = draw(st.sampled_from((paper, own, paper[:1] + own[1:])))
    rows = []
    for name in draw(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=5)):
        figures: dict[str, Any] = {one: draw(_FIGURE) for one in FIGURES if one != "policy"}
        if draw(st.booleans()):
            figures |= dict.fromkeys(("gain", "gain_low", "gain_high"))
        shares = {tier: draw(st.floats(0, 1)) for tier in tiers}
        paper_ = {f"share_{tier}": shares[tier] for tier in tiers if tier in paper}
        rows.append(LedgerRow(policy=name, **figures, **paper_, shares=shares))
    return Ledger(tuple(rows), draw(st.sampled_from(("accuracy", "f1"))), _CONTEXT)


@given(ledgers())
def test_a_table_becomes_the_same_ledger(ledger: Ledger) -> None:
    assert Ledger.from_arrow(ledger.to_arrow()) == ledger
    again = Ledger.from_arrow(ledger.to_pandas())
    assert again == ledger
    assert again.tiers == ledger.tiers


@given(ledgers())
def test_a_row_has_every_figure_with_its_interval(ledger: Ledger) -> None:
    frame = ledger.to_pandas()
    assert list(frame) == [*FIGURES, *(f"share_{tier}" for tier in ledger.tiers)]
    told = {field.name for field in fields(LedgerRow)} - {"shares"}
    assert told - set(frame) <= {"share_mobile", "share_edge", "share_cloud"}
    for (_, cells), row in zip(frame.iterrows(), ledger.rows, strict=True):
        for name in FIGURES:
            value = getattr(row, name)
            assert math.isnan(cells[name]) if value is None else cells[name] == value


def test_files_hold_it_whole(tmp_path: Path) -> None:
    figures = dict.fromkeys((name for name in FIGURES if name != "policy"), 0.5)
    rows = tuple(LedgerRow(policy=name, **figures, shares={"a": 1.0}) for name in ("x", "y"))
    ledger = Ledger(rows, "accuracy", _CONTEXT)
    for name in ("a.parquet", "a.arrow"):
        ledger.to_parquet(tmp_path / name)
        assert Ledger.from_parquet(tmp_path / name) == ledger
    kept = Ledger.from_arrow(ledger.to_pandas().query("policy == 'y'"))
    assert [row.policy for row in kept.rows] == ["y"]
    with pytest.raises(MissingArtefactError, match="make it with: dimec evaluate --ledger"):
        Ledger.from_parquet(tmp_path / "b.parquet")
    table = ledger.to_arrow()
    for source, message in (
        (pyarrow.table({"a": [1]}), "got one without 'dimec.ledger' in its metadata"),
        (table.drop_columns(["drop_low"]), "with the column 'drop_low', got one without"),
        ("x", "expected a ledger as a table of Arrow or pandas, got str"),
    ):
        with pytest.raises(DataError, match=message):
            Ledger.from_arrow(source)
    for said in ({}, {"version": 1, "tiers": [1], "metric_name": "a", "context": {}}):
        with pytest.raises(CorruptArtefactError):
            Ledger.from_arrow(with_metadata(table, KEY, said))
