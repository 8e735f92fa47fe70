"""Systems by name: what each is, where it comes from, and how its settings are chosen.

A *system* is a method of the literature; fitted to a validation split it becomes a *policy*, which
replays traces. Every system is fitted by the same rule, so that none is favoured: of the settings
that its authors sweep, the one with the highest mean of (right or wrong) - λ·cost on the
validation split. The test split is never looked at.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from types import MappingProxyType
from typing import Any

from dimec.base.errors import ConfigError, DataError
from dimec.base.plugins import Plugin, Registered, calling_module, registrant
from dimec.cartography import DataMap
from dimec.policies.base import Policy
from dimec.policies.kinds import load_plugin, load_plugins
from dimec.tiers.costs import check_lambda
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace

# How much a λ of cost weighs where a system's reward is a confidence less a cost, as a multiple of
# the ledger's own λ. Confidences promise more than they keep, so the weight that serves accuracy
# best need not be 1; where all are equally good, the first is taken.
WEIGHTS = (1.0, 0.5, 2.0, 4.0, 8.0)


@dataclass(frozen=True, eq=False)
class FitInputs:
    """All that a system may be fitted to: the validation split, and nothing of the test split.

    Attributes:
        validation: the trace of the validation split.
        deployment: where the layers stand and what they cost.
        lam: λ, the weight of one unit of cost against accuracy or confidence.
        data_map: of the validation samples at the mobile's exit; only dimec's own systems need it.
        pinned: settings that the user has set; each is tried alone, in place of the grid's values.
    """

    validation: Trace
    deployment: Deployment
    lam: float
    data_map: DataMap | None = None
    pinned: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_lambda(self.lam)
        if len(self.validation) == 0:
            raise DataError("cannot fit on a validation trace without samples")

    def tried(self, name: str, values: Sequence[Any]) -> Sequence[Any]:
        """The values of a setting to try: the pinned one alone, where there is one."""
        return (self.pinned[name],) if name in self.pinned else values


@dataclass(frozen=True, eq=False)
class Fitted:
    """A system fitted to a validation split.

    Attributes:
        policy: ready to replay; named after the system.
        settings: what was chosen, for the record.
        reward: what the choice scored on the validation split.
    """

    policy: Policy
    settings: Mapping[str, Any]
    reward: float


@dataclass(frozen=True)
class System:
    """A method of the literature.

    Attributes:
        name: of its row, and in the registry.
        source: the paper it comes from, with its number on arXiv or its venue.
        make: builds the policy from its settings.
        grid: for each setting the values that are tried, those of its authors.
        fitter: in place of the grid: fits the policy in a way of its own.
        along: with a fitter: fits it for each of several λ at once, in their order, where that
            shares work.
        needs: the training of its own that its traces must come from; empty where it replays the
            trace of any multi-exit model.
        title: as a reader says it, in tables and figures; its name where none is given.
        recipe: the training that its own paper prescribes, where that is not the joint one; a study
            may replay it on traces of that training too.
        reads: what of a trace it cannot do without: ``"confidences"``, ``"embeddings"``,
            ``"lengths"``, and ``"answers"`` where it looks at these alone. Records of others may
            lack each (:func:`lacks`).
        tags: what else sets it apart, for those who choose among systems: ``"ours"`` (dimec itself,
            with its kind and its grid), ``"whole model"`` (every layer for every input),
            ``"reference"`` (what costs are compared with), ``"exit 0"`` (it looks at layer 0, where
            there is an exit).
    """

    name: str
    source: str
    make: Callable[..., Policy]
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    fitter: Callable[[FitInputs], Fitted] | None = None
    along: Callable[[FitInputs, Sequence[float]], Sequence[Fitted]] | None = None
    needs: str = ""
    title: str = ""
    recipe: str = ""
    reads: frozenset[str] = frozenset({"confidences"})
    tags: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not self.title:
            object.__setattr__(self, "title", self.name)

    def settings(self, pinned: Mapping[str, Any] = MappingProxyType({})) -> list[dict[str, Any]]:
        """Every combination of the grid's values, in order; one empty one where there is no grid.

        Args:
            pinned: settings with one value, in place of the grid's or beside them.

        Example:
            >>> System("x", "", dict, {"a": (1, 2), "b": (3,)}).settings()
            [{'a': 1, 'b': 3}, {'a': 2, 'b': 3}]
            >>> System("x", "", dict, {"a": (1, 2), "b": (3,)}).settings({"a": 9})
            [{'a': 9, 'b': 3}]
        """
        grid = {**self.grid, **{name: (value,) for name, value in pinned.items()}}
        values = itertools.product(*grid.values())
        return [dict(zip(grid, chosen, strict=True)) for chosen in values]

    def fit(self, inputs: FitInputs) -> Fitted:
        """Choose the settings on the validation split, those apart that are pinned.

        Ties go to the earlier combination. Policies that learn online replay the validation split
        from nothing, as they will the test split.

        Raises:
            ConfigError: the traces lack what it reads.
        """
        self.check_reads(inputs.validation)
        if self.fitter is not None:
            return self.fitter(inputs)
        best: Fitted | None = None
        for settings in self.settings(inputs.pinned):
            policy = self.make(**settings)
            reward = validation_reward(policy, inputs)
            if best is None or reward > best.reward:
                best = Fitted(policy, MappingProxyType(settings), reward)
        assert best is not None  # settings() is never empty
        return best

    def check_reads(self, trace: Trace) -> None:
        """Refuse a trace without what this system cannot do without.

        Raises:
            ConfigError: says what it lacks.
        """
        lacking = lacks(trace)
        for what in sorted(self.reads & lacking.keys()):
            raise ConfigError(
                f"{self.name} looks at {what}, and these traces {lacking[what]}; {_instead(trace)}"
            )


def lacks(trace: Trace) -> dict[str, str]:
    """What a system may read and a trace does not hold, each with how a message says so.

    Example:
        >>> from dimec.traces.collection import load_trace
        >>> lacks(load_trace("sst2/minilm-own/0/test"))
        {}
    """
    found = {
        "answers": (trace.outcomes_only, "only tell which were right"),
        "confidences": (trace.answers_only, "hold none"),
        "embeddings": (not trace.embeddings.shape[1], "hold none"),
        "lengths": (len(trace) > 0 and not trace.lengths.any(), "hold none"),
    }
    return {name: how for name, (lacking, how) in found.items() if lacking}


def _instead(trace: Trace) -> str:
    if not trace.answers_only:
        return "take a system that does without, such as max-softmax-tiers"
    if not trace.outcomes_only:
        return "take a system that does without, such as pabee"
    if trace.embeddings.shape[1]:
        return "take a system that does without, such as knn"
    return "only the tiers alone do without"


def validation_reward(policy: Policy, inputs: FitInputs) -> float:
    """Mean of (right or wrong) - λ·cost over the validation split."""
    trace, deployment = inputs.validation, inputs.deployment
    outcome = policy.replay(trace, deployment)
    right = (outcome.answers * trace.correct).sum(axis=1)
    return float((right - inputs.lam * deployment.price(outcome.usage)).mean())


_SYSTEMS: Registered[System] = Registered("a system")
# Each registers its systems when it is imported, which is not before somebody asks for systems: a
# phone that runs one policy needs none of the others. The order is that of the tables.
_MODULES = (
    "dimec.policies.literature.bert",  # bert-cloud, bert-mobile
    "dimec.policies.chance",  # random
    "dimec.policies.literature.deebert",
    "dimec.policies.literature.pabee",
    "dimec.policies.literature.adaee",
    "dimec.policies.literature.splitee",
    "dimec.policies.literature.splitee_s",
    "dimec.policies.literature.i_splitee",
    "dimec.policies.literature.uee_ucb",
    "dimec.policies.literature.lee",
    "dimec.policies.literature.dee",
    "dimec.policies.literature.ceebert",
    "dimec.policies.literature.dimee",  # max-softmax and max-softmax-tiers too
    "dimec.policies.literature.neurosurgeon",  # by latency and by energy
    "dimec.policies.literature.bottleneck",  # BottleNet++, BottleFit, CDE, HND
    "dimec.policies.literature.compression",  # pruned, int8, distilled: on the mobile alone
    "dimec.policies.literature.class_cascade",  # per exit, per exit and class, by the class alone
    "dimec.policies.literature.deferral",
    "dimec.policies.literature.knn",
    "dimec.policies.literature.cats",
    "dimec.policies.literature.calm",
    "dimec.policies.literature.fast_yet_safe",
    "dimec.policies.cascade.system",
    "dimec.policies.dimec",  # Ours-F and Ours-D, with both grids
)


def register(
    system: System,
    *,
    title: str = "",
    recipe: str = "",
    tags: Collection[str] = (),
    by: Plugin | None = None,
) -> System:
    """Add a system, after those that are there: the order of registration is that of the tables.

    Args:
        system: what is fitted and replayed.
        title, recipe, tags: how it is shown and compared; in place of the system's own.
        by: the package whose it is, where that is not the one that is being imported.

    Returns:
        The system as it is registered.

    Raises:
        ConfigError: the name is taken.
    """
    by = by or registrant(calling_module())
    known = replace(
        system,
        title=title or system.title,
        recipe=recipe or system.recipe,
        tags=frozenset(tags) or system.tags,
    )
    _SYSTEMS.add(known.name, known, by)
    return known


def systems() -> Mapping[str, System]:
    """Every registered system by name, in the order of the tables; those of other packages last.

    A package that cannot be loaded is left out, with a warning.
    """
    _load_own()
    load_plugins()
    return _in_order()


def _load_own() -> None:
    for module in _MODULES:
        import_module(module)


def _in_order() -> Mapping[str, System]:
    homes = {name: _home(_SYSTEMS[name]) for name in _SYSTEMS}
    return MappingProxyType({name: _SYSTEMS[name] for name in sorted(homes, key=homes.__getitem__)})


def _home(system: System) -> int:
    home = getattr(system.make, "__module__", "")
    return _MODULES.index(home) if home in _MODULES else len(_MODULES)


def tagged(*tags: str) -> tuple[System, ...]:
    """Every registered system that has all these tags, in the order of the tables.

    Example:
        >>> from dimec.policies import tagged
        >>> [one.name for one in tagged("reference")]
        ['bert-cloud']
    """
    return tuple(one for one in systems().values() if one.tags.issuperset(tags))


def system(name: str) -> System:
    """The system of that name; of other packages only the one that has it is imported, if one has.

    Raises:
        ConfigError: there is none; says which there are. Or its package cannot be loaded.
    """
    if (one := find_system(name)) is None:
        raise ConfigError(f"no system is named {name!r}; there are {', '.join(systems())}")
    return one


def find_system(name: str) -> System | None:
    """As :func:`system`; None where there is none.

    Raises:
        ConfigError: its package cannot be loaded.
    """
    _load_own()
    if name not in _SYSTEMS:
        load_plugin(name)
    return _SYSTEMS[name] if name in _SYSTEMS else systems().get(name)
