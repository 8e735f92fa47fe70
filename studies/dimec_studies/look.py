"""The study of policies that look again: from kept traces, or from runs where there are none.

Each of its items is a module with ``compute(stored, plan, progress)``, the JSON values of a result
but for its header, and ``tables(result)``, Markdown lines by the name in their marker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from dimec.base.errors import ConfigError
from dimec.base.progress import Progress
from dimec.tiers.costs import CostModel
from dimec_studies.plan import LookItem, Plan
from dimec_studies.plan_parts import Recipe
from dimec_studies.runs import RunSpec, Workshop
from dimec_studies.stored import TRACES, Stored, card_in, folder_of, keep, load_stored, serves
from dimec_studies.study import stored_header

PROFILE = "look"  # whose results the documentation shows
_KEPT = "kept"  # folder of the traces of runs, beside the runs


class Module(Protocol):
    """What an item is made of."""

    def compute(
        self, stored: Sequence[Stored], plan: Plan, progress: Progress
    ) -> dict[str, Any]: ...

    def tables(self, result: Mapping[str, Any]) -> dict[str, list[str]]: ...


def module(item: LookItem) -> Module:
    """The module of an item."""
    return cast("Module", import_module(f"dimec_studies.{item}"))


def make(item: LookItem, workshop: Workshop) -> dict[str, Any]:
    """The result of an item, over every task of the plan.

    Raises:
        DimecError: as training and fitting raise it.
    """
    return made_of(item, workshop.plan, traces_of(workshop), workshop.progress)


def made_of(
    item: LookItem, plan: Plan, stored: Sequence[Stored], progress: Progress
) -> dict[str, Any]:
    """The same of some traces."""
    return stored_header(item, plan, stored) | module(item).compute(stored, plan, progress)


def tables_of(result: Mapping[str, Any]) -> dict[str, str]:
    """Markdown of a stored result by the name in its marker."""
    lines = module(result["item"]).tables(result)
    return {name: "\n".join(some) for name, some in lines.items()}


def traces_of(workshop: Workshop, traces: Path = TRACES, recipe: Recipe = "joint") -> list[Stored]:
    """The traces of every task of a plan, of its first seed.

    Those that are kept in the repository serve if they were trained by the same settings. For the
    others the run is trained, unless it is, and its traces are kept in their compact form beside
    the runs: so all that is made of them is the same wherever they lie.

    Args:
        workshop: the plan, and where its runs lie.
        traces: the folder of what is kept in the repository.
        recipe: how they are trained.

    Raises:
        ConfigError: the plan's seeds are more than one.
        DimecError: as training raises it.
    """
    plan, costs = workshop.plan, workshop.plan.cost_model()
    if len(plan.seeds) != 1:
        raise ConfigError(
            f"--seeds: this study looks at one training a task, got {len(plan.seeds)} seeds"
        )
    found: dict[str, Path] = {}
    names = plan.tasks_of(recipe)
    for name in names:
        here = folder_of(plan, name, recipe, traces)
        if serves(here, plan, name, recipe, plan.seeds[0]):
            found[name] = here
    missing = [name for name in names if name not in found]
    specs = [RunSpec(name, recipe, plan.seeds[0]) for name in missing]
    for name, run in zip(missing, workshop.train(specs), strict=True):
        there = workshop.folder / _KEPT
        folder = folder_of(plan, name, recipe, there)
        # Kept once: the digests of a file that is written again may differ, and so its results.
        if (card := card_in(folder)) is None or card.model != run.training()["model"]:
            keep(run, plan, name, plan.seeds[0], there, recipe)
        found[name] = folder
    return [_loaded(found[name], costs) for name in names]


@lru_cache(maxsize=8)
def _loaded(folder: Path, costs: CostModel) -> Stored:
    """The same object for every item, so that what is fitted to it serves all of them."""
    return load_stored(folder, costs)
