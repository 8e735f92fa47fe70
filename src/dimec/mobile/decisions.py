"""The router at work: it decides, learns, and has every answer recorded once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dimec.base.errors import ArtefactError, StateBusyError, StorageError
from dimec.mobile.prediction import Prediction
from dimec.mobile.state.rows import Record
from dimec.mobile.state.store import State
from dimec.routing import CentroidRouter, Route

# Answers that wait for room on the disk: some megabytes at most, with their embeddings.
MOST_WAITING = 4096
# Of these, tried at once: a full disk must not make every further answer slow.
_TRIED_AT_ONCE = 64

_log = logging.getLogger(__name__)


class Decision(NamedTuple):
    """A route, and what an adaptive router learnt from the input.

    Attributes:
        route: where the input goes.
        embedding: (D,) that was learnt; None where nothing was.
        number: of the decision, in order of arrival.
    """

    route: Route
    embedding: npt.NDArray[np.floating] | None
    number: int


class Decisions:
    """A router whose state is that of a state file.

    An adaptive router learns from an input as soon as it has decided on it, in order of arrival.
    The file learns of it when the answer is recorded; an input that never gets an answer is
    forgotten. So what the router knows is what the file says, and what is under way.

    A fixed router stays as it was fitted, whatever an adaptive one may have learnt before in the
    same file. Safe to call from several threads.

    Args:
        router: the fitted one.
        state: opened with that router's sums and counts.
        adaptive: whether it learns.
    """

    def __init__(self, router: CentroidRouter, state: State, adaptive: bool) -> None:
        self.adaptive = adaptive
        self.state = state
        self.lost = 0
        self._waiting: list[tuple[Decision, Record]] = []
        self._under_way: dict[int, Decision] = {}
        self._number = 0
        self._opened = state.opened
        self._deciding = threading.Lock()
        self._recording = threading.RLock()
        self._complained = False
        if adaptive:
            router = CentroidRouter.from_state(state.sums, state.counts, adaptive=True)
        self._router = router if adaptive else router.copy(adaptive=False)

    @property
    def pools(self) -> dict[str, int]:
        """Tier → number of embeddings in the pool that decisions rest on."""
        with self._deciding:
            return dict(zip(self.state.tiers, self._router.counts.tolist(), strict=True))

    @property
    def waiting(self) -> int:
        """Answers that wait for room on the disk."""
        return len(self._waiting)

    def look(self, embedding: npt.NDArray[np.floating]) -> Route:
        """Decide on an embedding (D,), and learn nothing."""
        if not self.adaptive:
            return self._router.route_one(embedding)
        with self._deciding:
            return self._router.route_one(embedding)

    def decide(self, embedding: npt.NDArray[np.floating]) -> Decision:
        """Decide on an embedding (D,), and learn from it.

        To be followed by :meth:`record` or :meth:`abandon`.
        """
        if not self.adaptive:
            return Decision(self._router.route_one(embedding), None, 0)
        with self._deciding:
            route = self._router.route_one(embedding)
            self._router.learn_one(embedding, route.tier)
            self._number += 1
            decision = Decision(route, embedding, self._number)
            self._under_way[decision.number] = decision
        return decision

    def abandon(self, decisions: Iterable[Decision]) -> None:
        """Forget what was learnt from inputs that will have no answer."""
        if not self.adaptive:
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
        some = [(d, Record(prediction, d.embedding)) for d, prediction in answers]
        with self._recording:
            recorded = self.flush() and self._write(some)
            if not recorded:
                self._keep(some)
            if self.state.opened != self._opened:
                self._opened = self.state.opened
                if self.adaptive:
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

    def _write(self, some: Sequence[tuple[Decision, Record]]) -> bool:
        try:
            self.state.write([record for _, record in some])
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
            self._settle(self._waiting[:excess])
            del self._waiting[:excess]
            self.lost += excess

    def _settle(self, some: Iterable[tuple[Decision, Record]]) -> None:
        """What was decided is recorded, or never will be."""
        if self.adaptive:
            with self._deciding:
                for decision, _ in some:
                    self._under_way.pop(decision.number, None)

    def _rebuild(self) -> None:
        """The router from what the file says and what is under way; the caller holds the locks."""
        router = CentroidRouter.from_state(self.state.sums, self.state.counts, adaptive=True)
        for decision in self._under_way.values():
            if decision.embedding is not None:
                router.learn_one(decision.embedding, decision.route.tier)
        self._router = router


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
