"""Figures: what they draw, and their data."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from dimec.evaluation.ledger import Ledger
from dimec.report import PooledInputs
from dimec.report.exit_accuracy import draw_exits
from dimec.report.figures import draw_all, draw_data_map, draw_shares, draw_tsne
from dimec.report.policy_plane import draw_policy_plane, policy_points
from dimec.report.series import (
    data_map_series,
    exit_series,
    policy_series,
    share_series,
    tsne_series,
)
from dimec.report.style import Series, inline_svg

MakeInputs = Callable[..., PooledInputs]


def _read(series: Series) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(series.to_csv())))


def test_the_data_maps_csv_holds_every_digit(make_inputs: MakeInputs) -> None:
    inputs = make_inputs()
    records = _read(data_map_series(inputs.data_map, inputs.pools))
    for name in ("confidence", "variance", "std", "correctness"):
        told = np.array([float(record[name]) for record in records])
        assert told.tobytes() == getattr(inputs.data_map, name).tobytes()
    names = ("easy", "medium", "hard")
    assert [names.index(record["pool"]) for record in records] == inputs.pools.tolist()


def test_the_policies_csv_is_the_ledger(ledger: Ledger) -> None:
    records = _read(policy_series(ledger))
    told = [
        {
            key: value if key == "policy" else float(value) if value else None
            for key, value in record.items()
        }
        for record in records
    ]
    rows = [{k: v for k, v in row.items() if k != "shares"} for row in ledger.to_dicts()]
    assert told == rows


def test_shares_are_those_of_the_pools_and_of_each_router(
    ledger: Ledger, make_inputs: MakeInputs
) -> None:
    pools = np.array([0, 0, 0, 2])
    records = _read(share_series(ledger, pools))
    assert [float(record["share"]) for record in records] == [0.75, 0, 0.25, 0.61, 0.09, 0.3]
    assert {record["of"] for record in records} == {"pools (validation)", "dimec-fixed (test)"}


def test_exits_name_all_tiers_that_stop_there() -> None:
    series = exit_series({"": {6: 0.9, 2: 0.8, 3: 0.85}}, (2, 2, 6))
    assert _read(series) == [
        {"exit": "2", "tier": "mobile+edge", "accuracy": "0.8"},
        {"exit": "3", "tier": "", "accuracy": "0.85"},
        {"exit": "6", "tier": "cloud", "accuracy": "0.9"},
    ]


def test_tsne_keeps_the_pool_of_each_sample(make_inputs: MakeInputs) -> None:
    inputs = make_inputs(30)
    records = _read(tsne_series(inputs.embeddings, inputs.pools, 0))
    names = ("easy", "medium", "hard")
    told = {int(record["sample"]): names.index(record["pool"]) for record in records}
    assert told == dict(enumerate(inputs.pools.tolist()))


def test_tsne_of_too_few_samples_says_so(make_inputs: MakeInputs) -> None:
    drawing = draw_tsne(make_inputs(9))
    assert "too few samples: 9, at least 10 are needed" in drawing.svg
    assert "Too few samples" in drawing.caption
    assert drawing.series.to_csv() == "sample,pool,x,y\n"


def test_tsne_says_that_it_shows_a_sample(
    make_inputs: MakeInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dimec.report.projection.MAX_POINTS", 12)
    monkeypatch.setattr("dimec.report.projection.sample_rows.__defaults__", (12,))
    drawing = draw_tsne(make_inputs(30))
    assert len(drawing.series.columns["sample"]) == 12
    assert "12 of 30 validation samples, drawn at random (seed 0" in drawing.caption


def test_the_data_map_draws_both_thresholds_and_tells_an_empty_pool(
    make_inputs: MakeInputs,
) -> None:
    drawing = draw_data_map(make_inputs(beta=0.25))
    assert "α = 0.6" in drawing.svg
    assert "β = 0.25" in drawing.svg
    assert "The medium pool is empty: the edge gets no traffic." in drawing.caption


def test_thousands_of_points_become_one_picture(
    make_inputs: MakeInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = make_inputs(400)
    assert "data:image/png" not in draw_data_map(inputs).svg
    monkeypatch.setattr("dimec.report.figures.RASTER_ABOVE", 399)
    assert "data:image/png" in draw_data_map(inputs).svg


def test_accuracy_per_tier_marks_tiers_and_all_cloud(make_inputs: MakeInputs) -> None:
    drawing = draw_exits(make_inputs())
    for words in ("mobile", "edge", "cloud", "all-cloud", "80.1 %", "91.2 %"):
        assert f">{words}<" in drawing.svg
    assert "exit 4 88.0 %" in drawing.description


def test_shares_too_small_for_a_name_have_none(make_inputs: MakeInputs) -> None:
    svg = draw_shares(make_inputs(pools=np.array([0] * 57 + [1] * 3))).svg
    assert ">95 %<" in svg
    assert ">5 %<" not in svg


def test_bars_lie_round_all_clouds_accuracy_and_cost(ledger: Ledger) -> None:
    names, points, bars = policy_points(ledger)
    k = names.index("dimec-fixed")
    np.testing.assert_allclose(points[k], [5.93, 88.7])
    np.testing.assert_allclose(bars[k], [9 * 0.64, 9 * 0.677, 91.2 - 3.8, 91.2 - 1.2])


def test_every_policy_is_named_in_the_plane(ledger: Ledger) -> None:
    svg = draw_policy_plane(ledger).svg
    assert all(f">{row.policy}<" in svg for row in ledger.rows)


def test_policies_without_a_place_are_left_out(
    ledger: Ledger, change_row: Callable[..., Ledger]
) -> None:
    nan = float("nan")
    changed = change_row(ledger, "oracle", cost=nan)
    changed = change_row(changed, "random", drop_low=nan, drop_high=nan)
    names, points, bars = policy_points(changed)
    assert "oracle" not in names
    assert np.isfinite(points).all()
    assert np.isfinite(bars).all()


@pytest.mark.parametrize(("count", "code"), [(1, 0), (2, 1), (3, 2), (12, 0)])
def test_degenerate_runs_are_drawn(
    ledger: Ledger, make_inputs: MakeInputs, count: int, code: int
) -> None:
    nothing = np.zeros(count)
    nan = float("nan")
    rows = tuple(
        replace(row, accuracy=0.5, cost=3.0, reduction=0.0, drop_low=nan, drop_high=nan)
        for row in ledger.rows
    )
    inputs = make_inputs(count)
    inputs = replace(
        inputs,
        ledger=replace(ledger, rows=rows, context={}),
        data_map=replace(inputs.data_map, confidence=nothing, variance=nothing),
        pools=np.full(count, code),
        alpha=0.0,
        beta=0.0,
        embeddings=np.zeros((count, 3), dtype=np.float32),
        exit_accuracy={"": {2: 0.5}},
        tiers=(2, 2, 2),
    )
    for drawing in draw_all(inputs, lambda words: None):
        ElementTree.fromstring(drawing.svg)


def test_an_empty_ledger_is_drawn() -> None:
    ElementTree.fromstring(draw_policy_plane(Ledger((), "accuracy", {})).svg)


def test_svg_has_no_date_and_inline_ids_carry_the_figures_name(make_inputs: MakeInputs) -> None:
    drawing = draw_exits(make_inputs())
    assert "<metadata" not in drawing.svg
    assert "dc:date" not in drawing.svg
    element = ElementTree.fromstring(inline_svg(drawing))
    ids = [node.get("id") for node in element.iter() if node.get("id")]
    assert ids
    assert all(name is not None and name.startswith("tiers-") for name in ids)
    link = "{http://www.w3.org/1999/xlink}href"
    links = [node.get(link) for node in element.iter() if node.get(link)]
    assert links
    assert all(target is not None and target[1:] in ids for target in links)


def test_drawing_leaves_matplotlibs_settings_as_they_were(make_inputs: MakeInputs) -> None:
    import matplotlib as mpl

    with mpl.rc_context({"font.size": 33.0, "lines.linewidth": 9.0}):
        first = draw_shares(make_inputs()).svg
        assert mpl.rcParams["font.size"] == 33.0
    assert draw_shares(make_inputs()).svg == first


def test_a_dollar_sign_in_a_name_is_written_as_it_is(
    ledger: Ledger, change_row: Callable[..., Ledger]
) -> None:
    assert ">a$b$c<" in draw_policy_plane(change_row(ledger, "oracle", policy="a$b$c")).svg
