"""A policy as a step: what it sees of one input, and what it says comes next.

A policy that can be written so is replayed and served by the same few lines: ``begin`` sees what
exists before any layer has run, ``after`` sees one more exit each time, and each says where to run
next, or to answer. ``learn`` takes in what an online method may learn from.

Settings and state are two things. A policy is fitted once and never changes; its :class:`Steps` on
a site hold what it has learnt since, as arrays. So every replay starts anew, and a mobile stores
the arrays with each answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import Float32Array
from dimec.base.errors import ConfigError
from dimec.tiers.deployment import Deployment

Payload = Literal["text", "hidden"]  # what travels to a tier
State: TypeAlias = Mapping[str, npt.NDArray[Any]]
# When an online method learns: as soon as it has decided, or once the answer is there.
Learns = Literal["never", "deciding", "answered"]


@dataclass(slots=True, eq=False)
class Signal:
    """What there is of an input before any layer has run; not frozen, see :class:`Look`.

    Attributes:
        embedding: (D,) the embedding layer's output, pooled over the real tokens.
        tokens: how many there are.
    """

    embedding: npt.NDArray[np.floating]
    tokens: int


@dataclass(frozen=True, slots=True)
class Go:
    """Run on: at the tier that the input is at, or at another.

    Attributes:
        tier: position of the tier; never one before the tier that the input is at.
        layer: run there up to this exit; 0 on the first tier is exit 0, where no layer runs.
        payload: what is sent where the tier is another one: the text, so that all layers up to
            ``layer`` run there, or the hidden states, so that those run that are left.
        scores: how the policy scored each tier, lower is nearer; empty where it measures nothing.
        margin: the second lowest score less the lowest; 0 where nothing is measured.
        note: what the policy wants to know of this step later, such as the arm that it played;
            nobody else reads it. :attr:`Walk.note` keeps that of the first step.
    """

    tier: int
    layer: int
    payload: Payload = "text"
    scores: tuple[float, ...] = field(default=(), compare=False)
    margin: float = field(default=0.0, compare=False)
    note: Any = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer with what an exit that was seen says; the one seen last by default.

    Attributes:
        look: its position among :attr:`Walk.looks`.
    """

    look: int = -1


Step: TypeAlias = Go | Answer


@dataclass(slots=True, eq=False)
class Look:
    """An exit that was seen; not frozen, for one that is takes twice as long to make.

    Attributes:
        tier: where.
        layer: at which.
        probabilities: (C,) float32, of the classes.
    """

    tier: int
    layer: int
    probabilities: Float32Array

    @property
    def confidence(self) -> float:
        """The largest probability."""
        return float(self.probabilities.max())

    @property
    def prediction(self) -> int:
        """The class of the largest probability; the lower code where two are equal."""
        return int(self.probabilities.argmax())


@dataclass(frozen=True, slots=True)
class Visit:
    """A stay at a tier, as far as it went.

    Attributes:
        tier: where.
        start: layers that had run when the input came: 0 where it came as text.
        stop: the layer that it was run up to.
        payload: what was sent there; None at the tier where the input arose.
    """

    tier: int
    start: int
    stop: int
    payload: Payload | None = None


@dataclass(slots=True, eq=False)
class Walk:
    """One input on its way: what was seen of it, and where it has been.

    Attributes:
        signal: what there was before any layer.
        looks: the exits seen so far, in order.
        visits: the stays at tiers so far, in order; the last one is where the input is.
        note: that of the first step. What a policy has learnt may have changed since then, where
            several inputs are on their way at once.
    """

    signal: Signal
    looks: list[Look] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    note: Any = None

    @property
    def last(self) -> Look:
        """The exit that was seen last."""
        return self.looks[-1]

    def go(self, step: Go, deployment: Deployment) -> Visit:
        """Take a step: a longer stay where the input is, or a visit to another tier.

        Returns:
            What runs now: from which layer to which.

        Raises:
            ConfigError: the step leads back, nowhere, or hands on what the tier cannot take up.
        """
        here = self.visits[-1] if self.visits else None
        self._check(step, here, deployment)
        if here is None:
            self.note = step.note
        if here is not None and here.tier == step.tier:
            self.visits[-1] = Visit(step.tier, here.start, step.layer, here.payload)
            return Visit(step.tier, here.stop, step.layer)
        start = here.stop if here is not None and step.payload == "hidden" else 0
        visit = Visit(step.tier, start, step.layer, step.payload if step.tier else None)
        self.visits.append(visit)
        return visit

    def see(self, probabilities: Float32Array) -> None:
        """The exit at which the last step ended has spoken."""
        here = self.visits[-1]
        self.looks.append(Look(here.tier, here.stop, probabilities))

    def answer(self, step: Answer) -> Look:
        """The look that answers.

        Raises:
            ConfigError: nothing of the kind was seen.
        """
        size = len(self.looks)
        if step.look not in range(-size, size):
            raise ConfigError(f"{size} exits were seen, so none of them is number {step.look}")
        return self.looks[step.look]

    @staticmethod
    def _check(step: Go, here: Visit | None, deployment: Deployment) -> None:
        if step.tier not in range(len(deployment)):
            raise ConfigError(f"a step goes to the tiers 0 to {deployment.last}, got {step.tier}")
        if step.layer == 0 and step.tier:
            raise ConfigError(
                f"the exit at layer 0 is the device's, and nobody sends a text to "
                f"{deployment.names[step.tier]} for it"
            )
        if here is None:
            if step.payload == "hidden":
                raise ConfigError("no layer has run, so there are no hidden states to send")
            return
        same = step.tier == here.tier
        if step.tier < here.tier or (same and step.layer <= here.stop):
            raise ConfigError(
                f"a step leads on, but this one goes from {deployment.names[here.tier]}, layer "
                f"{here.stop}, to {deployment.names[step.tier]}, layer {step.layer}"
            )
        sources = deployment.sources
        if step.payload == "hidden" and sources[step.tier] != sources[here.tier]:
            raise ConfigError("hidden states are of no use to a tier with a model of its own")


@dataclass(frozen=True)
class Site:
    """Where a policy's steps lead: a deployment, and the exits that can be seen there.

    Attributes:
        deployment: the tiers and their prices.
        exits: the layers with an exit, ascending; 0 where there is an exit 0.
        sources: the model of each, as many.
    """

    deployment: Deployment
    exits: tuple[int, ...]
    sources: tuple[str, ...] = ()

    def exits_of(self, tier: int) -> tuple[int, ...]:
        """The exits of the model behind a tier, ascending, also those deeper than its own.

        Only those after layers: whoever wants to look at layer 0 asks :attr:`exit0`.
        """
        return tuple(layer for layer in self._all_of(tier) if layer)

    @property
    def exit0(self) -> bool:
        """Whether ``Go(0, 0)`` can be taken: the device, where no layer runs, and what exit 0 says.

        It is the exit at layer 0 of the first tier's model (:mod:`dimec.bundle.exit0`), and free.
        """
        return 0 in self._all_of(0)

    def _all_of(self, tier: int) -> tuple[int, ...]:
        if not self.sources or len(set(self.sources)) == 1:
            return self.exits
        wanted = self.deployment.sources[tier]
        pairs = zip(self.exits, self.sources, strict=True)
        return tuple(layer for layer, source in pairs if source == wanted)


class Steps(Protocol):
    """A policy at work on a site, with what it has learnt there.

    Attributes:
        learns: whether and when :meth:`learn` is to be called.
        reach: every step that it may ever take, each once: whether all of them can be taken where
            it is to be served is asked before the first input.
    """

    @property
    def learns(self) -> Learns: ...

    @property
    def reach(self) -> Sequence[Go]: ...

    def begin(self, signal: Signal) -> Step:
        """Where to go with an input before any layer has run; changes nothing."""
        ...

    def after(self, walk: Walk) -> Step:
        """What comes next, now that one more exit has been seen; changes nothing."""
        ...

    def learn(self, walk: Walk, first: Go) -> None:
        """Take in what became of an input that ``begin`` sent to ``first``.

        Where it learns ``"deciding"``, the walk has not begun. Where ``"answered"``, all went as it
        said: of inputs on whose way a tier failed it does not hear.
        """
        ...

    def state(self) -> State:
        """What was learnt, as arrays by name; empty where nothing is."""
        ...

    def restore(self, state: State) -> None:
        """Take up a state that :meth:`state` gave.

        Raises:
            DataError: it is not one of this policy's.
        """
        ...


class FixedSteps:
    """Steps that learn nothing."""

    learns: Learns = "never"

    def learn(self, walk: Walk, first: Go) -> None:
        """Nothing."""

    def state(self) -> State:
        """Nothing."""
        return {}

    def restore(self, state: State) -> None:
        """Nothing."""
