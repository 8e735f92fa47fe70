"""Stored results as ``dimec reproduce`` writes them, small and made up; nothing is trained.

Every figure of a table is another one, so that a cell that shows the wrong one is noticed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dimec.base.storage import write_json
from dimec.cartography import DataMap, build_pools
from dimec.policies import tagged

TASKS = ("sst2", "cola", "mrpc")
METRICS = {"sst2": "accuracy", "cola": "matthews", "mrpc": "f1", "movies": "accuracy"}
SCENARIOS = ("phone-4g", "phone-wifi")

# policy, system, recipe
SYSTEMS = (
    ("bert-plain", "bert-cloud", "two-stage"),
    ("bert-cloud", "bert-cloud", "joint"),
    ("all-mobile", "all-mobile", "joint"),
    ("all-edge", "all-edge", "joint"),
    ("random", "random", "joint"),
    ("deebert", "deebert", "joint"),
    ("deebert@two-stage", "deebert", "two-stage"),
    ("adaee", "adaee", "joint"),
    ("i-splitee", "i-splitee", "joint"),
    ("dimec-fixed-paper", "dimec-fixed-paper", "joint"),
    ("random@dimec-fixed-paper", "random", "joint"),
    ("dimec-adaptive-paper", "dimec-adaptive-paper", "joint"),
    ("dimec-fixed-quantile", "dimec-fixed-quantile", "joint"),
    ("dimec-adaptive-quantile", "dimec-adaptive-quantile", "joint"),
    ("brand-new", "brand-new", "joint"),
    ("oracle", "oracle", "joint"),
)


def header(item: str, profile: str = "small") -> dict[str, Any]:
    """What every stored result begins with."""
    return {
        "item": item,
        "profile": profile,
        "date": "2026-01-31",
        "versions": {"dimec": "9.8.7", "torch": "2.99.0"},
        "trained_with": {
            "device": ["cpu"],
            "precision": ["float32"],
            "torch": ["2.99.0"],
            "date": ["2026-01-30", "2026-01-29"],
        },
        "plan": {"name": profile, "model": {"backbone": "tiny-encoder"}, "seeds": [0, 1]},
        "deployment": {
            "exits": [2, 3, 6],
            "costs": {
                "mobile_layer": 1.5,
                "edge_layer": 1.0,
                "offload_edge": 2.5,
                "offload_cloud": 3.0,
                "cloud_charge": None,
            },
            "charge": 6.0,
            "prices": [3.0, 5.5, 9.0],
        },
        "lam": 0.02,
    }


def statistic(mean: float, half: float = 0.0, sd: float | None = None) -> dict[str, float | None]:
    """A summary's figure."""
    return {"mean": mean, "low": mean - half, "high": mean + half, "sd": sd}


def summary_row(policy: str, system: str, recipe: str, number: Iterator[int]) -> dict[str, Any]:
    """One policy's line; ``number`` makes each of its figures another one."""
    k = next(number)
    cost = 9.0 - 0.031 * k
    accuracy = 0.8 - 0.0017 * k
    shares = [0.2 + 0.004 * k, 0.3, 0.5 - 0.004 * k]
    is_dimec = system in {one.name for one in tagged("ours")}
    return {
        "policy": policy,
        "accuracy": statistic(accuracy, 0.01, 0.003 + 0.0001 * k),
        "metric": statistic(accuracy - 0.05, 0.02, 0.004 + 0.0001 * k),
        "drop": statistic(0.0017 * k, 0.0061, 0.002),
        "reduction": statistic(1 - cost / 9, 0.0123, 0.001),
        "cost": statistic(cost, 0.1, 0.01),
        "gain": statistic(0.0003 * (k - 12), 0.0042) if is_dimec else None,
        "shares": shares,
        "system": system,
        "recipe": recipe,
        "scenarios": {
            name: {
                "milliseconds": 100.0 + 10 * place + k,
                "millijoules": 1000.0 + 100 * place + k,
                "usd_per_1000": 0.001 * (place + 1) + 0.0001 * k,
            }
            for place, name in enumerate(SCENARIOS)
        },
    }


def task_record(name: str, number: Iterator[int], seeds: Sequence[int] = (0, 1)) -> dict[str, Any]:
    """One task of a table."""
    summary = [summary_row(*system, number) for system in SYSTEMS]
    return {
        "task": f"glue/{name}",
        "metric": METRICS[name],
        "source": "a stratified sample of 1,234 training rows",
        "reference": "bert-plain",
        "seeds": [
            {
                "seed": seed,
                "rows": {"train": 1234, "validation": 456, "test": 789 + seed},
                "runs": {
                    "joint": {
                        "best_epoch": 2,
                        "epochs": 4,
                        "exit_accuracy": {"2": 0.7 + 0.01 * seed, "3": 0.75, "6": 0.8},
                    },
                    "two-stage": {"best_epoch": 1, "epochs": 5, "exit_accuracy": {"6": 0.81}},
                },
                "policies": [
                    {
                        "policy": row["policy"],
                        "settings": {"threshold": 0.15, "patience": 3 + seed}
                        if row["policy"] == "deebert"
                        else {},
                    }
                    for row in summary
                ],
            }
            for seed in seeds
        ],
        "summary": summary,
    }


def table_result(item: str = "table1", profile: str = "small") -> dict[str, Any]:
    """``table1`` or ``table2``."""
    number = itertools.count()
    return header(item, profile) | {"tasks": {name: task_record(name, number) for name in TASKS}}


def data_map_record(task: str, grid: str, seed: int = 0, points: int = 300) -> dict[str, Any]:
    """One data map with its pools."""
    rng = np.random.default_rng([points, len(task), seed])
    level = rng.beta(2.2, 0.9, size=points)
    swing = rng.normal(0, 0.25, size=(5, points)) * level * (1 - level)
    data_map = DataMap.from_probabilities(np.clip(level + 2 * swing, 0.001, 0.999))
    alpha, beta = (0.6, 0.05) if grid == "paper" else (0.6, 0.0123)
    return {
        "task": task,
        "seed": seed,
        "grid": grid,
        "alpha": alpha,
        "beta": beta,
        "samples": 10 * points,
        "confidence": data_map.confidence.round(5).tolist(),
        "variance": data_map.variance.round(5).tolist(),
        "pools": build_pools(data_map, alpha, beta).tolist(),
    }


def fig1_result(profile: str = "small", points: int = 300) -> dict[str, Any]:
    """``fig1``: one task's map, by both grids."""
    maps = [data_map_record("sst2", grid, points=points) for grid in ("paper", "quantile")]
    return header("fig1", profile) | {"maps": maps}


def fig3_result(profile: str = "small", points: int = 300) -> dict[str, Any]:
    """``fig3``: every task's map, and the shares of both grids and seeds."""
    shares = [
        {"task": task, "seed": seed, "grid": grid, "alpha": 0.6, "beta": 0.01}
        | {"pools": [0.5 + 0.01 * k + 0.02 * seed, 0.1, 0.4 - 0.01 * k - 0.02 * seed]}
        for k, task in enumerate(TASKS)
        for seed in (0, 1)
        for grid in ("paper", "quantile")
    ]
    maps = [data_map_record(task, "quantile", points=points) for task in TASKS]
    return header("fig3", profile) | {"maps": maps, "shares": shares}


def fig4_result(profile: str = "small", points: int = 300) -> dict[str, Any]:
    """``fig4``: exits and routers of every task, and two projections."""
    exits = [
        {
            "task": task,
            "seed": seed,
            "samples": 789,
            "tiers": [2, 3, 6],
            "exit_accuracy": {
                "1": 0.5,
                "2": 0.701 + 0.01 * k + 0.004 * seed,
                "3": 0.753,
                "6": 0.812 + 0.02 * k,
            },
            "policies": {
                "dimec-fixed-quantile": 0.781 + 0.01 * k,
                "dimec-adaptive-quantile": 0.785 + 0.01 * k,
            },
        }
        for k, task in enumerate(TASKS)
        for seed in (0, 1)
    ]
    rng = np.random.default_rng(5)
    pools = rng.integers(0, 3, points)
    places = rng.normal(size=(points, 2)) + 1.2 * pools[:, None]
    tsne = [
        {
            "task": task,
            "seed": 0,
            "samples": 4 * points,
            "x": places[:, 0].round(2).tolist(),
            "y": places[:, 1].round(2).tolist(),
            "pools": pools.tolist(),
            "silhouette": 0.0371 + place,
        }
        for place, task in enumerate(("qnli", "sst2"))
    ]
    return header("fig4", profile) | {"exits": exits, "tsne": tsne}


COSTS = ("mobile_layer", "edge_layer", "offload_edge", "offload_cloud", "cloud_charge")


def fig5_result(profile: str = "small") -> dict[str, Any]:
    """``fig5``: curves of every cost and task, two seeds."""
    curves = []
    for seed, (k, task), (c, cost) in itertools.product((0, 1), enumerate(TASKS), enumerate(COSTS)):
        points = [
            {
                "value": value,
                "accuracy": 0.8 + 0.01 * k - 0.002 * c + 0.003 * (c - 2) * step + 0.002 * seed,
                "drop": 0.01,
                "reduction": 0.3 + 0.02 * k + 0.04 * step * (-1) ** c,
                "mean_cost": 6.0,
                "shares": [0.3 + 0.1 * step, 0.2, 0.5 - 0.1 * step],
                "alpha": 0.6,
                "beta": 0.01,
            }
            for step, value in enumerate((0.5, 1.5, 3.0, 6.0))
        ]
        curves.append(
            {"task": task, "seed": seed, "cost": cost, "points": points}
            | {"policy": "dimec-fixed-quantile"}
        )
    return header("fig5", profile) | {"curves": curves}


DOMAINS = ("movies", "tweets", "amazon")


def robustness_result(profile: str = "small") -> dict[str, Any]:
    """``robustness``: every pair of domains, and the raters of each."""
    names = ("bert-cloud", "all-mobile", "dimec-fixed-quantile", "dimec-adaptive-quantile")
    cells = []
    for k, (trained, streamed) in enumerate(itertools.product(DOMAINS, DOMAINS)):
        middle = 0.002 * (k - 4)
        cells.append(
            {
                "train": trained,
                "stream": streamed,
                "seeds": [0, 1],
                "samples": [2000, 2000 - k],
                "policies": {
                    name: {
                        "accuracy": statistic(0.7 + 0.011 * k + 0.017 * place, 0.02, 0.01),
                        "reduction": statistic(0.3 + 0.013 * k - 0.019 * place, 0.01, 0.01),
                        "drop": statistic(0.01),
                    }
                    for place, name in enumerate(names)
                },
                "adaptive_minus_fixed": {
                    "accuracy": {"mean": middle, "low": middle - 0.005, "high": middle + 0.005},
                    "cost": {"mean": -0.1 * k, "low": -0.1 * k - 0.05, "high": -0.1 * k + 0.05},
                },
            }
        )
    keys = ("confidence", "variance", "pool", "mobile_confidence")
    raters = [
        {
            "domain": domain,
            "seed": seed,
            "samples": 400 + k,
            **{
                f"spearman_{key}": {
                    "value": -0.3 + 0.11 * place + 0.01 * k + 0.02 * seed,
                    "low": -0.38 + 0.11 * place + 0.01 * k,
                    "high": -0.2 + 0.11 * place + 0.01 * k,
                }
                for place, key in enumerate(keys)
            },
        }
        for k, domain in enumerate(DOMAINS)
        for seed in (0, 1)
    ]
    body = {"domains": list(DOMAINS), "cells": cells, "raters": raters}
    return header("robustness", profile) | body


def cartography_result(profile: str = "small") -> dict[str, Any]:
    """``cartography``: all rows and four selections, two seeds."""
    kinds = ("all", "ambiguous", "easy", "hard", "random")
    rows = [
        {
            "kind": kind,
            "seed": seed,
            "train_rows": 2400 if kind == "all" else 792,
            "accuracy": 0.8 - 0.021 * k + 0.003 * seed,
            "samples": 1060,
            "others": {
                name: {"accuracy": 0.7 - 0.017 * k + 0.002 * seed + 0.05 * place, "samples": 2000}
                for place, name in enumerate(("tweets", "amazon"))
            },
        }
        for k, kind in enumerate(kinds)
        for seed in (0, 1)
    ]
    return header("cartography", profile) | {"task": "movies", "share": 0.33, "rows": rows}


def every_result(profile: str = "small", points: int = 300) -> dict[str, dict[str, Any]]:
    """One result of every item."""
    return {
        "table1": table_result("table1", profile),
        "table2": table_result("table2", profile),
        "fig1": fig1_result(profile, points),
        "fig3": fig3_result(profile, points),
        "fig4": fig4_result(profile, points),
        "fig5": fig5_result(profile),
        "cartography": cartography_result(profile),
        "robustness": robustness_result(profile),
    }


def store(folder: Path, *results: dict[str, Any]) -> Path:
    """Write results where ``dimec reproduce`` does; returns ``folder``."""
    for result in results:
        write_json(folder / result["profile"] / f"{result['item']}.json", result)
    return folder


def cells_of(table: str) -> list[list[str]]:
    """The cells of a Markdown table, header first, the rule left out."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [rows[0], *rows[2:]]
