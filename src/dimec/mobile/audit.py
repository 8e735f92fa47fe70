"""The audit of a mobile: whom it picks, what the last tier says of them, and the safe policy.

A random share of the texts is asked of the last tier too, and the two answers are compared. Chance
alone picks, whatever the text. The answer that is given stays that of the policy. Once the monitor
raises its alarm, the policy is not asked any more: every text goes straight to the last tier, until
the audit is begun anew.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass

from dimec.base.arrays import Float32Array
from dimec.base.errors import ConfigError, DataError, TierError, option, quoted
from dimec.contract.audit import Watched, watched
from dimec.contract.promise import Promise
from dimec.mobile.course import Course, Tariff
from dimec.mobile.decisions import Decision
from dimec.mobile.state.audits import Audited
from dimec.mobile.state.store import State
from dimec.policies.step import Answer, Go, Signal, Visit, Walk
from dimec.tiers.deployment import Deployment

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AuditOptions:
    """What a user wants of the audit.

    Attributes:
        share: of the texts, in (0, 1]; None for no audit.
        bound: the share of different answers that is allowed, in points; None for the contract's.
        seed: of the draws, to repeat them in a test; None for the system's own randomness, which
            nobody can foresee.
        reset: whether to begin it anew.
    """

    share: float | None = None
    bound: float | None = None
    seed: int | None = None
    reset: bool = False

    def watched(self, promise: Promise | None, deployment: Deployment) -> Watched | None:
        """What is to be watched; None for no audit.

        Raises:
            ConfigError: it cannot be audited like that.
        """
        if self.share is None:
            if self.bound is not None:
                raise ConfigError(
                    f"{option('audit_bound')} does nothing without {option('audit')}, the share "
                    "of texts to audit"
                )
            return None
        if not 0 < self.share <= 1:
            raise ConfigError(
                f"{option('audit')} must be a share of the texts over 0 and at most 1, such as "
                f"0.01, got {self.share!r}"
            )
        if len(deployment) < 2:
            raise ConfigError(
                f"{option('audit')} compares answers with the last tier's, and these tiers are "
                "one alone; leave it out"
            )
        return watched(promise, self.bound)


class Audit:
    """The audit at work. Safe to call from several threads.

    Args:
        state: holds what it knows.
        deployment: the tiers.
        tariff: what ways cost.
        labels: names of the C classes.
        options: what is wanted.

    Attributes:
        share: of the texts that are picked; 0 for none.
        policy: name of the safe policy.
    """

    def __init__(
        self,
        state: State,
        deployment: Deployment,
        tariff: Tariff,
        labels: tuple[str, ...],
        options: AuditOptions,
    ) -> None:
        self.share = options.share or 0.0
        self._state = state
        self._labels = labels
        self._tariff = tariff
        self._tier, self._exit = deployment.last, deployment.exits[-1]
        self._name = deployment.names[-1]
        self.policy = f"all-{self._name}"
        chance = random.SystemRandom() if options.seed is None else random.Random(options.seed)
        self._chance = chance.random
        self._told = False

    @property
    def safe(self) -> bool:
        """Whether an alarm has put the safe policy in place of the fitted one."""
        watch = self._state.watch
        return watch is not None and watch.safe_since is not None

    def safe_decision(self, signal: Signal) -> Decision:
        """To the last tier, and no other step."""
        return Decision(Go(self._tier, self._exit), Walk(signal), 0, safe=True)

    @staticmethod
    def safe_after(walk: Walk) -> Answer:
        """The answer of the exit that has spoken."""
        return Answer()

    def pick(self) -> Audited | None:
        """Whether chance picks the next text, and its part in the audit then."""
        watch = self._state.watch
        if not self.share or watch is None or self._chance() >= self.share:
            return None
        return Audited(watch.session.draw(), watch.session, self._name)

    def answered(self, audited: Audited, course: Course, label: str) -> None:
        """A text that was picked has its answer; whether the last tier is left to be asked."""
        assert course.answer is not None
        if (course.answer.tier, course.answer.layer) == (self._tier, self._exit):
            audited.settle(label, 0.0)  # its own answer, and nothing more to pay
        elif self._name in course.tried:
            audited.settle(None, 0.0)

    def heard(self, audited: Audited, probabilities: Float32Array) -> None:
        """The last tier has given its (C,) probabilities."""
        visit = Visit(self._tier, 0, self._exit, "text")
        label = self._labels[int(probabilities.argmax())]
        audited.settle(label, self._tariff.cost((visit,), ()))

    def failed(self, audited: Audited, error: TierError) -> None:
        """The last tier gave no usable answer: the row is given up."""
        audited.settle(None, self._tariff.cost((), (error,)) if error.sent else 0.0)

    def label(self, id_: str, label: str) -> int:
        """Take in the true label of an audited text; see :meth:`dimec.mobile.Mobile.label`."""
        if label not in self._labels:
            expected = ", ".join(self._labels)
            raise DataError(f"expected a label among {expected}, got {quoted(label)}")
        lost = self._state.label(id_, label)
        self.tell()
        return lost

    def check(self, wanted: Watched | None) -> None:
        """Hold what the state watches against what is wanted.

        Raises:
            ConfigError: the audit of the state was begun with other bounds.
        """
        watch = self._state.watch
        if wanted is not None and watch is not None and watch.watched != wanted:
            raise ConfigError(
                f"the audit in {self._state.path} allows {100 * watch.watched.different:g} % of "
                f"answers to differ, and not {100 * wanted.different:g} %; leave "
                f"{option('audit_bound')} as it was, or begin anew with {option('audit_reset')}"
            )

    def begin(self) -> None:
        """Begin anew, and go back to the fitted policy.

        Raises:
            StorageError: the state cannot be written.
        """
        self._state.begin_audit()
        self._told = False

    def tell(self) -> None:
        """Say an alarm once."""
        if self.safe and not self._told:
            self._told = True
            _log.warning("%s", self.told())

    def told(self) -> str:
        """The alarm in a sentence; nothing where there is none."""
        watch = self._state.watch
        if watch is None or watch.safe_since is None:
            return ""
        if watch.differences.alarm:
            seen = watch.differences
            what = (
                f"at its row {seen.alarm}, more answers differ from the {self._name}'s than "
                f"{100 * seen.bound:g} %"
            )
        else:
            assert watch.drops is not None
            what = (
                f"at its row {watch.drops.alarm}, the drop in accuracy is over "
                f"{100 * watch.drops.bound:g} points"
            )
        return (
            f"the audit has raised its alarm ({what}): every text goes to the {self._name} "
            f"({self.policy}) until the audit is begun anew with {option('audit_reset')}"
        )
