"""Traces that are kept in the collection beside the code, so that a study needs no training.

``traces/TASK/MODEL-RECIPE/SEED/`` (:mod:`dimec.traces.collection`). Of the validation split they
have the data maps too, which the paper's router takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dimec.base.errors import ConfigError
from dimec.cartography import DataMap
from dimec.data.licences import licence_of
from dimec.data.splits import stratified_rows
from dimec.policies.registry import FitInputs
from dimec.runs.mapped import data_map_in, maps_as_columns, without_maps
from dimec.runs.own_tiers import LENGTHS, lengths_at, models_of, text_tiers
from dimec.runs.run import Run
from dimec.settings.run import RunSettings
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from dimec.tiers.latency import ModelShape
from dimec.tiers.pricing import OPERATIONS, Pricing
from dimec.traces.card import FILE, SPLITS, Card, CardShape, CardTier
from dimec.traces.collection import CHECKOUT, MADE_BY, Entry, Folder, write_entry
from dimec.traces.trace import Trace
from dimec_studies.plan import Plan
from dimec_studies.plan_parts import Recipe

TRACES = CHECKOUT
MOST_ROWS = 3000  # of a split in the collection


@dataclass(frozen=True, eq=False)
class Stored:
    """The traces of a trained model.

    Attributes:
        name: of its task in the plan.
        entry: its name in the collection.
        validation, test: the traces.
        data_map: of the validation split at the first tier's exit; None where none was recorded.
        deployment: the tiers at the plan's prices.
        card: what made them.
    """

    name: str
    entry: str
    validation: Trace
    test: Trace
    data_map: DataMap | None
    deployment: Deployment
    card: Card

    def needed_map(self) -> DataMap:
        """The data map.

        Raises:
            ConfigError: none was recorded.
        """
        if self.data_map is None:
            raise ConfigError(f"the traces {self.entry} have no data map, which this study needs")
        return self.data_map

    def inputs(self, lam: float) -> FitInputs:
        """All that a system may be fitted to."""
        return FitInputs(self.validation, self.deployment, lam, self.data_map)


def load_stored(folder: Path, costs: CostModel | None = None) -> Stored:
    """The traces in a folder of a collection.

    Args:
        folder: ``TASK/MODEL-RECIPE/SEED`` of it.
        costs: prices other than the paper's.

    Raises:
        ArtefactError: one is missing or damaged.
    """
    entry = Entry(name_of(folder), folder, Card.load(folder, MADE_BY), Folder(folder))
    validation = entry.trace("validation")
    return Stored(
        name=entry.name.partition("/")[0],
        entry=entry.name,
        validation=without_maps(validation),
        test=entry.trace("test"),
        data_map=data_map_in(validation, validation.tiers[0]),
        deployment=deployment_of(entry.card, costs or CostModel()),
        card=entry.card,
    )


def deployment_of(card: Card, costs: CostModel) -> Deployment:
    """The tiers of kept traces at these prices; where they have a model each, by operations."""
    layers, names = [tier.layer for tier in card.tiers], [tier.name for tier in card.tiers]
    if not any(tier.source for tier in card.tiers):
        return Deployment.paper(layers, costs, names)
    pricing = Pricing(OPERATIONS, shapes_by_tier(card))
    sources = [tier.source for tier in card.tiers]
    return Deployment.paper(layers, costs, names, sources=sources, pricing=pricing)


def shapes_by_tier(card: Card) -> dict[str, ModelShape]:
    """The shape of the layers of each tier with a model of its own, by the tier's name."""
    return {tier.name: shape_of(card, tier.source) for tier in card.tiers if tier.source}


def shape_of(card: Card, source: str) -> ModelShape:
    """The shape of the layers of one model."""
    return ModelShape(**card.shapes[source].model_dump())


def name_of(folder: Path) -> str:
    """``TASK/MODEL-RECIPE/SEED``, which a folder of a collection ends in."""
    return "/".join(folder.parts[-3:])


def folder_of(
    plan: Plan, name: str, recipe: Recipe, traces: Path = TRACES, seed: int | None = None
) -> Path:
    """Where the traces of a plan's task and recipe are kept; by default those of its first seed."""
    chosen = plan.seeds[0] if seed is None else seed
    return traces / name / f"{plan.model_name}-{recipe}" / str(chosen)


def card_in(folder: Path) -> Card | None:
    """What made the traces in a folder; None where there are none."""
    return Card.load(folder, MADE_BY) if (folder / FILE).is_file() else None


def serves(folder: Path, plan: Plan, name: str, recipe: Recipe, seed: int) -> bool:
    """Whether traces are kept there that this plan would train."""
    card = card_in(folder)
    if card is None or card.settings is None:
        return False
    return RunSettings.of(card.settings) == plan.settings(name, recipe, seed)


def keep(
    run: Run,
    plan: Plan,
    name: str,
    seed: int,
    traces: Path = TRACES,
    recipe: Recipe = "joint",
    most: int = MOST_ROWS,
) -> Path:
    """Keep the traces of a finished run; returns their folder.

    Args:
        run: trained.
        plan: that it was trained by.
        name: of its task there.
        seed: of the run.
        traces: the folder of all.
        recipe: of the run.
        most: rows of a split, of which a stratified sample is drawn from the seed: the same rows of
            every recipe.
    """
    folder = folder_of(plan, name, recipe, traces, seed)
    validation, test = (_with_lengths(run, run.trace(split)) for split in SPLITS)
    columns = maps_as_columns(run.dynamics())
    validation = replace(validation, extra={**validation.extra, **columns})
    drawn = [sampled(trace, most, seed) for trace in (validation, test)]
    settings = plan.settings(name, recipe, seed)
    card = _card(run, drawn[1], recipe, seed, settings.to_json(exclude_none=True))
    whole = {one.split: len(one) for one in (validation, test)}
    rows = {one.split: len(one) for one in drawn}
    card = card.model_copy(
        update={
            "rows": {**card.rows, **rows},
            "drawn_from": {split: size for split, size in whole.items() if size != rows[split]},
        }
    )
    write_entry(folder, card, *drawn)
    return folder


def sampled(trace: Trace, most: int, seed: int) -> Trace:
    """At most so many rows of a trace, in their order, drawn by the seed, each class by its share.

    Whatever said it, rows of the same labels are drawn alike.
    """
    return trace if len(trace) <= most else trace.take(stratified_rows(trace.labels, most, seed))


def _with_lengths(run: Run, trace: Trace) -> Trace:
    """With the lengths by each tier's tokenizer that counts otherwise than the first one's."""
    lengths = {name: lengths_at(run, name, trace) for name in run.tier_runs()}
    more = {
        f"{LENGTHS}{name}": there.astype(np.float64)
        for name, there in lengths.items()
        if not np.array_equal(there, trace.lengths)
    }
    return replace(trace, extra={**trace.extra, **more})


def _card(
    run: Run,
    test: Trace,
    recipe: Recipe,
    seed: int,
    settings: Mapping[str, Any],
) -> Card:
    record, names = run.training(), run.tier_names(len(test.tiers))
    models = models_of(run)
    deployment = Deployment.paper(test.tiers, names=names, sources=test.tier_sources)
    sent = {names[k] for k in text_tiers(run, deployment)}
    return Card(
        task=record["task"],
        source=record["source"],
        licence=licence_of(record["task"]),
        backbone=models or record["backbone"],
        recipe=recipe,
        seed=seed,
        model=record["model"],
        exits=test.exits,
        tiers=tuple(
            CardTier(name=name, layer=layer, source=source, sent="text" if name in sent else "ids")
            for name, layer, source in zip(names, test.tiers, test.tier_sources, strict=True)
        ),
        shapes={name: CardShape(**asdict(shape)) for name, shape in run.shapes().items()},
        rows={"train": record["rows"]["train"]},
        epochs=len(record["history"]),
        best_epoch=record["best_epoch"],
        settings=settings,
        versions=record["versions"],
        date=record.get("date", ""),
        own=record["own"] if models else {},
        sha256={},
    )
