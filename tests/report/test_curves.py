"""Curves in the report: the table of savings, the lines of the figure and their data."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from dimec.base.errors import CorruptArtefactError
from dimec.contract.promise import Calibrated, Promise
from dimec.evaluation.curves import Curve, CurvePoint, Curves
from dimec.evaluation.ledger import Ledger
from dimec.report import PooledInputs, write_report
from dimec.report.curve_lines import curve_lines
from dimec.report.curves import (
    contract_lines,
    contract_sentence,
    saving_columns,
    saving_html,
    saving_note,
    saving_title,
)
from dimec.report.policy_plane import draw_policy_plane

MakeInputs = Callable[..., PooledInputs]
CALIBRATED = Calibrated(500, True, 0.001, 0.0049, 0.02, 0.03, 6.0, 6.2, 0.3)
PROMISE = Promise(0.5, None, None, 0.95, "exact", CALIBRATED, 500, "validation", 24, 7)


def point(cost: float, accuracy: float, validation_drop: float, **others: Any) -> CurvePoint:
    """Against all-cloud of the ledger: 9 λ and 91.2 %. The same saving on both splits."""
    drop, reduction = 0.912 - accuracy, 1 - cost / 9
    bounds: dict[str, Any] = {"drop_low": drop - 0.01, "drop_high": drop + 0.012}
    return CurvePoint(
        accuracy=accuracy,
        cost=cost,
        drop=drop,
        **bounds,
        reduction=reduction,
        reduction_low=reduction - 0.02,
        reduction_high=reduction + 0.03,
        validation_drop=validation_drop,
        validation_reduction=reduction,
        **others,
    )


@pytest.fixture
def curves() -> Curves:
    """The router along λ; a cascade that no row of the ledger has; one that always loses."""
    router = (
        point(7.2, 0.905, 0.001, lam=0.001),
        point(5.4, 0.892, 0.004, lam=0.012345),
        point(4.5, 0.88, 0.02, lam=0.1),
    )
    patience = (point(6.0, 0.9, 0.0, settings={"patience": 2, "other": 1}),)
    lossy = (point(4.0, 0.8, 0.1, settings={"threshold": 0.5}),)
    tiers = (point(3.0, 0.801, 0.111), point(5.5, 0.843, 0.069), point(9.0, 0.912, 0.0))
    found = (
        Curve("dimec-fixed", "dimec-fixed", "lambda", router),
        Curve("pabee", "PABEE", "patience", patience),
        Curve("deebert", "DeeBERT", "threshold", lossy),
    )
    return Curves(found, tiers, point(4.1, 0.962, -0.05), draws=10, seed=0)


class TestTable:
    def test_a_row_a_curve_with_the_test_figures_of_the_chosen_setting(
        self, curves: Curves
    ) -> None:
        columns = saving_columns(curves)
        rows = list(zip(*(one.cells for one in columns), strict=True))
        assert rows[0][:-1] == (
            "dimec-fixed",
            "λ 0.01235",
            "2.00",
            "1.0 to 3.2",
            "40.0",
            "38.0 to 43.0",
        )
        assert rows[1][1] == "patience 2"
        assert rows[2] == ("deebert", "none", "-", "-", "-", "-", "0.0")
        shares = [curves.area_share(curve) for curve in curves.curves]
        assert [row[-1] for row in rows] == [f"{100 * (share or 0):.1f}" for share in shares]

    def test_it_says_that_it_is_no_promise(self, curves: Curves) -> None:
        assert "at most 0.5 points" in saving_title()
        assert "where the drop may be larger: this is no promise" in saving_note(curves)

    def test_one_tier_has_no_area(self, curves: Curves) -> None:
        alone = replace(curves, tiers=curves.tiers[-1:])
        assert set(saving_columns(alone)[-1].cells) == {"-"}
        assert "There is one tier" in saving_note(alone)

    def test_names_are_escaped_on_the_page(self, curves: Curves) -> None:
        evil = replace(curves.curves[0], policy="<script>")
        html = saving_html(replace(curves, curves=(evil,)))
        assert "&lt;script&gt;" in html
        assert "<script" not in html


class TestPage:
    def test_it_has_the_table_and_says_how_the_lines_came_to_be(
        self, make_inputs: MakeInputs, curves: Curves, tmp_path: Path
    ) -> None:
        page = write_report(make_inputs(12, curves=curves), tmp_path).read_text("utf-8")
        assert saving_html(curves) in page
        assert "each setting is fitted on the validation split and replayed on the test" in page

    def test_without_curves_it_has_neither(self, make_inputs: MakeInputs, tmp_path: Path) -> None:
        page = write_report(make_inputs(12), tmp_path).read_text("utf-8")
        assert "curves" not in page
        assert "along its knob" not in page

    def test_where_no_policy_has_a_knob_there_is_no_table(
        self, make_inputs: MakeInputs, curves: Curves, tmp_path: Path
    ) -> None:
        none = replace(curves, curves=())
        page = write_report(make_inputs(12, curves=none), tmp_path).read_text("utf-8")
        assert 'id="curves"' not in page


class TestFigure:
    def test_every_curve_is_a_line_that_is_told_apart(self, ledger: Ledger, curves: Curves) -> None:
        lines = curve_lines(ledger, curves)
        assert list(lines) == ["dimec-fixed", "pabee", "deebert"]
        assert len(set(lines.values())) == 3
        svg = draw_policy_plane(ledger, curves).svg
        ElementTree.fromstring(svg)
        assert all(line.colour.lower() in svg.lower() for line in lines.values())

    def test_so_are_more_curves_than_there_are_colours(
        self, ledger: Ledger, curves: Curves
    ) -> None:
        many = [replace(curves.curves[1], policy=f"system-{k}") for k in range(25)]
        lines = curve_lines(ledger, replace(curves, curves=tuple(many)))
        assert len(set(lines.values())) == 25

    def test_a_curve_without_a_row_is_named_too(self, ledger: Ledger, curves: Curves) -> None:
        svg = draw_policy_plane(ledger, curves).svg
        for name in ("dimec-fixed", "pabee", "deebert", "oracle"):
            assert svg.count(f">{name}<") == 1

    def test_without_curves_nothing_changes(self, ledger: Ledger, curves: Curves) -> None:
        drawn, bare = draw_policy_plane(ledger, curves), draw_policy_plane(ledger)
        assert bare.svg == draw_policy_plane(ledger, None).svg
        assert bare.svg != drawn.svg
        assert "knob" not in bare.series.columns

    def test_the_csv_has_the_ledger_and_behind_it_every_point(
        self, ledger: Ledger, curves: Curves
    ) -> None:
        drawn = draw_policy_plane(ledger, curves)
        records = list(csv.DictReader(io.StringIO(drawn.series.to_csv())))
        bare = list(csv.DictReader(io.StringIO(draw_policy_plane(ledger).series.to_csv())))
        rows, points = records[: len(bare)], records[len(bare) :]
        assert [{key: row[key] for key in bare[0]} for row in rows] == bare
        assert {row["knob"] for row in rows} == {""}
        told = [(curve.policy, asdict(point)) for curve in curves.curves for point in curve.points]
        for record, (policy, expected) in zip(points, told, strict=True):
            assert record["policy"] == policy
            for name in ("accuracy", "cost", "drop", "drop_high", "validation_drop"):
                assert float(record[name]) == expected[name]
        assert [record["chosen"] for record in points] == ["0", "1", "0", "1", "0"]
        assert points[0]["knob"] == "λ 0.001"


def under(ledger: Ledger, **terms: float | None) -> Ledger:
    """The ledger of a policy that was accepted for a contract on other terms."""
    none: dict[str, Any] = dict.fromkeys(("max_accuracy_drop", "max_disagreement", "max_cost"))
    promise = replace(PROMISE, **(none | terms))
    return replace(ledger, context={**ledger.context, "contract": promise.to_json()})


class TestContract:
    def test_a_drop_and_a_disagreement_bound_the_accuracy_and_a_cost_the_cost(
        self, ledger: Ledger
    ) -> None:
        assert contract_lines(ledger) == (None, None)
        for terms, expected in (
            ({"max_accuracy_drop": 0.5}, 0.907),
            ({"max_disagreement": 1}, 0.902),
        ):
            lowest, highest = contract_lines(under(ledger, **terms))
            assert lowest == pytest.approx(expected)
            assert highest is None
        assert contract_lines(under(ledger, max_cost=5.0)) == (None, 5.0)

    @pytest.mark.parametrize("terms", [{"max_accuracy_drop": 0.5}, {"max_cost": 5.0}])
    def test_it_is_a_line_with_its_name(
        self, ledger: Ledger, curves: Curves, terms: dict[str, float]
    ) -> None:
        for given in (curves, None):
            drawn = draw_policy_plane(under(ledger, **terms), given)
            assert drawn.svg.count(">contract<") == 1
            assert "The dashed line is the contract's bound." in drawn.caption
            assert ">contract<" not in draw_policy_plane(ledger, given).svg

    def test_a_ledger_without_the_reference_has_no_bound(self, ledger: Ledger) -> None:
        bare = replace(under(ledger, max_accuracy_drop=0.5), rows=())
        assert contract_lines(bare) == (None, None)

    def test_the_page_tells_it(
        self, ledger: Ledger, make_inputs: MakeInputs, tmp_path: Path
    ) -> None:
        kept = under(ledger, max_accuracy_drop=0.5)
        told = contract_sentence(kept.context)
        assert "drop at most 0.5 points at 95 % confidence, on 500 calibration rows" in told
        assert told in write_report(make_inputs(12, ledger=kept), tmp_path).read_text("utf-8")
        assert contract_sentence(ledger.context) == ""

    def test_one_that_cannot_be_read_is_refused(self, ledger: Ledger) -> None:
        broken = replace(ledger, context={**ledger.context, "contract": {"max_cost": 3}})
        with pytest.raises(CorruptArtefactError, match="dimec fit"):
            draw_policy_plane(broken)
