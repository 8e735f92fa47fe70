"""Figures draw the stored numbers; the same numbers give the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.colors import to_hex

from dimec.report.bars import stacked_bars
from dimec.report.style import COLOURS, Drawing, drawing_style
from dimec_studies.figures import (
    draw_curves,
    draw_exits,
    draw_maps,
    draw_shares,
    draw_tsne,
    mean_curve,
)
from dimec_studies.panels import (
    grid_of_axes,
    interval_rows,
    legend,
    panel_grid,
    root_scale,
    scatter_pools,
)
from dimec_studies.study_figures import draw_raters, draw_selections, draw_streams
from support.stored_results import (
    COSTS,
    DOMAINS,
    TASKS,
    cartography_result,
    fig1_result,
    fig3_result,
    fig4_result,
    fig5_result,
    robustness_result,
)

DEFAULTS = {"mobile_layer": 1.5, "cloud_charge": None}

DRAW: dict[str, Callable[[], Drawing]] = {
    "maps": lambda: draw_maps("a-maps", fig1_result()["maps"]),
    "shares": lambda: draw_shares("a-shares", fig3_result()["shares"]),
    "exits": lambda: draw_exits("a-exits", fig4_result()["exits"]),
    "tsne": lambda: draw_tsne("a-tsne", fig4_result()["tsne"]),
    "curves": lambda: draw_curves("a-curves", fig5_result()["curves"], DEFAULTS),
    "streams": lambda: draw_streams("a-streams", robustness_result()["cells"]),
    "raters": lambda: draw_raters("a-raters", robustness_result()["raters"]),
    "selections": lambda: draw_selections("a-selections", cartography_result()["rows"]),
}


@pytest.mark.parametrize("name", DRAW)
def test_every_figure_is_sound_svg_and_the_same_twice(name: str) -> None:
    one, other = DRAW[name](), DRAW[name]()
    assert one.svg == other.svg
    assert ElementTree.fromstring(one.svg).tag.endswith("svg")
    assert "NaN" not in one.svg
    assert len(one.svg) < 300_000
    assert one.description
    assert one.caption


def _text(drawing: Drawing) -> str:
    return " ".join("".join(e.itertext()) for e in ElementTree.fromstring(drawing.svg).iter())


def test_a_maps_data_are_its_points() -> None:
    maps = fig1_result()["maps"]
    drawing = draw_maps("m", maps)
    columns = drawing.series.columns
    for key in ("confidence", "variance", "pools"):
        assert list(columns[key]) == [figure for one in maps for figure in one[key]]
    for words in ("SST-2, paper: α = 0.6, β = 0.05", "SST-2, quantile: α = 0.6, β = 0.0123"):
        assert words in _text(drawing)


def test_points_stand_where_their_values_are_in_the_colour_of_their_pool() -> None:
    x, y = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.9, 0.8, 0.7, 0.6])
    with drawing_style("t"):
        _, grid = grid_of_axes(1, 1, 3, 3)
        scatter_pools(grid[0][0], x, y, np.array([2, 0, 2, 1]))
        clouds: list[Any] = list(grid[0][0].collections)
        found = {
            tuple(point): to_hex(one.get_facecolor()[0])
            for one in clouds
            for point in np.asarray(one.get_offsets()).tolist()
        }
    codes = {(0.1, 0.9): 2, (0.2, 0.8): 0, (0.3, 0.7): 2, (0.4, 0.6): 1}
    assert found == {point: COLOURS[code].lower() for point, code in codes.items()}


def test_bars_are_as_long_as_the_shares_and_start_where_the_last_ended() -> None:
    shares = np.array([[0.5, 0.03, 0.47], [0.0, 0.0, 1.0]])
    with drawing_style("t"):
        _, grid = grid_of_axes(1, 1, 3, 3)
        stacked_bars(grid[0][0], ["a", "b"], shares)
        bars: list[Any] = list(grid[0][0].patches)
        np.testing.assert_allclose([b.get_width() for b in bars], shares.ravel())
        np.testing.assert_allclose([b.get_x() for b in bars], [0, 0.5, 0.53, 0, 0, 0])
        assert [t.get_text() for t in grid[0][0].texts] == ["50 %", "47 %", "100 %"]


def test_intervals_reach_from_low_to_high() -> None:
    told = [{"mean": 0.1, "low": -0.2, "high": 0.4}, {"mean": 0.0, "low": 0.0, "high": 0.0}]
    with drawing_style("t"):
        _, grid = grid_of_axes(1, 1, 3, 3)
        interval_rows(grid[0][0], told, scale=100, shift=0.25)
        lines: Any = grid[0][0].collections[0]
        np.testing.assert_allclose(
            lines.get_segments(),
            [[[-20, 0.25], [40, 0.25]], [[0, 1.25], [0, 1.25]]],
        )
        points = grid[0][0].lines[0]
        np.testing.assert_allclose(np.asarray(points.get_xdata(), float), [10, 0])
        np.testing.assert_allclose(np.asarray(points.get_ydata(), float), [0.25, 1.25])


def test_a_variance_of_0_has_a_place_on_the_root_scale() -> None:
    with drawing_style("t"):
        _, grid = grid_of_axes(1, 1, 3, 3)
        root_scale(grid[0][0], 1e-6)
        assert grid[0][0].get_xlim() == (0, 1e-6)


@pytest.mark.parametrize(("panels", "shape"), [(1, (1, 1)), (2, (1, 2)), (3, (1, 3)), (4, (2, 3))])
def test_panels_stand_three_a_row_at_most(panels: int, shape: tuple[int, int]) -> None:
    with drawing_style("t"):
        figure, axes = panel_grid(panels, 3, 2)
        assert len(axes) == panels
        assert len(figure.axes) == shape[0] * shape[1]
        assert [a.get_visible() for a in figure.axes].count(True) == panels
        width, height = figure.get_size_inches()
        assert (width, height) == pytest.approx((3 * shape[1], 2 * shape[0] + 0.4))


def test_a_legend_lies_within_its_figure() -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    names = ["confidence", "variance", "pool (easy, medium, hard)", "the mobile's own confidence"]
    with drawing_style("t"):
        figure, _ = grid_of_axes(1, 1, 6.4, 3)
        legend(figure, names, ["#000000"] * 4, ["o"] * 4)
        canvas: Any = FigureCanvasAgg(figure)
        canvas.draw()
        box = figure.legends[0].get_window_extent(canvas.get_renderer())
        assert box.x1 <= figure.bbox.x1


def test_shares_are_means_over_the_seeds() -> None:
    columns = draw_shares("s", fig3_result()["shares"]).series.columns
    assert list(columns["of"])[:2] == ["SST-2, paper", "SST-2, quantile"]
    np.testing.assert_allclose(columns["easy"], [0.51, 0.51, 0.52, 0.52, 0.53, 0.53])
    one_grid = [entry for entry in fig3_result()["shares"] if entry["grid"] == "paper"]
    assert draw_shares("s", one_grid).series.columns["of"] == ["SST-2", "CoLA", "MRPC"]


def test_exits_and_routers_are_means_over_the_seeds() -> None:
    drawing = draw_exits("e", fig4_result()["exits"])
    columns = drawing.series.columns
    assert columns["task"] == ["SST-2", "CoLA", "MRPC"]
    np.testing.assert_allclose(list(columns["mobile"]), [0.703, 0.713, 0.723])
    np.testing.assert_allclose(list(columns["cloud"]), [0.812, 0.832, 0.852])
    np.testing.assert_allclose(list(columns["dimec-adaptive-quantile"]), [0.785, 0.795, 0.805])
    assert "mobile alone 70.3 %" in drawing.description


def test_a_router_without_a_figure_has_no_mark() -> None:
    exits = fig4_result()["exits"]
    for entry in exits[:2]:
        entry["policies"].pop("dimec-fixed-quantile")
    drawing = draw_exits("e", exits)
    assert drawing.series.columns["dimec-fixed-quantile"][0] is None
    assert "SST-2: mobile alone 70.3 %, edge alone 75.3 %, cloud alone 81.2 %, Ours-D" in (
        drawing.description
    )


def test_curves_are_means_at_the_values_that_every_seed_has() -> None:
    group = [
        {"points": [{"value": v, "accuracy": v / 10, "reduction": 0.5} for v in (3, 1, 2)]},
        {"points": [{"value": v, "accuracy": 0.5, "reduction": v / 10} for v in (1, 3)]},
    ]
    values, accuracy, reduction = mean_curve(group)
    assert values == [1, 3]
    np.testing.assert_allclose(accuracy, [0.3, 0.4])
    np.testing.assert_allclose(reduction, [0.3, 0.4])


def test_every_cost_has_a_column_and_every_task_a_line() -> None:
    drawing = draw_curves("c", fig5_result()["curves"], DEFAULTS)
    columns = drawing.series.columns
    seen = set(zip(columns["cost"], columns["task"], strict=True))
    assert seen == {(cost, task) for cost in COSTS for task in TASKS}
    assert len(columns["value"]) == len(columns["accuracy"]) == 4 * len(seen)
    words = _text(drawing)
    for told in ("λ_m,", "a layer at the edge", "o_c,", "γ,", "accuracy (%)", "MRPC"):
        assert told in words


def test_the_streams_data_are_the_stored_differences() -> None:
    cells = robustness_result()["cells"]
    columns = draw_streams("s", cells).series.columns
    for key in ("accuracy", "cost"):
        for end in ("mean", "low", "high"):
            stored = [cell["adaptive_minus_fixed"][key][end] for cell in cells]
            assert list(columns[f"{key}_{end}"]) == stored


def test_raters_and_selections_keep_every_domain() -> None:
    raters = draw_raters("r", robustness_result()["raters"])
    assert raters.series.columns["domain"] == list(DOMAINS)
    np.testing.assert_allclose(
        list(raters.series.columns["spearman_confidence"]), [-0.29, -0.28, -0.27]
    )
    rows = cartography_result()["rows"]
    columns = draw_selections("c", rows).series.columns
    assert sorted(columns["accuracy"]) == sorted(
        [row["accuracy"] for row in rows]
        + [other["accuracy"] for row in rows for other in row["others"].values()]
    )
