"""What the synchronous and the asynchronous mobile share: every step of an answer but the waiting.

An input is an :class:`Item`. It is admitted, claimed, embedded and decided on; then each tier of
its course is asked until one answers; then it is recorded, or dropped. The two mobiles call these
steps, one from threads and the other from tasks.
"""

from __future__ import annotations

import hashlib
import json
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

from dimec.base.errors import ConfigError, CorruptArtefactError, DataError, MismatchError, quoted
from dimec.bundle.folders import TierBundle, is_whole, read_manifest
from dimec.bundle.footprint import resident_bytes
from dimec.bundle.graphs import pad_batch
from dimec.mobile.core import Core, Embedded, Text
from dimec.mobile.course import Course, Fallback, Tariff, check_fallback, fallback_order
from dimec.mobile.decisions import Claims, Decision, Decisions
from dimec.mobile.prediction import Choice, LedgerSummary, MobileInfo, Prediction
from dimec.mobile.state.store import State, default_path
from dimec.policies.kinds import ARRAYS, POLICY, StoredPolicy
from dimec.policies.routed import RouterPolicy
from dimec.routing import CentroidRouter

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

    def trace(self) -> str:
        """The trace context to send along."""
        if not self.traceparent:
            bits = os.urandom(24).hex()
            self.traceparent = f"00-{bits[:32]}-{bits[32:]}-01"
        return self.traceparent


class Engine:
    """Bundle, router, state and prices of a mobile, and the steps of an answer.

    Attributes:
        names: of the tiers, in order.
        device: the first of them, which this is.

    Args:
        bundle: the mobile tier's folder, or the folder above it.
        state: path of the state file; None for the default one, ``":memory:"`` for none.
        adaptive: whether the router learns.
        fallback: ``"accuracy"`` or ``"cost"``, see :func:`dimec.mobile.course.fallback_order`.
        threads: processor threads of one run of a graph.

    Raises:
        ConfigError: an unknown fallback.
        ArtefactError: the bundle or the state cannot be used.
        StateBusyError, StorageError: the state cannot be held or written.
    """

    def __init__(
        self,
        bundle: Path | str,
        *,
        state: Path | str | None,
        adaptive: bool,
        fallback: Fallback,
        threads: int | None,
    ) -> None:
        started = time.perf_counter()
        self._memory_base = resident_bytes()
        check_fallback(fallback)
        self.fallback = fallback
        self.adaptive = adaptive
        self.bundle = open_mobile_bundle(bundle)
        manifest = self.bundle.manifest
        deployment = manifest.deployment
        self.names = deployment.names
        self.device = self.names[0]
        self.tariff = Tariff(deployment)
        self._orders = [fallback_order(k, fallback, deployment) for k in range(len(deployment))]
        self.core = Core(self.bundle, threads)
        router = _router(self.bundle)
        identity = _identity(self.bundle)
        path = default_path(identity) if state is None else state
        self.state = State(path, identity, router.sums, router.counts, self.names)
        self._decisions = Decisions(router, self.state, adaptive)
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
        """Choose a tier, and learn from the input if the router does."""
        assert item.embedded is not None
        item.decision = self._decisions.decide(item.embedded.pooled)
        item.course = Course(self._orders[item.decision.route.tier])

    def classify(self, item: Item) -> npt.NDArray[np.float32]:
        """(C,) probabilities of the mobile itself."""
        assert item.embedded is not None
        return self.core.classify(item.embedded)

    def answer(self, item: Item, probabilities: npt.NDArray[np.float32]) -> None:
        """Make the prediction of the (C,) probabilities that the tier asked last gave."""
        assert item.decision is not None
        route, course, values = item.decision.route, item.way, probabilities.tolist()
        best = int(probabilities.argmax())
        served_by = course.tier
        item.prediction = Prediction(
            id=item.id,
            label=self.core.labels[best],
            probability=values[best],
            probabilities=dict(zip(self.core.labels, values, strict=True)),
            route=self.names[route.tier],
            distances=self._by_name(route.distances),
            margin=_finite(route.margin),
            served_by=served_by,
            fallback_reason=course.reason,
            tried=course.tried,
            milliseconds=1e3 * (time.perf_counter() - item.started),
            cost=self.tariff.cost(served_by, course.failures),
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
        route = self._decisions.look(self.core.embed(self.core.tokenise(text)).pooled)
        scores = self._by_name(route.distances)
        return Choice(route.tier, self.names[route.tier], scores, _finite(route.margin))

    def _by_name(self, scores: Sequence[float]) -> dict[str, float | None]:
        return {name: _finite(score) for name, score in zip(self.names, scores, strict=True)}

    def ledger(self) -> LedgerSummary:
        """All recorded answers, added up."""
        totals, price = self.state.totals(), self.tariff.last.price
        mean = totals.cost / totals.answers if totals.answers else None
        return LedgerSummary(
            answers=totals.answers,
            routes=totals.routes,
            served=totals.served,
            fallbacks=totals.fallbacks,
            mean_cost=mean,
            reduction=1 - mean / price if mean is not None and price else None,
            mean_milliseconds=totals.milliseconds / totals.answers if totals.answers else None,
            pools=self._decisions.pools,
            waiting=self._decisions.waiting,
            lost=self._decisions.lost,
        )

    def info(self) -> MobileInfo:
        """What it takes of the device."""
        return MobileInfo(
            bundle=str(self.bundle.path),
            version=self.bundle.manifest.version,
            state=str(self.state.path),
            adaptive=self.adaptive,
            start_seconds=self._start_seconds,
            memory_base_bytes=self._memory_base,
            memory_bytes=resident_bytes(),
            disk_bytes=self.bundle.size,
        )


def open_mobile_bundle(path: Path | str) -> TierBundle:
    """The mobile tier's bundle: in the folder itself, or in its folder below."""
    path = Path(path)
    if is_whole(path):
        path = path / read_manifest(path).names[0]
    bundle = TierBundle.open(path)
    if not bundle.manifest.is_first:
        first = bundle.manifest.names[0]
        raise CorruptArtefactError(
            f"{path} is the bundle of the {bundle.manifest.tier} tier, expected the {first} "
            f"tier's; give the folder {first}/ of the export"
        )
    return bundle


def _router(bundle: TierBundle) -> CentroidRouter:
    path = bundle.file(POLICY)
    stored = StoredPolicy.load(bundle.path)
    for name in (POLICY, ARRAYS):
        if name in bundle.manifest.files:
            bundle.read(name)  # it is still the file that was checked
    policy = stored.policy
    if not isinstance(policy, RouterPolicy) or not isinstance(policy.router, CentroidRouter):
        raise ConfigError(
            f"{path} holds the policy {policy.name}, and the mobile of this version runs routers "
            "only; replay it with dimec evaluate, or fit the run again with: dimec fit"
        )
    router = policy.router
    if not router.counts.any():
        raise CorruptArtefactError(
            f"{path} has nothing in its pools; make the bundle again with: dimec export"
        )
    if router.sums.shape != (len(bundle.manifest.tiers), bundle.manifest.width):
        raise CorruptArtefactError(
            f"{path} decides on embeddings of {router.sums.shape[1]} values, expected "
            f"{bundle.manifest.width}; make the bundle again with: dimec export"
        )
    fitted_on, model = stored.fitted_on.get("model"), bundle.manifest.provenance.get("model")
    if fitted_on is not None and model is not None and fitted_on != model:
        raise MismatchError(
            f"{path} was fitted on another model than the one in {bundle.path}; make the bundle "
            "again with: dimec export"
        )
    return router


def _identity(bundle: TierBundle) -> str:
    """What a state goes with: the model that embeds, and the policy that was fitted."""
    files = bundle.manifest.files
    policy = [files[name].sha256 for name in (POLICY, ARRAYS) if name in files]
    parts = [bundle.manifest.version, *policy]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _finite(value: float) -> float | None:
    """None for what JSON cannot say: the score of a tier that cannot be reached."""
    return value if math.isfinite(value) else None


def _trace_of(traceparent: str | None) -> str:
    """A given trace context, or "" where it is none: W3C wants a new one made then."""
    return traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else ""
