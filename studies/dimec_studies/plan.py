"""What a study trains and replays: a study profile, which is a TOML file with every setting.

Profiles come with the package (:data:`PROFILES`); any TOML file of the same form is one too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import Field, ValidationError

from dimec.base.errors import ConfigError, MissingArtefactError
from dimec.base.storage import parse_toml
from dimec.settings.distillation import DistillationSettings
from dimec.settings.model import ModelSettings
from dimec.settings.run import RunSettings
from dimec.settings.tiers import TierSettings
from dimec.settings.training import TrainingSettings
from dimec.tiers.costs import CostModel
from dimec_studies.plan_parts import (
    BottleneckPlan,
    CollectionPlan,
    FitPlan,
    Part,
    Recipe,
    SelectionPlan,
    SweepPlan,
    TaskPlan,
)

PROFILES = ("small", "deep", "base", "movies", "demo", "look", "own", "encoders", "trial")
PageItem = Literal["table1", "table2", "fig1", "fig3", "fig4", "fig5", "cartography", "robustness"]
LookItem = Literal["savings", "contained", "signals", "resplits"]
OwnItem = Literal["tiers"]
CollectionItem = Literal["traces", "beyond", "promises"]
Item = PageItem | Literal["ledger"] | LookItem | OwnItem | CollectionItem

PAGE_ITEMS: tuple[PageItem, ...] = get_args(PageItem)  # of reproduction.md
LOOK_ITEMS: tuple[LookItem, ...] = get_args(LookItem)  # of look.md
OWN_ITEMS: tuple[OwnItem, ...] = get_args(OwnItem)  # of tiers.md
COLLECTION_ITEMS: tuple[CollectionItem, ...] = get_args(CollectionItem)  # of beyond.md
ITEMS: tuple[Item, ...] = (*PAGE_ITEMS, "ledger", *LOOK_ITEMS, *OWN_ITEMS, *COLLECTION_ITEMS)
SIMULATIONS = ("contract", "fleet")  # of no profile: nothing is trained for them


class Plan(Part):
    """A study profile, read.

    Attributes:
        name: of the profile, and of the folder of its results.
        runs: name of the folder of its runs; the profile's by default. Plans that differ in tasks
            or seeds alone share their runs.
        model, training: settings of every run.
        seeds: one run each; a seed decides split, initialisation and order.
        lam: λ, the weight of one unit of cost, for every system alike.
        costs: prices other than the paper's.
        draws: of every bootstrap.
        scenarios: names of the scenarios that the ledger is priced in beside λ.
        recipes: how the traces of Table I are trained: ``joint`` for all systems, ``two-stage``
            for DeeBERT's own recipe and the plain fine-tuning, ``depth`` for PABEE's. In the study
            of tiers with a model each: ``joint``, ``joint-distilled``, whose exits learn from the
            last one too, and ``own``.
        own: the tiers of the recipe ``own``; by default each of the model's tiers with its encoder.
        distillation: of the students of that recipe.
        tasks: of Table I, by short name.
        exit_learning_rate: of the second stage of DeeBERT's recipe, which trains classifiers alone:
            at the encoder's own rate they underfit on few rows.
        table2: short names of the tasks of Table II.
        domains: of the robustness study, by short name.
        stream_rows: at most so many rows of another domain are streamed.
        bottleneck, sweep, selection: see there.
        fits: for the ledgers; by default one, with the quantile grid and the plan's λ.
        model_name: what its models are called in the trace collection; the runs' name by default.
        collection: what of it goes there; no part of a result, and not stored with it.
        about: what it is, in a few words, for ``dimec reproduce --help``.
        items: what the profile is for, and what ``all`` of it means; each can be asked for by name.
            No part of a result, so not stored with it, and what it is about neither.
    """

    name: str
    runs: str = ""
    model: ModelSettings
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1)
    lam: float = Field(0.02, ge=0)
    costs: Mapping[str, float] = Field(default_factory=dict)
    draws: int = Field(1000, ge=1)
    scenarios: tuple[str, ...] = ()
    recipes: tuple[Recipe, ...] = ("joint", "two-stage", "depth")
    own: tuple[TierSettings, ...] | None = None
    distillation: DistillationSettings | None = None
    exit_learning_rate: float | None = Field(None, gt=0, lt=1)
    tasks: Mapping[str, TaskPlan]
    table2: tuple[str, ...] = ("cola", "mrpc", "qnli")
    domains: Mapping[str, TaskPlan] = Field(default_factory=dict)
    stream_rows: int = Field(2000, ge=1)
    bottleneck: BottleneckPlan = Field(default_factory=BottleneckPlan)
    sweep: SweepPlan = Field(default_factory=SweepPlan)
    selection: SelectionPlan = Field(default_factory=SelectionPlan)
    fits: tuple[FitPlan, ...] | None = Field(None, min_length=1)
    model_name: str = Field("", exclude=True)
    collection: CollectionPlan | None = Field(None, exclude=True)
    about: str = Field("", exclude=True)
    items: tuple[Item, ...] = Field(PAGE_ITEMS, exclude=True)

    @classmethod
    def load(cls, profile: str | Path) -> Self:
        """A packaged study profile by name, or a TOML file by path.

        Raises:
            MissingArtefactError: neither.
            ConfigError: unknown or wrong settings; names each.
        """
        if str(profile) in PROFILES:
            content = files(__package__).joinpath("profiles", f"{profile}.toml").read_bytes()
        else:
            try:
                if not Path(profile).is_file():  # a device has no end
                    raise FileNotFoundError
                content = Path(profile).read_bytes()
            except OSError:
                raise MissingArtefactError(
                    f"no study profile {str(profile)!r}; give one of {', '.join(PROFILES)}, or a "
                    "TOML file in their form"
                ) from None
        try:
            return cls.of(parse_toml(content))
        except (ValueError, ConfigError) as error:
            raise ConfigError(f"the study profile {profile}: {error}") from None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Check nested plain values.

        Raises:
            ConfigError: one line that names each setting that is wrong.
        """
        try:
            plan = cls.model_validate(values)
        except ValidationError as error:
            wrong = [
                f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']} (got {one['input']!r})"
                for one in error.errors()
            ]
            raise ConfigError("; ".join(wrong)) from None
        if not plan.model_name:
            plan = plan.model_copy(update={"model_name": plan.runs_name})
        plan.cost_model()  # the prices are checked here, not in the middle of the work
        return plan

    def changed(
        self,
        *,
        tasks: Sequence[str] | None = None,
        seeds: Sequence[int] | None = None,
        backbone: str | None = None,
        tiers: tuple[int, int, int] | None = None,
        max_train_rows: int | None = None,
        epochs: int | None = None,
    ) -> Plan:
        """The plan with what a user asked for in place of its own.

        Its name tells what was changed, so that its results never take the place of the profile's.

        Raises:
            ConfigError: a task that the plan does not have, or other than three tiers.
        """
        if tiers is not None and len(tiers) != 3:
            raise ConfigError(
                f"model.tiers: the studies are of the paper's three tiers, got {len(tiers)}"
            )
        values = self.model_dump(mode="json", exclude_none=True) | {"items": self.items}
        values["model_name"] = self.model_name
        if self.collection is not None:
            values["collection"] = self.collection.model_dump(mode="json", exclude_none=True)
        trained, chosen = [], []  # what tells these runs, these results from the profile's own
        if backbone is not None and backbone != self.model.backbone:
            values["model"] |= {"backbone": backbone}
            values["model"].pop("tiers", None)  # another depth: a third, a half and the whole
            trained.append(Path(backbone).name)
        if tiers is not None and tiers != self.model.tiers:
            values["model"]["tiers"] = tiers
            trained.append("tiers" + ".".join(map(str, tiers)))
        if epochs is not None and epochs != self.training.epochs:
            values["training"]["epochs"] = epochs
            trained.append(f"epochs{epochs}")
        if max_train_rows is not None:
            for group in ("tasks", "domains"):
                for one in values[group].values():
                    one["max_train_rows"] = max_train_rows
            trained.append(f"rows{max_train_rows}")
        if seeds is not None and tuple(seeds) != self.seeds:
            values["seeds"] = tuple(seeds)
            chosen.append("seeds" + ".".join(map(str, seeds)))
        if tasks is not None and list(tasks) != list(self.tasks):
            for name in tasks:
                if name not in self.tasks:
                    raise ConfigError(
                        f"the study profile has no task {name!r}; it has {', '.join(self.tasks)}"
                    )
            values["tasks"] = {name: values["tasks"][name] for name in tasks}
            values["table2"] = [name for name in self.table2 if name in tasks]
            chosen.append(".".join(tasks))
        if trained or chosen:
            values["runs"] = "-".join([self.runs_name, *trained])
            values["name"] = "-".join([self.name, *trained, *chosen])
            values["model_name"] = "-".join([self.model_name, *trained])
        return Plan.of(values)

    def of_collection(self) -> Plan:
        """The plan of what goes into the trace collection.

        Raises:
            ConfigError: nothing of this profile does.
        """
        if (own := self.collection) is None:
            raise ConfigError(
                f"the study profile {self.name} has no part in the trace collection; a table "
                "[collection] of it would say which"
            )
        values = self.model_dump(mode="json", exclude_none=True)
        given = own.model_dump(
            mode="json", exclude_none=True, exclude={"rows", "training", "systems"}
        )
        training = values["training"] | dict(own.training)
        runs = f"{self.runs_name}-traces"
        plan = Plan.of(values | given | {"training": training, "runs": runs, "table2": []})
        return plan.model_copy(update={"collection": own, "items": COLLECTION_ITEMS})

    @property
    def runs_name(self) -> str:
        """Name of the folder of the runs."""
        return self.runs or self.name

    def fits_or_default(self) -> tuple[FitPlan, ...]:
        """The fits of the ledgers."""
        return self.fits or (FitPlan(name=f"quantile grid, lambda {self.lam:g}", lam=self.lam),)

    def cost_model(self) -> CostModel:
        """The prices of this plan."""
        names = CostModel.__dataclass_fields__
        if unknown := set(self.costs) - set(names):
            raise ConfigError(
                f"costs: no price is named {sorted(unknown)[0]!r}; there are {', '.join(names)}"
            )
        return CostModel(**self.costs)

    def tasks_of(self, recipe: Recipe) -> list[str]:
        """The short names of the tasks that are trained by a recipe."""
        return [
            name
            for name, task in self.tasks.items()
            if recipe in (self.recipes if task.recipes is None else task.recipes)
        ]

    def task(self, name: str) -> TaskPlan:
        """A task or domain by its short name."""
        both = {**self.domains, **self.tasks}
        if name not in both:
            raise ConfigError(f"the study profile has no task {name!r}; it has {', '.join(both)}")
        return both[name]

    def settings(
        self, name: str, recipe: Recipe, seed: int, data_dir: str | None = None, **data: Any
    ) -> RunSettings:
        """Settings of the run of a task with a recipe and a seed."""
        task = self.task(name)
        is_glue = task.task.startswith("glue/")
        training = self.training.model_dump()
        if recipe == "two-stage":
            training |= {"recipe": "two-stage", "exit_learning_rate": self.exit_learning_rate}
        elif recipe == "depth":
            training |= {"loss": "depth"}
        elif recipe == "joint" and name == self.selection.train:
            training |= {"record_train": True}  # selections are made from a map of training rows
        given = {
            "data_dir": data_dir if is_glue else None,
            **task.model_dump(exclude={"recipes", "unlabelled"}),
            **data,
        }
        distillation = {} if self.distillation is None else self.distillation.model_dump()
        values: dict[str, Any] = {"data": given, "training": training, "seed": seed}
        own = recipe.startswith("own")
        if own:
            training |= {"recipe": "own"}
            values |= {"distillation": distillation | self._more(name, recipe)}
        elif recipe == "joint-distilled":
            values |= {"distillation": {"self_distillation": 1.0}}  # it has no students
        values["model"] = self.model.model_dump()
        if own and self.own is not None:
            values["model"] = {"max_tokens": self.model.max_tokens}
            values["tiers"] = [tier.model_dump() for tier in self.own]
        return RunSettings.of(values)

    def _more(self, name: str, recipe: Recipe) -> dict[str, Any]:
        """What a recipe of tiers with a model each adds to their distillation."""
        if recipe == "own-twice":
            return {"rounds": 2}
        if recipe != "own-unlabelled":
            return {}
        if (rows := self.task(name).unlabelled) is None:
            raise ConfigError(
                f"tasks.{name}: the recipe own-unlabelled needs a number of rows, unlabelled = 2000"
            )
        # The recipe own is what it is compared with: nothing is trained twice to tell the gain.
        return {"unlabelled": f"{name}-{rows}-unlabelled.jsonl", "gain": False}
