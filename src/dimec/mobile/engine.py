"""What the synchronous and the asynchronous mobile share: every step of an answer but the waiting.

An input is an :class:`dimec.mobile.item.Item`. It is admitted, claimed, embedded and decided on;
then the device runs it on, or another tier is asked, as its course says, until there is an answer,
and the last tier's too where the audit wants it; then it is recorded, or dropped. The two mobiles
call these steps, one from threads and the other from tasks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from dimec.base.arrays import Float32Array, IntArray
from dimec.base.errors import ConfigError, TierError
from dimec.bundle.folders import open_mobile_bundle
from dimec.bundle.footprint import resident_bytes
from dimec.contract.promise import promise_in
from dimec.hub.kept import local_folder
from dimec.mobile.answering import choice_of, prediction_of
from dimec.mobile.audit import Audit, AuditOptions
from dimec.mobile.core import Core, Embedded, Text
from dimec.mobile.course import Course, Fallback, Tariff, check_fallback, fallback_order
from dimec.mobile.decisions import Claims, Decisions
from dimec.mobile.fitted import adapted, policy_of, state_identity, steps_of
from dimec.mobile.item import Item, check_id, inputs_of, trace_of
from dimec.mobile.ledger import ledger_of
from dimec.mobile.prediction import Choice, LedgerSummary, MobileInfo, Prediction
from dimec.mobile.state.store import State, default_path
from dimec.mobile.texts import text_inputs, utf8_of
from dimec.policies.kinds import Arrays
from dimec.policies.step import Step, Walk

if TYPE_CHECKING:
    from dimec.mobile.spans import Sending


class Engine:
    """Bundle, policy, state and prices of a mobile, and the steps of an answer.

    Attributes:
        deployment: the tiers and their prices.
        names: of the tiers, in order.
        device: the first of them, which this is.
        adaptive: whether the policy learns here.
        promise: the policy's contract; None where it was fitted without one.
        audit: of the answers, and the safe policy after its alarm.

    Args:
        bundle: the mobile tier's folder, or the folder above it, or ``hub:ORG/NAME@REVISION``.
        state: path of the state file; None for the default one, ``":memory:"`` for none.
        adaptive: whether the policy learns; None for what was fitted.
        fallback: ``"accuracy"`` or ``"cost"``, see :func:`dimec.mobile.course.fallback_order`.
        threads: processor threads of one run of a graph.
        audit: what is wanted of the audit.

    Raises:
        ConfigError: an unknown fallback, a policy that cannot learn but should, one with steps
            that cannot be taken here, or an audit that cannot be.
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
        audit: AuditOptions,
    ) -> None:
        started = time.perf_counter()
        self._memory_base = resident_bytes()
        check_fallback(fallback)
        self.fallback = fallback
        self.bundle = open_mobile_bundle(local_folder(bundle))
        manifest = self.bundle.manifest
        self.deployment = deployment = manifest.deployment
        self.names = deployment.names
        self.device = self.names[0]
        self._takes_text = {tier.name for tier in manifest.tiers if tier.takes == "text"}
        self._tariff = Tariff(deployment)
        self._orders = [fallback_order(k, fallback, deployment) for k in range(len(deployment))]
        self.core = Core(self.bundle, threads)
        stored = policy_of(self.bundle)
        self.promise = promise = promise_in(stored.fitted_on)
        self.contract = None if promise is None else promise.told()
        watched = audit.watched(promise, deployment)
        policy = adapted(stored.policy, adaptive)
        steps, twin = (steps_of(policy, self.bundle) for _ in range(2))
        learns = "never" if adaptive is False else steps.learns
        self.policy, self.adaptive = policy.name, learns != "never"
        identity = state_identity(self.bundle)
        path = default_path(identity) if state is None else state
        check = twin.restore if self.adaptive else None
        self.state = State(path, identity, self.names, check, watched)
        try:
            labels = self.core.labels
            self.audit = Audit(self.state, deployment, self._tariff, labels, audit)
            if audit.reset:
                self.audit.begin()
            self.audit.check(watched)
            self._decisions = Decisions(steps, twin, self.state, learns)
        except BaseException:
            self.state.close()
            raise
        self.audit.tell()
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
            return Item(text, os.urandom(16).hex(), False, trace_of(traceparent), started)
        return Item(text, id_, True, trace_of(traceparent), started)

    def check(self, text: Text, id_: str | None) -> None:
        """Whether an input can be taken.

        Raises:
            DataError: no text for this task, or no id.
        """
        self.core.check(text)
        if id_ is not None:
            check_id(id_)

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
            known = self._decisions.find(item.id)
            if known is not None:
                policy, contract = self._terms(known.safe)
                item.prediction = replace(known, policy=policy, contract=contract)
                item.known = True

    def embed(self, item: Item) -> None:
        """Tokenise, and run the embedding layer."""
        assert item.text is not None
        item.embedded = self.core.embed(self._tokenise(item.text, item))
        if self._takes_text:
            item.utf8 = utf8_of(item.text)
        item.text = None

    def _tokenise(self, text: Text, item: Item) -> dict[str, IntArray]:
        return self.core.tokenise(text)

    def decide(self, item: Item) -> None:
        """Have the policy say where to go, and learn from the input if it does."""
        assert item.embedded is not None
        signal = item.embedded.signal
        if self.audit.safe:
            decision = self.audit.safe_decision(signal)
        else:
            decision = self._decisions.decide(signal)
            if (audited := self.audit.pick()) is not None:
                decision = decision._replace(audited=audited)
        item.decision = decision
        order = self._orders[decision.first.tier]
        item.course = Course(decision.walk, decision.first, order, self.deployment)

    def run(self, items: Iterable[Item]) -> None:
        """Run inputs on this device, exit by exit, until each is answered or to go to a tier."""
        for item in items:
            course, embedded = item.way, item.embedded
            assert embedded is not None
            while course.answer is None and course.tier == self.device:
                course.see(self._run_to(embedded, course.layer, item), self._after(item))
            if course.walk.looks:
                embedded.hidden = None  # should another tier fail, what was seen is the answer
            self._settle(item)

    def _run_to(self, embedded: Embedded, layer: int, item: Item) -> Float32Array:
        return self.core.run(embedded, layer)

    def sending(self, tier: str, items: Sequence[Item]) -> Sending | None:
        """What follows the asking of a tier for inputs; None where nothing does."""
        return None

    def see(self, items: Iterable[Item], rows: Iterable[Float32Array]) -> None:
        """The tier that was asked for inputs has given the (C,) probabilities of each."""
        for item, row in zip(items, rows, strict=True):
            if item.prediction is None:
                item.way.see(row, self._after(item))
                self._settle(item)
            elif item.audited is not None:
                self.audit.heard(item.audited, row)

    def failed(self, items: Iterable[Item], error: TierError) -> None:
        """The tier that was asked for inputs gave no usable answer."""
        for item in items:
            if item.prediction is None:
                item.way.failed(error)
                self._settle(item)
            elif item.audited is not None:
                self.audit.failed(item.audited, error)

    def _after(self, item: Item) -> Callable[[Walk], Step]:
        """What says the next step of an input."""
        assert item.decision is not None
        return self.audit.safe_after if item.decision.safe else self._decisions.after

    def _settle(self, item: Item) -> None:
        """Make the prediction, if the course has come to its end."""
        course = item.way
        if course.answer is None:
            return
        assert item.decision is not None
        policy, contract = self._terms(item.decision.safe)
        item.prediction = prediction_of(
            item,
            self.names,
            self.core.labels,
            cost=self._tariff.cost(course.path, course.failures),
            now=time.perf_counter(),
            policy=policy,
            contract=contract,
        )
        if item.audited is not None:
            self.audit.answered(item.audited, course, item.prediction.label)

    def _terms(self, safe: bool) -> tuple[str, str | None]:
        """Name of the policy that decides, and what that promises."""
        return (self.audit.policy, None) if safe else (self.policy, self.contract)

    def record(self, items: Sequence[Item]) -> list[Prediction]:
        """Record answers, and give them back in the same order."""
        new = [item for item in items if not item.known]
        answers = [(item.decision, item.prediction) for item in new]
        try:
            recorded = self._decisions.record(answers) if new else True  # type: ignore[arg-type]
        except BaseException:
            self._give_up(items)
            raise
        finally:
            self._release(items)
        self.audit.tell()
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
        self._give_up(items)
        self._release(items)

    @staticmethod
    def _give_up(items: Iterable[Item]) -> None:
        """Have no row of the audit wait for these."""
        for item in items:
            if item.audited is not None:
                item.audited.give_up()

    def _release(self, items: Iterable[Item]) -> None:
        for item in items:
            if item.claimed:
                item.claimed = False
                self._claims.release(item.id)

    def batch(self, items: Sequence[Item], tier: str) -> Mapping[str, npt.NDArray[Any]]:
        """What a tier is sent of B inputs: token ids (B, T) up to the longest, or texts (B, 1)."""
        if tier in self._takes_text:
            return text_inputs([item.utf8 for item in items])
        return inputs_of(items, self.bundle.manifest.padding)

    # --- What can be asked of it -----------------------------------------------------------------

    def look(self, text: Text) -> Choice:
        """The decision on a text; nothing is learnt or recorded.

        Raises:
            DataError: no text for this task.
        """
        self.core.check(text)
        signal = self.core.embed(self.core.tokenise(text)).signal
        safe = self.audit.safe
        first = self.audit.safe_decision(signal).first if safe else self._decisions.look(signal)
        return choice_of(first, self.names)

    def memory(self) -> Arrays:
        """What the policy's decisions rest on now, as arrays by name, where it learns."""
        return self._decisions.memory()

    def ledger(self) -> LedgerSummary:
        """All recorded answers, added up."""
        price = self.deployment.prices[-1]
        return ledger_of(self.state, price, self._decisions.waiting, self._decisions.lost)

    def info(self) -> MobileInfo:
        """What it takes of the device."""
        return MobileInfo(
            bundle=str(self.bundle.path),
            version=self.bundle.manifest.version,
            state=str(self.state.path),
            policy=self.policy,
            contract=self.contract,
            audit=self.audit.share,
            safe=self.audit.safe,
            adaptive=self.adaptive,
            start_seconds=self._start_seconds,
            memory_base_bytes=self._memory_base,
            memory_bytes=resident_bytes(),
            disk_bytes=self.bundle.size,
        )
