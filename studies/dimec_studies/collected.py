"""The trace collection, made: every run of a plan trained, and its traces kept as soon as it is.

Killed at any moment the same command goes on: traces that are kept and were trained by the same
settings stay as they are, finished runs are not trained again, and an unfinished one goes on after
its last finished epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dimec.base.errors import ConfigError
from dimec.traces.card import Card
from dimec.traces.collection import MADE_BY, write_index
from dimec_studies.plan import Plan
from dimec_studies.runs import RunSpec, Workshop
from dimec_studies.stored import TRACES, folder_of, keep, load_stored, name_of, serves
from dimec_studies.study import stored_header


def traces(workshop: Workshop) -> dict[str, Any]:
    """Train what is missing, and keep its traces; the record of all that is kept.

    Args:
        workshop: a plan of :meth:`dimec_studies.plan.Plan.of_collection`, where its runs lie, and
            the folder of the collection.

    Raises:
        ConfigError: the plan is another one, or there is no folder of a collection.
        DimecError: as training raises it.
    """
    plan, root, progress = workshop.plan, _root(workshop), workshop.progress
    specs = list(specs_of(plan))
    missing = [spec for spec in specs if not _is_kept(spec, plan, root)]
    progress.say(f"{root}: {len(specs) - len(missing)} of {len(specs)} trainings are in it")
    for start in range(0, len(missing), workshop.workers):
        some = missing[start : start + workshop.workers]
        for spec, run in zip(some, workshop.train(some), strict=True):
            assert plan.collection is not None
            most = plan.collection.rows[min(plan.seeds.index(spec.seed), 1)]
            folder = keep(run, plan, spec.task, spec.seed, root, spec.recipe, most)
            write_index(root)
            progress.say(f"kept {name_of(folder)}")
    folders = [_folder(spec, plan, root) for spec in specs]
    header = stored_header("traces", plan, [load_stored(folder) for folder in folders])
    return header | {"entries": [_line(folder) for folder in folders]}


def specs_of(plan: Plan) -> Iterator[RunSpec]:
    """Every run of a plan: all of its first seed first, task by task."""
    for seed in plan.seeds:
        for name in plan.tasks:
            for recipe in plan.recipes:
                if name in plan.tasks_of(recipe):
                    yield RunSpec(name, recipe, seed)


def _root(workshop: Workshop) -> Path:
    if workshop.plan.collection is None:
        raise ConfigError(f"the plan {workshop.plan.name} is none of the trace collection")
    root = workshop.traces or TRACES
    if not root.is_dir():
        raise ConfigError(
            f"there is no trace collection at {root}: it comes with a checkout of dimec; name a "
            "folder with --collection"
        )
    return root


def _folder(spec: RunSpec, plan: Plan, root: Path) -> Path:
    return folder_of(plan, spec.task, spec.recipe, root, spec.seed)


def _is_kept(spec: RunSpec, plan: Plan, root: Path) -> bool:
    return serves(_folder(spec, plan, root), plan, spec.task, spec.recipe, spec.seed)


def _line(folder: Path) -> dict[str, Any]:
    card = Card.load(folder, MADE_BY)
    return {
        "name": name_of(folder),
        "rows": dict(card.rows),
        "test_accuracy": dict(card.test_accuracy),
    }
