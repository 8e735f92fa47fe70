"""The policy at work: it decides, learns, and has every answer recorded once."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import NamedTuple

from dimec.base.errors import (
    ArtefactError,
    ConfigError,
    DataError,
    DimecError,
    StateBusyError,
    StorageError,
    shown,
)
from dimec.mobile.prediction import Prediction
from dimec.mobile.state.audits import Audited
from dimec.mobile.state.rows import Record
from dimec.mobile.state.store import State
from dimec.policies.kinds import Arrays
from dimec.policies.step import Go, Learns, Signal, Step, Steps, Walk

# Answers that wait for room on the disk: some megabytes at most, with their embeddings.
MOST_WAITING = 4096
# Of these, tried at once: a full disk must not make every further answer slow.
_TRIED_AT_ONCE = 64

_log = logging.getLogger(__name__)


class Decision(NamedTuple):
    """The first step of an input, and the way that begins with it.

    Attributes:
        first: where the input goes.
        walk: its way, which others lead on.
        number: of the decision, in order of arrival; 0 where nothing is learnt by deciding.
        safe: whether it is the safe policy's, from which nothing is learnt.
        audited: its part in the audit; None where it has none.
    """

    first: Go
    walk: Walk
    number: int
    safe: bool = False
    audited: Audited | None = None


class Decisions:
    """Steps whose memory is that of a state file.

    What learns by deciding does so at once, in order of arrival; what learns from answers, when
    the answer is recorded. The file learns of it with the answer, in one transaction; an input
    that never gets an answer is forgotten. So what the policy knows is what the file says, and
    what is under way.

    Steps that learn nothing here leave alone whatever others have learnt before in the same file.
    Safe to call from several threads.

    Args:
        steps: the policy's, as fitted.
        twin: another of the same; by it the file's arrays learn.
        state: the file.
        learns: when they learn here: as they do, or never.
    """

    def __init__(self, steps: Steps, twin: Steps, state: State, learns: Learns) -> None:
        self.learns = learns
        self.state = state
        self.lost = 0
        self._steps, self._twin = steps, twin
        self._fitted = steps.state()
        self._twin_knows: Arrays | None = None  # the arrays that the twin gave last
        self._waiting: list[tuple[Decision, Record]] = []
        self._under_way: dict[int, Decision] = {}
        self._number = 0
        self._opened = state.opened
        # Only where something is learnt does a decision have to wait for others.
        learning = learns != "never"
        self._deciding: contextlib.AbstractContextManager[object] = (
            threading.RLock() if learning else contextlib.nullcontext()
        )
        self._recording = threading.RLock()
        self._complained = False
        if learning:
            self._rebuild()

    def memory(self) -> Arrays:
        """What decisions rest on now, as arrays by name; empty where nothing is learnt."""
        with self._deciding:
            return self._steps.state()

    @property
    def waiting(self) -> int:
        """Answers that wait for room on the disk."""
        return len(self._waiting)

    def look(self, signal: Signal) -> Go:
        """Decide, and learn nothing; errors as :meth:`after`."""
        with self._deciding:
            return self._begin(signal)

    def decide(self, signal: Signal) -> Decision:
        """Decide, and learn from the input if the policy learns by deciding.

        To be followed by :meth:`record` or :meth:`abandon`. Errors as :meth:`after`.
        """
        with self._deciding:
            decision = Decision(self._begin(signal), Walk(signal), 0)
            return self._learn(decision) if self.learns == "deciding" else decision

    def after(self, walk: Walk) -> Step:
        """What comes next, now that one more exit has spoken.

        Raises:
            DataError: the policy, which may be a stranger's, fails on this input.
        """
        with self._deciding:
            try:
                return self._steps.after(walk)
            except Exception as error:
                raise _failure(error) from None

    def _begin(self, signal: Signal) -> Go:
        try:
            return _first(self._steps.begin(signal))
        except Exception as error:
            raise _failure(error) from None

    def abandon(self, decisions: Iterable[Decision]) -> None:
        """Forget what was learnt from inputs that will have no answer."""
        if self.learns != "deciding":
            return
        with self._recording, self._deciding:
            left = [self._under_way.pop(d.number, None) for d in decisions]
            if any(decision is not None for decision in left):
                self._rebuild()

    def find(self, id_: str) -> Prediction | None:
        """The answer that an input was given before, if there is one."""
        with self._recording:
            for _, record in self._waiting:
                if record.prediction.id == id_:
                    return replace(record.prediction, recorded=False)
            return self.state.find(id_)

    def record(self, answers: Sequence[tuple[Decision, Prediction]]) -> bool:
        """Record answers, all or none; False where the disk refuses and they have to wait."""
        with self._recording:
            some = [self._noted(decision, prediction) for decision, prediction in answers]
            recorded = self.flush() and self._write(some)
            if not recorded:
                self._keep(some)
            if self.state.opened != self._opened:
                self._opened = self.state.opened
                if self.learns != "never":
                    with self._deciding:
                        self._rebuild()
        return recorded

    def flush(self) -> bool:
        """Try once more to record what waits; whether nothing waits any longer."""
        with self._recording:
            while self._waiting:
                if not self._write(some := self._waiting[:_TRIED_AT_ONCE]):
                    return False
                del self._waiting[: len(some)]
            return True

    def _noted(self, decision: Decision, prediction: Prediction) -> tuple[Decision, Record]:
        """An answer to be recorded, with what was learnt from it."""
        if self.learns == "answered" and not (prediction.tried or decision.safe):
            with self._deciding:
                decision = self._learn(decision)
        return decision, Record(prediction, decision if decision.number else None, decision.audited)

    def _learn(self, decision: Decision) -> Decision:
        """Learn, the file not yet; the caller holds the lock."""
        self._number += 1
        decision = decision._replace(number=self._number)
        self._teach(self._steps, decision)
        self._under_way[decision.number] = decision
        return decision

    def _teach(self, steps: Steps, decision: Decision) -> None:
        walk = decision.walk
        steps.learn(Walk(walk.signal) if self.learns == "deciding" else walk, decision.first)

    def _after(self, known: Arrays, records: Sequence[Record]) -> Arrays:
        """What the file's arrays become by these answers."""
        if known is not self._twin_knows:  # else they are its own, and were written
            self._twin.restore(known or self._fitted)
        self._twin_knows = None  # should it fail half-way
        for record in records:
            assert isinstance(record.lesson, Decision)
            self._teach(self._twin, record.lesson)
        self._twin_knows = learnt = self._twin.state()
        return learnt

    def _write(self, some: Sequence[tuple[Decision, Record]]) -> bool:
        try:
            self.state.write([record for _, record in some], self._after)
        except (StorageError, ArtefactError, StateBusyError) as error:
            if not self._complained:
                self._complained = True
                _log.warning("answers are given, and not recorded for now: %s", error)
            return False
        self._complained = False
        self._settle(some)
        return True

    def _keep(self, some: Sequence[tuple[Decision, Record]]) -> None:
        self._waiting += some
        if (excess := len(self._waiting) - MOST_WAITING) > 0:
            for _, record in self._waiting[:excess]:
                if record.audited is not None:
                    record.audited.give_up()
            self._settle(self._waiting[:excess])
            del self._waiting[:excess]
            self.lost += excess

    def _settle(self, some: Iterable[tuple[Decision, Record]]) -> None:
        """What was decided is recorded, or never will be."""
        if self.learns != "never":
            with self._deciding:
                for decision, _ in some:
                    self._under_way.pop(decision.number, None)

    def _rebuild(self) -> None:
        """Know what the file says and what is under way; the caller holds the locks."""
        self._steps.restore(self.state.arrays or self._fitted)
        for decision in self._under_way.values():
            self._teach(self._steps, decision)


def _failure(error: Exception) -> Exception:
    """A DataError for whatever a policy raises that the user could do nothing about."""
    if isinstance(error, DimecError):
        return error
    problem = shown(f"{type(error).__name__}: {error}", 120)
    return DataError(f"the bundle's policy fails on this text ({problem}); fit and export it again")


def _first(step: Step) -> Go:
    if isinstance(step, Go):
        return step
    raise ConfigError("a policy cannot answer before any exit was seen")


class Claims:
    """Which inputs are being answered right now, by ``id``: each has one caller working on it."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._held: dict[str, Future[None]] = {}

    def claim(self, id_: str) -> Future[None] | None:
        """None: the caller has it now. Else another one has it; ask again when that is done."""
        with self._mutex:
            held = self._held.get(id_)
            if held is None:
                self._held[id_] = Future()
            return held

    def release(self, id_: str) -> None:
        """Let go of an ``id``, its answer recorded or not."""
        with self._mutex:
            held = self._held.pop(id_, None)
        if held is not None:
            held.set_result(None)
