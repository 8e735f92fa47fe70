"""What every method saves on the trace collection: the figures behind docs/beyond.md.

Every training in the collection is a *way* to get tiers: one model that is cut, one whose exits
learn from the last, a model for each tier. So is a model that is cut with the plain fine-tuning in
its last tier's place. On each way every registered system that can replay it
is put along its knob. What it loses is told against the better of two references: the way's own
last exit, and the plain fine-tuning, which is the last tier of the recipe ``own`` on the same rows.

A part of the result is of one training and rests on its traces and those of the plain fine-tuning
alone; parts whose digests are the same are not made again. From the parts, and nothing else, comes
what a user gets: for each task, seed and system, the way and the stand of the knob that saves most
on validation rows among those that lose no more than is allowed there, in figures of the test rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dimec.base.errors import ArtefactError, ConfigError
from dimec.base.storage import read_json
from dimec.tiers.scenario_file import Scenarios
from dimec_studies.collected import specs_of
from dimec_studies.plain_cloud import JOINT, with_plain_cloud
from dimec_studies.plan import Plan
from dimec_studies.plan_parts import Recipe
from dimec_studies.runs import RunSpec, Workshop
from dimec_studies.stored import TRACES, Stored, card_in, folder_of, load_stored
from dimec_studies.study import result_path, store, stored_header
from dimec_studies.ways import VERSION, Way, part_of

ITEM = "beyond"
PLAIN: Recipe = "own"  # the recipe whose last tier is the plain fine-tuning
Record = dict[str, Any]


def beyond(workshop: Workshop) -> Record:
    """The figures of every training of a plan that is in the collection.

    Args:
        workshop: a plan of :meth:`dimec_studies.plan.Plan.of_collection`, the folder of the
            collection, and that of the results, whose parts are taken where they are the same.

    Raises:
        ConfigError: the plan is another one.
        ArtefactError: traces are damaged, or there are none.
    """
    plan, root, progress = workshop.plan, workshop.traces or TRACES, workshop.progress
    if plan.collection is None:
        raise ConfigError(f"the plan {plan.name} is none of the trace collection")
    folders = {
        spec: folder_of(plan, spec.task, spec.recipe, root, spec.seed) for spec in specs_of(plan)
    }
    here = {spec: folder for spec, folder in folders.items() if card_in(folder) is not None}
    before = parts_before(workshop, ITEM)
    stored = {spec: load_stored(folder, plan.cost_model()) for spec, folder in here.items()}
    missing = [f"{s.task}/{plan.model_name}-{s.recipe}/{s.seed}" for s in folders if s not in here]
    record = stored_header(ITEM, plan, list(stored.values())) | {"parts": {}, "missing": missing}
    ways = list(_ways_of(stored))
    progress.start("the collection", len(ways))
    for way in ways:
        one = way.stored
        known = before.get(one.entry, {})
        same = known.get("rests_on") == way.rests_on and known.get("version") == VERSION
        if not same:
            known = part_of(way, plan, _scenarios(plan), plan.collection.systems)
        record["parts"][one.entry] = known
        if not same and workshop.results is not None:
            # What is made stays, wherever this ends: it goes on from there.
            rest = {name: part for name, part in before.items() if name not in record["parts"]}
            store(workshop.results, plan, record | {"parts": record["parts"] | rest})
        progress.advance(1, one.entry)
    progress.end()
    return record


def _ways_of(stored: Mapping[RunSpec, Stored]) -> Iterator[Way]:
    """Every training, and those of one model with the plain fine-tuning as the last tier too."""
    for spec, one in stored.items():
        plain = stored.get(_plain_of(spec))
        yield Way.of(one, plain)
        if plain is not None and spec.recipe.startswith(JOINT):
            yield Way.of(with_plain_cloud(one, plain), plain)


def _plain_of(spec: RunSpec) -> RunSpec:
    return RunSpec(spec.task, PLAIN, spec.seed)


def _scenarios(plan: Plan) -> list[Any]:
    known = Scenarios.load()
    return [known.scenario(name) for name in plan.scenarios]


def parts_before(workshop: Workshop, item: str) -> Mapping[str, Record]:
    """Parts of an item's result that is stored, where there is one."""
    if workshop.results is None:
        return {}
    try:
        found = read_json(result_path(workshop.results, workshop.plan, item), "dimec reproduce")
    except ArtefactError:
        return {}
    parts = found.get("parts", {}) if isinstance(found, dict) else {}
    return parts if isinstance(parts, dict) else {}
