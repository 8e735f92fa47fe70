"""All policies that may be served, each at every stand of its knob, and what each did with rows.

Those that a contract chooses among. What a policy does on the rows that it was fitted to flatters
it the more, the more it has learnt from them; so each is fitted again without a part of the rows,
and what it does there stands for it (cross-fitting).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dimec.base.arrays import FloatArray, IntArray
from dimec.base.errors import ConfigError
from dimec.policies.base import Policy
from dimec.policies.drive import site_of
from dimec.policies.kinds import is_kind
from dimec.policies.ladder import LAMBDAS, at_lambdas, ladder
from dimec.policies.reach import unserved
from dimec.policies.registry import FitInputs, Fitted, System
from dimec.policies.routed import RouterPolicy
from dimec.routing import SingleTierRouter
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace

_ENOUGH = 2000  # rows, from which two folds tell enough
_FOLDS = 5


@dataclass(frozen=True, eq=False)
class Did:
    """What a policy did with N rows.

    Attributes:
        classes: (N,) codes of the classes that it answered.
        cost: (N,) of each answer, λ.
    """

    classes: IntArray
    cost: FloatArray


@dataclass(frozen=True, eq=False)
class Candidate:
    """A policy that may be served.

    Attributes:
        system: its name; ``"single"`` for a tier alone.
        fitted: to all rows of the fit.
        lam: λ that it was fitted for; None where that is not its knob.
        did: with the rows of the fit, as if it had not seen them.
    """

    system: str
    fitted: Fitted
    lam: float | None
    did: Did

    @property
    def policy(self) -> Policy:
        """The policy itself."""
        return self.fitted.policy

    def told(self) -> str:
        """``cascade at lambda 0.01``, ``pabee with patience 2``, ``all-edge``."""
        if self.lam is not None:
            return f"{self.system} at lambda {self.lam:g}"
        told = ", ".join(f"{key} {value}" for key, value in self.fitted.settings.items())
        return f"{self.policy.name} with {told}" if told else self.policy.name


def did(policy: Policy, trace: Trace, deployment: Deployment) -> Did:
    """Replay a policy and see what it answers.

    Raises:
        ConfigError: it draws lots, so what it would answer to a row is not known.
    """
    outcome = policy.replay(trace, deployment)
    if not np.isin(outcome.answers, (0, 1)).all():
        raise ConfigError(f"{policy.name} draws lots, so no row tells what it would answer")
    exits = outcome.answers.argmax(axis=1)
    classes: IntArray = trace.predictions[np.arange(len(trace)), exits]
    return Did(classes, outcome.cost)


def single_tiers(inputs: FitInputs) -> list[Candidate]:
    """Every tier alone; the last of them is the reference."""
    trace, deployment = inputs.validation, inputs.deployment
    policies = [
        RouterPolicy(f"all-{name}", SingleTierRouter(k)) for k, name in enumerate(deployment.names)
    ]
    return [
        Candidate("single", Fitted(one, {}, 0.0), None, did(one, trace, deployment))
        for one in policies
    ]


def candidates_of(
    one: System, inputs: FitInputs, seed: int = 0, lambdas: Sequence[float] = LAMBDAS
) -> list[Candidate]:
    """A system's policies along its knob.

    Args:
        one: the system.
        inputs: what it is fitted to.
        seed: of the folds.
        lambdas: values of λ, where λ is the knob.

    Raises:
        ConfigError: it cannot be fitted to these, not be served, or goes on learning: then what it
            does depends on what came before, and rows do not speak for later ones.
    """
    first = one.fit(inputs) if one.fitter is not None else _first_of_grid(one, inputs)
    if reason := why_not(first.policy, inputs):
        raise ConfigError(f"{one.name} {reason}")
    steps = ladder(one, inputs, lambdas)
    return [
        Candidate(one.name, fitted, lam, each)
        for (lam, fitted), each in zip(steps, _unseen(one, inputs, steps, seed), strict=True)
    ]


def _unseen(
    one: System, inputs: FitInputs, steps: Sequence[tuple[float | None, Fitted]], seed: int
) -> list[Did]:
    """What each policy of a ladder did with the rows of the fit, as if it had not seen them."""
    if one.fitter is None:  # a setting or two of a grid learn nothing of single rows
        trace, deployment = inputs.validation, inputs.deployment
        return [did(fitted.policy, trace, deployment) for _, fitted in steps]
    return _cross_fitted(one, inputs, [lam for lam, _ in steps if lam is not None], seed)


@dataclass(frozen=True, eq=False)
class Stand:
    """A policy at one stand of its knob, and what it did with N rows.

    Attributes:
        fitted: to all rows of the fit.
        lam: λ that it was fitted for; None where that is not its knob.
        right: (N,) chance that it is right, 0 or 1 unless it draws lots.
        cost: (N,) of each answer, λ.
    """

    fitted: Fitted
    lam: float | None
    right: FloatArray
    cost: FloatArray


def stands_of(
    one: System,
    inputs: FitInputs,
    seed: int = 0,
    lambdas: Sequence[float] = LAMBDAS,
    more: Trace | None = None,
) -> list[Stand]:
    """A system along its knob, with what each policy did with the rows of the fit.

    What a contract can choose has cross-fitted figures; what goes on learning, draws lots or exists
    on traces alone has those of a replay.

    Args:
        one: the system.
        inputs: what it is fitted to.
        seed: of the folds.
        lambdas: values of λ, where λ is the knob.
        more: rows that it is not fitted to, which stand behind those of the fit.

    Raises:
        ConfigError: it cannot be fitted to these.
    """
    steps, trace = ladder(one, inputs, lambdas), inputs.validation
    if why_not(steps[0][1].policy, inputs):
        told = [_replayed(fitted.policy, trace, inputs.deployment) for _, fitted in steps]
    else:
        told = [
            ((each.classes == trace.labels).astype(np.float64), each.cost)
            for each in _unseen(one, inputs, steps, seed)
        ]
    found = [Stand(fitted, lam, *each) for (lam, fitted), each in zip(steps, told, strict=True)]
    if more is None:
        return found
    return [_longer(each, more, inputs.deployment) for each in found]


def _replayed(
    policy: Policy, trace: Trace, deployment: Deployment
) -> tuple[FloatArray, FloatArray]:
    """(N,) chance to be right, and (N,) cost."""
    outcome = policy.replay(trace, deployment)
    right: FloatArray = (outcome.answers * trace.correct).sum(axis=1).astype(np.float64)
    return right, outcome.cost


def _longer(stand: Stand, more: Trace, deployment: Deployment) -> Stand:
    right, cost = _replayed(stand.fitted.policy, more, deployment)
    both = [np.concatenate(pair) for pair in ((stand.right, right), (stand.cost, cost))]
    return replace(stand, right=both[0], cost=both[1])


def why_not(policy: Policy, inputs: FitInputs) -> str:
    """Why a contract cannot take a policy: ``goes on learning``, for example; empty if it can."""
    if policy.learns_online:
        return "goes on learning, so no rows speak for what it will do"
    if policy.replay_only or not is_kind(getattr(policy, "kind", "")):
        return "cannot be served"
    trace = inputs.validation
    width = trace.embeddings.shape[1]
    if unserved(policy, site_of(trace, inputs.deployment), width):
        return "cannot be served on these tiers"
    return ""


def _first_of_grid(one: System, inputs: FitInputs) -> Fitted:
    """Of its first settings, which tell as well as any what it is."""
    settings = one.settings(inputs.pinned)[0]
    return Fitted(one.make(**settings), settings, 0.0)


def _cross_fitted(one: System, inputs: FitInputs, lambdas: Sequence[float], seed: int) -> list[Did]:
    size = len(inputs.validation)
    told = [Did(np.zeros(size, np.int64), np.zeros(size)) for _ in lambdas]
    for seen, held in _folds(size, seed):
        part = inputs_of(inputs, seen)
        rest = inputs.validation.take(held)
        for each, fitted in zip(told, at_lambdas(one, part, lambdas), strict=True):
            there = did(fitted.policy, rest, inputs.deployment)
            each.classes[held], each.cost[held] = there.classes, there.cost
    return told


def inputs_of(inputs: FitInputs, rows: IntArray) -> FitInputs:
    """The same, of some rows alone."""
    data_map = inputs.data_map
    return replace(
        inputs,
        validation=inputs.validation.take(rows),
        data_map=None if data_map is None else data_map.take(rows),
    )


def _folds(size: int, seed: int) -> Iterator[tuple[IntArray, IntArray]]:
    folds = 2 if size >= _ENOUGH else min(_FOLDS, size)
    fold = np.random.default_rng(seed).permutation(size) % folds
    for number in range(folds):
        held = np.flatnonzero(fold == number).astype(np.int64)
        yield np.flatnonzero(fold != number).astype(np.int64), held
