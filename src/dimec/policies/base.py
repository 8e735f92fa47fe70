"""What a policy is, and what its replay leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray, IntArray
from dimec.base.errors import ConfigError, DataError
from dimec.policies.step import Site, Steps
from dimec.tiers.deployment import Deployment
from dimec.tiers.paths import Leg, ends_of, leg, tier_legs, usage_of
from dimec.tiers.usage import Usage, hidden_bytes
from dimec.traces.trace import Trace


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a policy did with the N samples of a trace: their paths, and which exits answered.

    A policy that draws lots is stored as its probabilities, so that the ledger can give expected
    values in place of one draw; a deterministic one has zeros and ones.

    Attributes:
        deployment: whose K tiers were visited.
        legs: the paths, visit by visit.
        answers: (N, X) probability that the exit x gave the answer to sample i; rows sum to 1.
    """

    deployment: Deployment
    legs: tuple[Leg, ...]
    answers: FloatArray

    @cached_property
    def tiers(self) -> FloatArray:
        """(N, K) probability that each tier was the last to be visited; rows sum to 1."""
        return ends_of(self.legs, len(self.deployment))

    @cached_property
    def usage(self) -> Usage:
        """What the answers took; :meth:`Deployment.price` makes costs of it."""
        return usage_of(self.legs, self.deployment)

    @property
    def cost(self) -> FloatArray:
        """(N,) in units of λ."""
        return self.deployment.price(self.usage)


@runtime_checkable
class Policy(Protocol):
    """Replays a trace.

    Attributes:
        name: of its row in the ledger.
        sees_labels: whether it looks at the trace's labels; true for references only.
        learns_online: whether what it does with a sample depends on those that came before.
        replay_only: why it cannot be written as steps, and so not be served; empty where it can.
    """

    @property
    def name(self) -> str: ...

    @property
    def sees_labels(self) -> bool: ...

    @property
    def learns_online(self) -> bool: ...

    @property
    def replay_only(self) -> str: ...

    def steps(self, site: Site) -> Steps:
        """The policy at work on a site, having learnt nothing yet.

        Raises:
            ConfigError: it cannot be written as steps, or the site lacks what it needs.
        """
        ...

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """Decide on every sample in order of arrival; must change neither the trace nor itself."""
        ...


@runtime_checkable
class Adaptable(Policy, Protocol):
    """A policy that learns online or does not, as its user likes."""

    def adapted(self, learns: bool) -> Policy:
        """The same policy, which learns or stays as it was fitted."""
        ...


def outcome_of(
    trace: Trace, deployment: Deployment, legs: Sequence[Leg], answers: FloatArray | None = None
) -> Outcome:
    """The outcome of these paths: the exit at which each one ends gives the answer.

    Args:
        trace: of N samples.
        deployment: whose tiers the legs visit.
        legs: of N samples each.
        answers: (N, X) where another exit than the last may give the answer.

    Raises:
        ConfigError: a path ends where the trace has no exit.
    """
    if answers is None:
        answers = np.zeros((len(trace), len(trace.exits)))
        for one in legs:
            source = deployment.tiers[one.tier].source
            here = np.flatnonzero(one.ends)
            columns = exit_columns(trace, source, one.stop[here])
            answers[here, columns] += one.ends[here]  # two tiers may share an exit
    return Outcome(deployment, tuple(legs), answers)


def exit_columns(trace: Trace, source: str, layers: npt.NDArray[np.floating]) -> IntArray:
    """(N,) positions of the exits at these layers of one source among the trace's exits."""
    whole = layers.astype(np.int64)
    column_of = np.zeros(whole.max(initial=0) + 1, np.int64)
    column_of[whole] = 1  # a table by layer: there are few, and sorting all samples takes long
    different = np.flatnonzero(column_of)
    column_of[different] = trace.columns(tuple(different.tolist()), (source,) * len(different))
    return column_of[whole]


def tier_outcome(
    trace: Trace, deployment: Deployment, weights: npt.NDArray[np.floating]
) -> Outcome:
    """The outcome of sending sample i to tier k with probability ``weights[i, k]``.

    The answer is the tier's exit's, and it costs the tier's price: nothing ran before it.

    Args:
        trace: of N samples.
        deployment: of K tiers.
        weights: (N, K), rows summing to 1.
    """
    w = np.asarray(weights, np.float64)
    if w.shape != (len(trace), len(deployment)):
        expected = (len(trace), len(deployment))
        raise DataError(f"weights must have the shape {expected}, got {w.shape}")
    trace.columns(deployment.exits, deployment.sources)  # all of them, also where nothing goes
    return outcome_of(trace, deployment, tier_legs(deployment, trace.lengths, w))


def first_tier_outcome(
    trace: Trace, deployment: Deployment, columns: npt.NDArray[np.integer]
) -> Outcome:
    """The outcome of early exit on the first tier alone: λ_m for each layer up to the exit taken.

    Args:
        trace: of N samples.
        deployment: whose first tier is the device.
        columns: (N,) positions of the exits taken among the trace's exits.
    """
    layers = np.asarray(trace.exits)[columns]
    return outcome_of(trace, deployment, [leg(len(trace), 0, layers)])


def split_outcome(
    trace: Trace,
    deployment: Deployment,
    columns: npt.NDArray[np.integer],
    offloaded: npt.NDArray[np.bool_],
    width: int | None = None,
) -> Outcome:
    """The outcome of split computing with early exit: answer at the split, or offload.

    Every sample runs on the first tier up to its split, λ_m a layer. One that exits there is
    answered there. One that is offloaded pays o_c + γ beside: its hidden states travel, and the
    last tier runs the layers that are left and answers at the last exit. γ is due in full, the
    constant that the paper has the cloud charge for a sample.

    Args:
        trace: of N samples.
        deployment: where the last layer stands.
        columns: (N,) positions of the split's exit among the trace's exits.
        offloaded: (N,) whether the sample goes on to the last tier.
        width: numbers in a token's hidden state; that of the trace's embeddings by default.
    """
    require_two_tiers(deployment)
    size, layers = len(trace), np.asarray(trace.exits)[columns].astype(np.float64)
    away = np.asarray(offloaded, bool)
    return outcome_of(
        trace,
        deployment,
        [
            leg(size, 0, layers, ends=~away),
            leg(
                size,
                deployment.last,
                deployment.layers,
                start=layers,
                taken=away,
                payload=hidden_payload(trace, width),
            ),
        ],
    )


def no_steps(policy: Policy) -> ConfigError:
    """What a policy that can only be replayed raises when it is asked for steps."""
    return ConfigError(f"{policy.name} can be replayed, and not served: {policy.replay_only}")


def require_two_tiers(deployment: Deployment) -> None:
    """Refuse a single tier, for a system that goes on at another.

    Raises:
        ConfigError: there is one tier only.
    """
    if deployment.last == 0:
        raise ConfigError("to offload takes a second tier, and there is one only")


def require_one_model(deployment: Deployment, system: str) -> None:
    """Refuse tiers with models of their own, for a system that cuts one model in parts.

    Raises:
        ConfigError: names the system and the models.
    """
    if len(set(deployment.sources)) > 1:
        raise ConfigError(
            f"{system} cuts one model; these tiers have models of their own "
            f"({', '.join(deployment.sources)})"
        )


def hidden_payload(trace: Trace, width: int | None = None) -> FloatArray:
    """(N,) bytes of each sample's hidden states; the trace's embeddings tell their width."""
    return hidden_bytes(trace.lengths, trace.embeddings.shape[1] if width is None else width)


def one_hot(chosen: npt.NDArray[np.integer] | Sequence[int], size: int) -> FloatArray:
    """(N, size) zeros with a one at each of the N positions."""
    table = np.zeros((len(chosen), size))
    table[np.arange(len(chosen)), np.asarray(chosen, np.int64)] = 1.0
    return table
