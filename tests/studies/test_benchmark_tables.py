"""Tables for the documentation come from stored results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.results import BYTES, RATIO, Figure, Result

from dimec_studies.benchmark_tables import benchmark_tables, figures_table, goals_table, newest


def record(*figures: Figure) -> dict[str, Any]:
    return Result(figures).to_dict()


def test_goals_show_range_goal_and_verdict() -> None:
    found = record(
        Figure.of("ours", [0.001, 0.003, 0.002]),
        Figure.of("theirs / ours", [2.0, 1.5, 3.0], RATIO, 1.5, at_least=True),
        Figure.of("memory", [2**21], BYTES, 2**20),
    )
    assert goals_table(found).splitlines() == [
        "| what | figure | goal |  |",
        "|---|---:|---:|---|",
        "| theirs / ours | 2× (1.5× to 3×) | ≥ 1.5× | met |",
        "| memory | 2 MiB | ≤ 1 MiB | missed |",
    ]


def test_figures_stand_in_a_grid_by_their_names() -> None:
    found = record(
        Figure.of("3G, dimec: mean", [0.1]),
        Figure.of("3G, dimec: bytes up", [700.0], BYTES),
        Figure.of("3G, all-mobile: mean", [0.004]),
        Figure.of("alone", [1.0]),
    )
    assert figures_table(found).splitlines() == [
        "|  | mean | bytes up | figure |",
        "|---|---:|---:|---:|",
        "| 3G, dimec | 100 ms | 700 B |  |",
        "| 3G, all-mobile | 4 ms |  |  |",
        "| alone |  |  | 1 s |",
    ]


def test_a_wide_grid_is_turned_on_its_side() -> None:
    found = record(Figure.of("ours: p50", [1.0]), Figure.of("ours: p99", [2.0]))
    assert figures_table(found).splitlines() == [
        "|  | ours |",
        "|---|---:|",
        "| p50 | 1 s |",
        "| p99 | 2 s |",
    ]


def test_the_newest_result_of_each_benchmark_counts(tmp_path: Path) -> None:
    for name, date, benchmarks in (
        ("b.json", "2026-01-02", {"x": record(Figure.of("old", [1.0]))}),
        ("a.json", "2026-03-01", {"x": record(Figure.of("new", [1.0]))}),
        ("c.json", "2026-02-01", {"y": record(Figure.of("other", [1.0]))}),
    ):
        report = {"date": date, "benchmarks": benchmarks}
        (tmp_path / name).write_text(json.dumps(report), "utf-8")
    found = newest(tmp_path)
    assert {name: part["figures"][0]["name"] for name, part in found.items()} == {
        "x": "new",
        "y": "other",
    }
    assert set(benchmark_tables(tmp_path)) == {
        "bench-x",
        "bench-x-goals",
        "bench-y",
        "bench-y-goals",
    }


def test_the_stored_results_can_be_shown() -> None:
    tables = benchmark_tables(Path(__file__).resolve().parents[2] / "results" / "benchmarks")
    assert "| ours / Trainer, with validation |" in tables["bench-training-goals"]
    assert all(table.startswith("| ") for table in tables.values())
