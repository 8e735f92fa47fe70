"""A policy that is written as one function, to be tried on traces in a few lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dimec.policies.base import Outcome, no_steps
from dimec.policies.drive import drive, site_of
from dimec.policies.step import FixedSteps, Go, Signal, Site, Step, Steps, Walk
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace


def to_first_tier(signal: Signal, site: Site) -> Go:
    """To the first tier's own exit, whatever the input."""
    return Go(0, site.deployment.exits[0])


@dataclass(frozen=True)
class WrittenPolicy:
    """A policy that a function decides, sample by sample; it learns nothing.

    It stands in a ledger like any other (:func:`dimec.evaluate`). One that is to be fitted, stored
    or served is a class (see "A policy of your own package" in ``docs/architecture.md``).

    Attributes:
        name: of its row in the ledger.
        after: where to go next, or to answer, now that the exits in ``walk.looks`` have spoken.
        begin: where to go first, before any layer has run; by default to the first tier's exit.

    Example:
        >>> from dimec import Deployment, load_trace
        >>> from dimec.policies.step import Answer
        >>> trace = load_trace("mrpc/minilm-joint/0/test")
        >>> stays = WrittenPolicy("stays", lambda walk, site: Answer())
        >>> float(stays.replay(trace, Deployment.paper(trace.tiers)).cost.mean())
        3.0
    """

    name: str
    after: Callable[[Walk, Site], Step]
    begin: Callable[[Signal, Site], Go] = to_first_tier
    sees_labels: bool = field(default=False, init=False)
    learns_online: bool = field(default=False, init=False)
    replay_only: str = field(default="no file can hold a function; write a class", init=False)

    def steps(self, site: Site) -> Steps:
        """None: it cannot be served."""
        raise no_steps(self)

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """The function's steps, sample by sample.

        Raises:
            ConfigError: a step leads back, or to an exit that the trace does not have.
        """
        steps = _WrittenSteps(self, site_of(trace, deployment))
        return drive(steps, trace, deployment)


class _WrittenSteps(FixedSteps):
    reach: Sequence[Go] = ()  # nobody asks what is not served

    def __init__(self, policy: WrittenPolicy, site: Site) -> None:
        self._policy, self._site = policy, site

    def begin(self, signal: Signal) -> Go:
        return self._policy.begin(signal, self._site)

    def after(self, walk: Walk) -> Step:
        return self._policy.after(walk, self._site)
