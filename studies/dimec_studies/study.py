"""What every stored result carries: the plan, versions, sizes and the date; and where it lies."""

from __future__ import annotations

import datetime
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dimec.__about__ import __version__
from dimec.base.storage import atomic_write
from dimec.runs.run import Run
from dimec.settings.exits import resolve_exits
from dimec.tiers.deployment import Deployment
from dimec_studies.plan import Plan
from dimec_studies.stored import Stored

_DEEPEST = 1000  # so all of it is indented
# Results of very many figures: of a part a line for each price of the cloud, to stay below 1 MB.
_DEPTH = {"beyond": 4}


def deployment_of(plan: Plan, run: Run) -> Deployment:
    """Where the tiers of a trained run stand, at the plan's prices."""
    layers = int(run.training()["layers"])
    _, tiers = resolve_exits(plan.model.exits, plan.model.tier_layers, layers)
    return Deployment.paper(tiers, plan.cost_model())


def header(item: str, plan: Plan, deployment: Deployment, runs: list[Run]) -> dict[str, Any]:
    """The part of a result that says what it rests on."""
    from dimec.training.finish import versions

    told = _header(item, plan, deployment, versions())
    return told | {"trained_with": _trained_with(runs)}


def _header(
    item: str, plan: Plan, deployment: Deployment, versions: dict[str, str]
) -> dict[str, Any]:
    return {
        "item": item,
        "profile": plan.name,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": versions,
        "plan": plan.model_dump(mode="json", exclude_none=True),
        "deployment": {
            "exits": list(deployment.exits),
            "costs": asdict(deployment.costs),
            "charge": deployment.charge,
            "prices": [tier.price for tier in deployment.tiers],
        },
        "lam": plan.lam,
    }


def _trained_with(runs: list[Run]) -> dict[str, list[str]]:
    """On what devices, in what precision and with what versions the runs were trained."""
    seen: dict[str, set[str]] = {"device": set(), "precision": set(), "torch": set(), "date": set()}
    for run in runs:
        record = run.training()
        for key in ("device", "precision", "date"):
            seen[key].add(str(record.get(key, "unknown")))
        seen["torch"].add(str(record["versions"]["torch"]))
    return {key: sorted(values) for key, values in seen.items()}


def stored_header(item: str, plan: Plan, stored: Sequence[Stored]) -> dict[str, Any]:
    """The same of traces that are kept, whose cards say how each was trained.

    The deployment is that of the first; all of a plan have the same tiers. torch is not asked for
    its version: it need not be installed.
    """
    versions = {"dimec": __version__, "python": platform.python_version()}
    versions |= {name: version(name) for name in ("numpy", "scikit-learn")}
    trained = {
        "torch": sorted({one.card.versions["torch"] for one in stored}),
        "date": sorted({one.card.date for one in stored}),
    }
    traces = {one.entry: dict(one.card.sha256) for one in stored}
    told = _header(item, plan, stored[0].deployment, versions)
    return told | {"trained_with": trained, "traces": traces}


def run_record(run: Run) -> dict[str, Any]:
    """What a table says of one training."""
    record = run.training()
    test = run.trace("test")
    accuracies = test.correct.mean(axis=0).tolist()
    return {
        "best_epoch": record["best_epoch"],
        "epochs": len(record["history"]),
        "exit_accuracy": dict(zip(map(str, test.exits), accuracies, strict=True)),
        "model": record["model"],
    }


def result_path(results: Path, plan: Plan, item: str) -> Path:
    """Where the result of an item lies."""
    return results / plan.name / f"{item}.json"


def store(results: Path, plan: Plan, result: dict[str, Any]) -> Path:
    """Write a result; returns its path."""
    path = result_path(results, plan, result["item"])
    atomic_write(path, folded(result, _DEPTH.get(result["item"], _DEEPEST)) + "\n")
    return path


def folded(value: Any, depth: int, margin: str = "") -> str:
    """JSON that is indented to a depth, and on one line from there on.

    Args:
        value: JSON values; NaN and infinity are refused by ValueError.
        depth: how many levels have their parts on lines of their own.
        margin: what its later lines begin with.

    Example:
        >>> print(folded({"a": {"b": [1, 2]}, "c": 0}, 1))
        {
          "a": {"b": [1, 2]},
          "c": 0
        }
    """
    if not depth or not value or not isinstance(value, dict | list):
        return json.dumps(value, allow_nan=False, ensure_ascii=False)
    inner = f"{margin}  "
    if isinstance(value, list):
        parts, ends = [folded(one, depth - 1, inner) for one in value], "[]"
    else:
        parts = [
            f"{json.dumps(str(name), ensure_ascii=False)}: {folded(one, depth - 1, inner)}"
            for name, one in value.items()
        ]
        ends = "{}"
    return f"{ends[0]}\n{inner}" + f",\n{inner}".join(parts) + f"\n{margin}{ends[1]}"
