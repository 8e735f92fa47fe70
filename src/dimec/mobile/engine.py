"""What the synchronous and the asynchronous mobile share: every step of an answer but the waiting.

An input is an :class:`Item`. It is admitted, claimed, embedded and decided on; then the device
runs it on, or another tier is asked, as its course says, until there is an answer; then it is
recorded, or dropped. The two mobiles call these steps, one from threads and the other from tasks.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import Float32Array
from dimec.base.errors import ConfigError, DataError, TierError, quoted
from dimec.bundle.footprint import resident_bytes
from dimec.bundle.graphs import pad_batch
from dimec.mobile.core import Core, Embedded, Text
from dimec.mobile.course import Course, Fallback, Tariff, check_fallback, fallback_order
from dimec.mobile.decisions import Claims, Decision, Decisions
from dimec.mobile.fitted import adapted, open_mobile_bundle, policy_of, state_identity, steps_of
from dimec.mobile.prediction import Choice, LedgerSummary, MobileInfo, Prediction, Stay
from dimec.mobile.state.store import State, default_path
from dimec.policies.kinds import Arrays
from dimec.policies.step import Signal

_LONGEST_ID = 200
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)


@dataclass(slots=True, eq=False)
class Item:
    """An input on its way.

    Attributes:
        text: as given; let go of once it is embedded.
        id: its name.
        given: whether the caller chose ``id``, so that it may have an answer already.
        traceparent: W3C trace context, or "" to make one when it is needed.
        started: when it came, in seconds of the performance counter.
        claimed: whether ``id`` is claimed for it.
        decision, course: where it goes, once it was decided on.
        prediction: the answer, once there is one.
        known: whether ``prediction`` was recorded before.
    """

    text: Text | None
    id: str
    given: bool
    traceparent: str
    started: float
    claimed: bool = False
    embedded: Embedded | None = None
    decision: Decision | None = None
    course: Course | None = None
    prediction: Prediction | None = None
    known: bool = False

    @property
    def inputs(self) -> dict[str, npt.NDArray[np.int64]]:
        """Model inputs (1, T)."""
        assert self.embedded is not None
        return self.embedded.inputs

    @property
    def way(self) -> Course:
        """Its course, once it was decided on."""
        assert self.course is not None
        return self.course

    def context(self) -> str:
        """The W3C trace context to send along."""
        if not self.traceparent:
            bits = os.urandom(24).hex()
            self.traceparent = f"00-{bits[:32]}-{bits[32:]}-01"
        return self.traceparent


class Engine:
    """Bundle, policy, state and prices of a mobile, and the steps of an answer.

    Attributes:
        deployment: the tiers and their prices.
        names: of the tiers, in order.
        device: the first of them, which this is.
        adaptive: whether the policy learns here.

    Args:
        bundle: the mobile tier's folder, or the folder above it.
        state: path of the state file; None for the default one, ``":memory:"`` for none.
        adaptive: whether the policy learns; None for what was fitted.
        fallback: ``"accuracy"`` or ``"cost"``, see :func:`dimec.mobile.course.fallback_order`.
        threads: processor threads of one run of a graph.

    Raises:
        ConfigError: an unknown fallback, a policy that cannot learn but should, or one with steps
            that cannot be taken here.
        ArtefactError: the bundle or the state cannot be used.
        StateBusyError, StorageError: the state cannot be held or written.
    """

    def __init__(
        self,
        bundle: Path | str,
        *,
        state: Path | str | None,
        adaptive: bool | None,
        fallback: Fallback,
        threads: int | None,
    ) -> None:
        started = time.perf_counter()
        self._memory_base = resident_bytes()
        check_fallback(fallback)
        self.fallback = fallback
        self.bundle = open_mobile_bundle(bundle)
        manifest = self.bundle.manifest
        self.deployment = deployment = manifest.deployment
        self.names = deployment.names
        self.device = self.names[0]
        self._tariff = Tariff(deployment)
        self._orders = [fallback_order(k, fallback, deployment) for k in range(len(deployment))]
        self.core = Core(self.bundle, threads)
        policy = adapted(policy_of(self.bundle).policy, adaptive)
        steps, twin = (steps_of(policy, self.bundle) for _ in range(2))
        learns = "never" if adaptive is False else steps.learns
        self.policy, self.adaptive = policy.name, learns != "never"
        identity = state_identity(self.bundle)
        path = default_path(identity) if state is None else state
        self.state = State(path, identity, self.names, twin.restore if self.adaptive else None)
        self._decisions = Decisions(steps, twin, self.state, learns)
        self._claims = Claims()
        self.closed = False
        self._start_seconds = time.perf_counter() - started

    def close(self) -> None:
        """Record what waits, if there is room, and let go of the state."""
        if not self.closed:
            self.closed = True
            self._decisions.flush()
            self.state.close()

    # --- The steps of an answer ------------------------------------------------------------------

    def admit(self, text: Text, id_: str | None, traceparent: str | None) -> Item:
        """Take an input in.

        Raises:
            DataError: no text for this task, or no id.
            ConfigError: the mobile is closed.
        """
        started = time.perf_counter()
        if self.closed:
            raise ConfigError("this mobile is closed; open it again")
        self.check(text, id_)
        if id_ is None:
            return Item(text, os.urandom(16).hex(), False, _trace_of(traceparent), started)
        return Item(text, id_, True, _trace_of(traceparent), started)

    def check(self, text: Text, id_: str | None) -> None:
        """Whether an input can be taken.

        Raises:
            DataError: no text for this task, or no id.
        """
        self.core.check(text)
        if id_ is not None and not (
            isinstance(id_, str) and 0 < len(id_) <= _LONGEST_ID and id_.isprintable()
        ):
            raise DataError(
                f"an id must be 1 to {_LONGEST_ID} printable characters, got {quoted(id_)}"
            )

    def claim(self, item: Item) -> Future[None] | None:
        """None: the input is the caller's. Else wait for the result, and ask again.

        To be followed by :meth:`record` or :meth:`drop`.
        """
        if item.given and (held := self._claims.claim(item.id)) is not None:
            return held
        item.claimed = item.given
        return None

    def recall(self, item: Item) -> None:
        """Take the answer that the input was given before, if there is one."""
        if item.given:
            item.prediction = self._decisions.find(item.id)
            item.known = item.prediction is not None

    def embed(self, item: Item) -> None:
        """Tokenise, and run the embedding layer."""
        assert item.text is not None
        item.embedded = self.core.embed(self.core.tokenise(item.text))
        item.text = None

    def decide(self, item: Item) -> None:
        """Have the policy say where to go, and learn from the input if it does."""
        assert item.embedded is not None
        item.decision = decision = self._decisions.decide(_signal(item.embedded))
        order = self._orders[decision.first.tier]
        item.course = Course(decision.walk, decision.first, order, self.deployment)

    def run(self, items: Iterable[Item]) -> None:
        """Run inputs on this device, exit by exit, until each is answered or to go to a tier."""
        for item in items:
            course, embedded = item.way, item.embedded
            assert embedded is not None
            while course.answer is None and course.tier == self.device:
                course.see(self.core.run(embedded, course.layer), self._decisions.after)
            if course.walk.looks:
                embedded.hidden = None  # should another tier fail, what was seen is the answer
            self._settle(item)

    def see(self, items: Iterable[Item], rows: Iterable[Float32Array]) -> None:
        """The tier that was asked for inputs has given the (C,) probabilities of each."""
        for item, row in zip(items, rows, strict=True):
            item.way.see(row, self._decisions.after)
            self._settle(item)

    def failed(self, items: Iterable[Item], error: TierError) -> None:
        """The tier that was asked for inputs gave no usable answer."""
        for item in items:
            item.way.failed(error)
            self._settle(item)

    def _settle(self, item: Item) -> None:
        """Make the prediction, if the course has come to its end."""
        course = item.way
        if course.answer is None:
            return
        values, first = course.answer.probabilities.tolist(), course.first
        best = course.answer.prediction
        item.prediction = Prediction(
            id=item.id,
            label=self.core.labels[best],
            probability=values[best],
            probabilities=dict(zip(self.core.labels, values, strict=True)),
            route=self.names[first.tier],
            distances=self._by_name(first.scores),
            margin=_finite(first.margin) if first.scores else None,
            path=tuple(Stay(self.names[v.tier], v.start, v.stop, v.payload) for v in course.path),
            answered_by=self.names[course.answer.tier],
            fallback_reason=course.reason,
            tried=course.tried,
            milliseconds=1e3 * (time.perf_counter() - item.started),
            cost=self._tariff.cost(course.path, course.failures),
            recorded=True,
        )

    def record(self, items: Sequence[Item]) -> list[Prediction]:
        """Record answers, and give them back in the same order."""
        new = [item for item in items if not item.known]
        answers = [(item.decision, item.prediction) for item in new]
        try:
            recorded = self._decisions.record(answers) if new else True  # type: ignore[arg-type]
        finally:
            self._release(items)
        predictions = []
        for item in items:
            assert item.prediction is not None
            kept = recorded or item.known
            predictions.append(
                item.prediction if kept else replace(item.prediction, recorded=False)
            )
        return predictions

    def drop(self, items: Sequence[Item]) -> None:
        """Forget inputs that will have no answer."""
        self._decisions.abandon([item.decision for item in items if item.decision is not None])
        self._release(items)

    def _release(self, items: Iterable[Item]) -> None:
        for item in items:
            if item.claimed:
                item.claimed = False
                self._claims.release(item.id)

    def batch(self, items: Sequence[Item]) -> dict[str, npt.NDArray[np.int64]]:
        """Model inputs (B, T) of B inputs, filled up to the longest."""
        if len(items) == 1:
            return items[0].inputs
        rows = [{name: values[0] for name, values in item.inputs.items()} for item in items]
        return pad_batch(rows, self.bundle.manifest.padding)

    # --- What can be asked of it -----------------------------------------------------------------

    def look(self, text: Text) -> Choice:
        """The decision on a text; nothing is learnt or recorded.

        Raises:
            DataError: no text for this task.
        """
        self.core.check(text)
        first = self._decisions.look(_signal(self.core.embed(self.core.tokenise(text))))
        margin = _finite(first.margin) if first.scores else None
        return Choice(first.tier, self.names[first.tier], self._by_name(first.scores), margin)

    def memory(self) -> Arrays:
        """What the policy's decisions rest on now, as arrays by name, where it learns."""
        return self._decisions.memory()

    def _by_name(self, scores: Sequence[float]) -> dict[str, float | None]:
        """Tier → score; empty where the policy measures none."""
        names = self.names if scores else ()
        return {name: _finite(score) for name, score in zip(names, scores, strict=True)}

    def ledger(self) -> LedgerSummary:
        """All recorded answers, added up."""
        totals, price = self.state.totals(), self.deployment.prices[-1]
        mean = totals.cost / totals.answers if totals.answers else None
        return LedgerSummary(
            answers=totals.answers,
            learnt=totals.learnt,
            routes=totals.routes,
            answered=totals.answered,
            fallbacks=totals.fallbacks,
            mean_cost=mean,
            reduction=1 - mean / price if mean is not None and price else None,
            mean_milliseconds=totals.milliseconds / totals.answers if totals.answers else None,
            waiting=self._decisions.waiting,
            lost=self._decisions.lost,
        )

    def info(self) -> MobileInfo:
        """What it takes of the device."""
        return MobileInfo(
            bundle=str(self.bundle.path),
            version=self.bundle.manifest.version,
            state=str(self.state.path),
            policy=self.policy,
            adaptive=self.adaptive,
            start_seconds=self._start_seconds,
            memory_base_bytes=self._memory_base,
            memory_bytes=resident_bytes(),
            disk_bytes=self.bundle.size,
        )


def _signal(embedded: Embedded) -> Signal:
    """What there is of an input before any layer has run."""
    return Signal(embedded.pooled, embedded.inputs["input_ids"].shape[1])


def _finite(value: float) -> float | None:
    """None for what JSON cannot say: the score of a tier that cannot be reached."""
    return value if math.isfinite(value) else None


def _trace_of(traceparent: str | None) -> str:
    """A given trace context, or "" where it is none: W3C wants a new one made then."""
    return traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else ""
