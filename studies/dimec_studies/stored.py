"""Traces that are kept beside the code, so that a study needs no training.

``traces/PROFILE/TASK/`` has ``validation`` and ``test`` in their compact form, and ``card.json``:
what made them. Of the validation split they have the data map too, which the paper's router takes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dimec.base.errors import ConfigError
from dimec.base.storage import read_json, write_json
from dimec.cartography import DataMap
from dimec.policies.registry import FitInputs
from dimec.runs.run import Run
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from dimec.tiers.latency import ModelShape
from dimec.tiers.pricing import OPERATIONS, Pricing
from dimec.traces.compact import load_compact, save_compact
from dimec.traces.trace import Trace
from dimec_studies.plan import Plan, Recipe

TRACES = Path(__file__).resolve().parents[2] / "traces"
_MAP = ("confidence", "variance", "std", "correctness")
_PREFIX = "map."
_MADE_BY = "dimec reproduce look"


@dataclass(frozen=True, eq=False)
class Stored:
    """The traces of a trained model.

    Attributes:
        name: of its task in the plan.
        validation, test: the traces.
        data_map: of the validation split at the first tier's exit; None where none was recorded.
        deployment: the tiers at the plan's prices.
        card: what made them.
    """

    name: str
    validation: Trace
    test: Trace
    data_map: DataMap | None
    deployment: Deployment
    card: Mapping[str, Any]

    def needed_map(self) -> DataMap:
        """The data map.

        Raises:
            ConfigError: none was recorded.
        """
        if self.data_map is None:
            raise ConfigError(f"the traces of {self.name} have no data map, which this study needs")
        return self.data_map

    def inputs(self, lam: float) -> FitInputs:
        """All that a system may be fitted to."""
        return FitInputs(self.validation, self.deployment, lam, self.data_map)


def load_stored(folder: Path, costs: CostModel | None = None) -> Stored:
    """The traces in a folder.

    Args:
        folder: of a task.
        costs: prices other than the paper's.

    Raises:
        ArtefactError: one is missing or damaged.
    """
    card = read_json(folder / "card.json", _MADE_BY)
    validation = load_compact(folder / "validation.safetensors")
    extra = dict(validation.extra)
    columns = [extra.pop(f"{_PREFIX}{name}") for name in _MAP if f"{_PREFIX}{name}" in extra]
    data_map = DataMap(*columns) if columns else None
    return Stored(
        name=folder.name,
        validation=replace(validation, extra=extra),
        test=load_compact(folder / "test.safetensors"),
        data_map=data_map,
        deployment=deployment_of(card, costs or CostModel()),
        card=card,
    )


def deployment_of(card: Mapping[str, Any], costs: CostModel) -> Deployment:
    """The tiers of kept traces at these prices; where they have a model each, by operations."""
    layers = tuple(card["tiers"])
    if "shapes" not in card:
        return Deployment.paper(layers, costs)
    shapes = {name: ModelShape(**shape) for name, shape in card["shapes"].items()}
    names = tuple(shapes)
    pricing = Pricing(OPERATIONS, shapes)
    return Deployment.paper(layers, costs, names, sources=names, pricing=pricing)


def folder_of(plan: Plan, name: str, recipe: Recipe, traces: Path = TRACES) -> Path:
    """Where the traces of a plan's task and recipe are kept."""
    return traces / plan.runs_name / (name if recipe == "joint" else f"{name}-{recipe}")


def names_of(profile: str, traces: Path = TRACES) -> list[str]:
    """Tasks of a profile whose traces are kept, in the order of their names."""
    return sorted(path.parent.name for path in (traces / profile).glob("*/card.json"))


def keep(
    run: Run,
    plan: Plan,
    name: str,
    seed: int,
    traces: Path = TRACES,
    recipe: Recipe = "joint",
) -> Path:
    """Keep the traces of a finished run; returns their folder.

    Args:
        run: trained.
        plan: that it was trained by.
        name: of its task there.
        seed: of the run.
        traces: the folder of all.
        recipe: of the run.
    """
    record, folder = run.training(), folder_of(plan, name, recipe, traces)
    validation, test = run.trace("validation"), run.trace("test")
    data_map = run.dynamics().data_map(validation.tiers[0])
    columns = {f"{_PREFIX}{key}": np.asarray(getattr(data_map, key)) for key in _MAP}
    save_compact(
        replace(validation, extra={**validation.extra, **columns}),
        folder / "validation.safetensors",
    )
    save_compact(test, folder / "test.safetensors")
    accuracies = test.correct.mean(axis=0).round(4).tolist()
    pairs = zip(test.sources, test.exits, strict=True)
    exits = [f"{source}:{layer}" if source else str(layer) for source, layer in pairs]
    several = {}
    if run.tier_runs():
        shapes = {tier: asdict(shape) for tier, shape in run.shapes().items()}
        several = {"shapes": shapes, "own": record["own"]}
    card = {
        "task": record["task"],
        "source": record["source"],
        "backbone": record["backbone"],
        "exits": list(test.exits),
        "tiers": list(test.tiers),
        "rows": record["rows"],
        "seed": seed,
        "epochs": len(record["history"]),
        "best_epoch": record["best_epoch"],
        "model": record["model"],
        "versions": record["versions"],
        "date": record.get("date", ""),
        "test_accuracy": dict(zip(exits, accuracies, strict=True)),
        **({} if recipe == "joint" else {"recipe": recipe}),
        **several,
        "plan": plan.model_dump(mode="json", exclude_none=True),
        "sha256": {
            f"{split}.safetensors": hashlib.sha256(
                (folder / f"{split}.safetensors").read_bytes()
            ).hexdigest()
            for split in ("validation", "test")
        },
    }
    write_json(folder / "card.json", card)
    return folder
