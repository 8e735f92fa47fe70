"""The parts of a study profile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from dimec.cartography.thresholds import Grid
from dimec.runs.bottleneck import Objective
from dimec.settings.distillation import DistillationSettings

Recipe = Literal[
    "joint", "two-stage", "depth", "joint-distilled", "own", "own-unlabelled", "own-twice"
]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TaskPlan(Part):
    """One task: where its rows come from, how many of them train, and by which recipes.

    ``recipes`` are those of the plan that are trained on it; all by default. ``unlabelled``
    training rows beyond ``max_train_rows`` join the recipe ``own-unlabelled``, without labels.
    """

    task: str
    max_train_rows: int | None = Field(None, ge=1)
    unlabelled: int | None = Field(None, ge=1)
    recipes: tuple[Recipe, ...] | None = None


class BottleneckPlan(Part):
    """The trained bottlenecks of BottleNet++ (``task``) and BottleFit (``distil``)."""

    objectives: tuple[Objective, ...] = ("task", "distil")
    width: int = Field(16, ge=1)
    bits: int = Field(8, ge=1, le=16)
    epochs: int = Field(6, ge=2)
    max_train_rows: int | None = Field(None, ge=1)
    train_tail: bool = True  # as both papers do


class SweepPlan(Part):
    """Figure 5: the values that each cost takes while the others stay."""

    mobile_layer: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
    edge_layer: tuple[float, ...] = (0.25, 0.5, 1.0, 1.5, 2.0, 2.5)
    offload_edge: tuple[float, ...] = (0.5, 1.5, 2.5, 3.5, 4.5, 5.5)
    offload_cloud: tuple[float, ...] = (1.0, 2.0, 3.0, 5.0, 7.0, 9.0)
    cloud_charge: tuple[float, ...] = (2.0, 4.0, 6.0, 8.0, 10.0, 15.0)


class SelectionPlan(Part):
    """Section III: training on a share of the rows, chosen by the data map."""

    train: str = "movies"
    kinds: tuple[str, ...] = ("ambiguous", "easy", "hard", "random")
    share: float = Field(0.33, gt=0, lt=1)


class FitPlan(Part):
    """One way to fit the runs, for a ledger each, with these systems beside the paper's routers."""

    name: str
    grid: Grid = "quantile"
    lam: float = Field(0.02, ge=0)
    systems: tuple[str, ...] | None = None


class CollectionPlan(Part):
    """What of a profile goes into the trace collection, where it differs from the profile.

    Attributes:
        model_name: what its models are called there.
        recipes, seeds, tasks, training, distillation: as of a plan. Training begins with the first
            seed of every task, in their order.
        rows: at most so many of a split are kept, of the first seed and of each further one.
        systems: that are compared on it; all that are registered by default.
    """

    model_name: str
    recipes: tuple[Recipe, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1)
    rows: tuple[int, int] = (3000, 1500)
    systems: tuple[str, ...] = ()
    tasks: Mapping[str, TaskPlan]
    training: Mapping[str, Any] = Field(default_factory=dict)
    distillation: DistillationSettings | None = None
