"""What every system makes of two small recorded traces, and the file that it is held against.

To write the file anew, where a method was meant to change: ``python tests/support/pinned.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np

from dimec.base.errors import ConfigError
from dimec.base.storage import read_json, write_json
from dimec.evaluation.replay import replay
from dimec.policies import FitInputs, system, systems
from dimec.runs.mapped import data_map_in, without_maps
from dimec.tiers.costs import CostModel
from dimec.traces.collection import CHECKOUT, Collection
from dimec_studies.stored import deployment_of

FILE = Path(__file__).resolve().parents[1] / "pinned" / "policies.json"
AGAIN = "python tests/support/pinned.py"
TRACES = ("mrpc/minilm-joint/0", "cola/minilm-own/0")  # tiers of one model, and one each
LAM = 0.005  # where the cascade asks every tier of the first traces, some texts of each
ROWS = 300  # of each split: the first ones

Figures: TypeAlias = dict[str, dict[str, float]]  # system → accuracy, and cost in units of λ


def figures(name: str) -> Figures:
    """Of every system without a training of its own that can be fitted to such tiers.

    Args:
        name: of the traces.
    """
    entry, rows = Collection.open(CHECKOUT).entry(name), np.arange(ROWS)
    validation, test = (entry.trace(split).take(rows) for split in ("validation", "test"))
    deployment = deployment_of(entry.card, CostModel())
    data_map = data_map_in(validation, deployment.exits[0])
    inputs = FitInputs(without_maps(validation), deployment, LAM, data_map)
    found: Figures = {}
    for known in systems().values():
        if known.needs:
            continue
        try:
            policy = system(known.name).fit(inputs).policy
        except ConfigError:
            continue  # not for tiers of this kind; that one is missing is seen
        replayed = replay(policy, test, deployment)
        accuracy, cost = float(replayed.right.mean()), float(replayed.cost.mean())
        found[known.name] = {"accuracy": accuracy, "cost": cost}
    return found


def pinned() -> dict[str, Figures]:
    """What is written down, by the name of the traces."""
    return dict(read_json(FILE, AGAIN)["traces"])


def moved(before: Figures, now: Figures, tolerance: float) -> list[str]:
    """A line for each system whose figures differ, or that is in one of them only."""
    lines = [f"{name} is gone" for name in before if name not in now]
    lines += [f"{name} is new" for name in now if name not in before]
    for name in before.keys() & now.keys():
        for figure, value in before[name].items():
            if not abs(now[name][figure] - value) <= tolerance:
                lines.append(f"{name}: {figure} was {value!r}, is {now[name][figure]!r}")
    return sorted(lines)


if __name__ == "__main__":
    values = {name: figures(name) for name in TRACES}
    write_json(FILE, {"version": 1, "lam": LAM, "rows": ROWS, "traces": values})
