"""The mobile tier: it decides where each text runs, and sees to it that each has one answer."""

from __future__ import annotations

import weakref
from collections.abc import Generator, Iterable, Iterator, Mapping, Sized
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from dimec.base.errors import ConfigError, DataError, TierError
from dimec.base.progress import NoProgress, Progress
from dimec.mobile.addresses import endpoints, named_urls, not_configured
from dimec.mobile.arrivals import Arrival, paired
from dimec.mobile.audit import AuditOptions
from dimec.mobile.core import Text
from dimec.mobile.course import Fallback
from dimec.mobile.engine import Engine
from dimec.mobile.item import Item
from dimec.mobile.prediction import Choice, LedgerSummary, MobileInfo, Prediction
from dimec.mobile.spans import engine_of

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from dimec.client.endpoint import TierAnswer
    from dimec.client.tier_client import TierClient
    from dimec.mobile.stream import Stream


class Mobile:
    """Answers texts: the policy decides before any layer runs, and again once an exit has spoken.

    A tier that fails is not the input's end: what an exit said before is the answer, or else the
    next best tier answers, and in the end the mobile itself. Every answer is recorded in the state,
    with what the policy learnt from it. Safe to call from several threads.

    Example (not run, needs a bundle and two servers):
        >>> with Mobile.open(
        ...     "bundles/mine/mobile",
        ...     edge="http://127.0.0.1:8001",
        ...     cloud="http://127.0.0.1:8002",
        ... ) as mobile:  # doctest: +SKIP
        ...     answer = mobile.predict("a moving film")
        ...     print(answer.label, answer.route, answer.answered_by, answer.cost)
        ...     for answer in mobile.predict_many(open("reviews.txt")):
        ...         print(answer.label)
        positive edge edge 5.5

    Attributes:
        engine: bundle, policy and state.
    """

    def __init__(self, engine: Engine, clients: Mapping[str, TierClient]) -> None:
        self.engine = engine
        self._clients = dict(clients)
        self._streams: weakref.WeakSet[Stream] = weakref.WeakSet()

    @classmethod
    def open(
        cls,
        bundle: Path | str,
        *,
        tiers: Mapping[str, str] | None = None,
        edge: str | None = None,
        cloud: str | None = None,
        state: Path | str | None = None,
        adaptive: bool | None = None,
        timeout: float = 1.0,
        fallback: Fallback = "accuracy",
        token: str | None = None,
        ca: Path | str | None = None,
        insecure: bool = False,
        threads: int | None = 1,
        audit: float | None = None,
        audit_bound: float | None = None,
        audit_seed: int | None = None,
        audit_reset: bool = False,
        otel: bool | TracerProvider = False,
        transports: Mapping[str, Any] | None = None,
    ) -> Self:
        """Load a bundle, and take hold of its state.

        Args:
            bundle: the mobile tier's folder, or the folder above it, or ``hub:ORG/NAME@REVISION``
                of one that was pushed; what is pinned to a commit is fetched once.
            tiers: name of a tier → address of its server, such as ``http://127.0.0.1:8001``; a
                tier without one is never reached, and the next best answers.
            edge, cloud: addresses of tiers of these names.
            state: file for what the policy learns and the ledger; by default one of the bundle's
                own below ``XDG_STATE_HOME`` or ``~/.local/state``; ``":memory:"`` forgets all of
                it when it closes.
            adaptive: True: the policy learns from every input, and goes on from what the state has
                learnt. False: it stays as it was fitted. None: as it was fitted to do.
            timeout: seconds for a tier's answer, retries included.
            fallback: whom to ask where a tier fails and no exit has spoken before. ``"accuracy"``:
                the deepest of the others first; ``"cost"``: the dearest of those that are cheaper.
                The device is the last.
            token: bearer token for the servers.
            ca: file with the certificates to trust in place of the system's.
            insecure: send the token over plain HTTP to another machine all the same.
            threads: processor threads of one run of a graph; None leaves it to onnxruntime.
            audit: a share of the texts, such as 0.01, picked at random: the last tier is asked of
                them too. Once more answers differ than the contract bears, or with labels
                (:meth:`label`) the drop is larger, every text goes to the last tier.
            audit_bound: the share of different answers that is allowed, in points, where it is not
                to be the contract's, or there is no contract.
            audit_seed: of the draws, for tests; by default the system's own randomness.
            audit_reset: begin the audit anew, and go back to the fitted policy after an alarm.
            otel: tell OpenTelemetry of every prediction. True: by an exporter of this mobile's own,
                which the standard variables of the environment (``OTEL_EXPORTER_OTLP_ENDPOINT`` and
                its like) tell where to; or the ``TracerProvider`` of the program.
            transports: tier → httpx2 transport, for tests.

        Raises:
            ConfigError: an address or a setting cannot work, the policy takes steps that these
                tiers do not have, or it cannot be audited like that.
            ArtefactError: the bundle or the state is missing, damaged or of another model.
            StateBusyError: another process holds the state.
            StorageError: the state cannot be written.
            MissingExtraError: ``otel`` without ``dimec[otel]``.
        """
        urls = named_urls(tiers, edge, cloud)
        engine = engine_of(
            bundle,
            otel,
            state=state,
            adaptive=adaptive,
            fallback=fallback,
            threads=threads,
            audit=AuditOptions(audit, audit_bound, audit_seed, audit_reset),
        )
        clients: dict[str, TierClient] = {}
        try:
            for endpoint in endpoints(engine, urls, timeout, token, ca, insecure):
                from dimec.client.tier_client import TierClient

                transport = (transports or {}).get(endpoint.tier)
                clients[endpoint.tier] = TierClient(endpoint, transport=transport)
        except BaseException:
            for client in clients.values():
                client.close()
            engine.close()
            raise
        return cls(engine, clients)

    def predict(
        self, text: Text, *, id: str | None = None, traceparent: str | None = None
    ) -> Prediction:
        """Answer one text, or one pair of texts ``(text, pair)``.

        Args:
            text: may be empty; a long one is cut to the model's length.
            id: its name. The same ``id`` again gets the answer that it was given before, whatever
                the text. By default a new one.
            traceparent: W3C trace context for the servers' logs; by default a new one.

        Raises:
            DataError: not a text for this task. Nothing is recorded then.
        """
        engine = self.engine
        item = engine.admit(text, id, traceparent)
        while (held := engine.claim(item)) is not None:
            held.result()
        try:
            engine.recall(item)
            if not item.known:
                engine.embed(item)
                engine.decide(item)
            while not item.finished:
                self._lead(item.tier, [item])
        except BaseException:
            engine.drop([item])
            raise
        return engine.record([item])[0]

    def predict_many(
        self,
        texts: Iterable[Text],
        *,
        ids: Iterable[str | None] | None = None,
        workers: int = 8,
        progress: Progress | None = None,
    ) -> Generator[Prediction, None, None]:
        """Answer a stream of texts; the answers come in the order of the texts.

        The policy decides, and learns by deciding, strictly in that order; one that learns from
        answers does so as they are recorded, in that order too, while later inputs are under way.
        An answer is recorded before it is given. Memory stays bounded, however long the stream.
        Leaving the loop early is safe: what was under way and not yet recorded is forgotten, as if
        it had not come.

        Args:
            texts: texts, or pairs; taken as room appears.
            ids: one for each, as in :meth:`predict`; None for a new one.
            workers: threads; requests under way at once.
            progress: where to report to.

        Raises:
            DataError: a text that is none, after the answers to those before it.
        """
        if isinstance(texts, str):
            raise DataError("expected several texts, got one; use predict for it")
        total = len(texts) if isinstance(texts, Sized) else 0
        predictions = self.predict_arrivals(paired(texts, ids), workers=workers)
        return _reported(predictions, progress or NoProgress(), total)

    def predict_arrivals(
        self, arrivals: Iterator[Arrival], *, workers: int = 8
    ) -> Generator[Prediction, None, None]:
        """As :meth:`predict_many`, from pairs ``(text, id)``.

        Args:
            arrivals: an ``id`` of None stands for a new one. None in place of a pair says that the
                next may be long in coming: what came so far is then answered before it is asked
                for.
            workers: threads.
        """
        from dimec.mobile.stream import Stream

        if workers < 1:
            raise ConfigError(f"expected at least 1 worker, got {workers}")
        stream = Stream(self.engine, self._lead, workers)
        self._streams.add(stream)
        return stream.run(arrivals)

    def decide(self, text: Text) -> Choice:
        """Where a text would go first: nothing is answered, learnt or recorded.

        Raises:
            DataError: not a text for this task.
        """
        return self.engine.look(text)

    def label(self, id: str, label: str) -> int:
        """Say the true label of an audited text: the drop in accuracy is watched by it.

        Only texts on which the policy and the last tier differ need one; the rest drop nothing.
        Rows are seen in the order of the audit, so those behind a row without its label wait.

        Args:
            id: the text's.
            label: the name of its class.

        Returns:
            1 where only the last tier is right, -1 where only the policy is, else 0.

        Raises:
            DataError: no such class, the text was not audited, or had another label before.
            StorageError: the state cannot be written.
        """
        return self.engine.audit.label(id, label)

    def reset_audit(self) -> None:
        """Begin the audit anew, and go back to the fitted policy after an alarm.

        Raises:
            StorageError: the state cannot be written.
        """
        self.engine.audit.begin()

    def ledger(self) -> LedgerSummary:
        """All answers in the state, added up."""
        return self.engine.ledger()

    def metrics(self) -> str:
        """The ledger, the audit and the tiers' circuits, in Prometheus's text format.

        The numbers are the ledger's: with a state file they go on where they were after a restart.
        :class:`dimec.mobile.metrics_file.MetricsFile` keeps a file of them.
        """
        from dimec.mobile.metrics import metrics_of

        circuits = {tier: client.breaker.state for tier, client in self._clients.items()}
        return metrics_of(self.engine, circuits)

    def info(self) -> MobileInfo:
        """Start time, memory, and size on disk."""
        return self.engine.info()

    def close(self) -> None:
        """End the streams that still run, and let go of connections and state."""
        for stream in list(self._streams):
            stream.close()
        for client in self._clients.values():
            client.close()
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _lead(self, tier: str, items: list[Item]) -> None:
        """Lead B inputs on at a tier: run them here, or ask it for their probabilities."""
        engine = self.engine
        if tier == engine.device:
            engine.run(items)
            return
        sending = engine.sending(tier, items)
        try:
            answer = self._ask(tier, items)
        except TierError as error:
            if sending is not None:
                sending.failed(error)
            engine.failed(items, error)
        else:
            if sending is not None:
                sending.answered(answer)
            engine.see(items, answer.probabilities)

    def _ask(self, tier: str, items: list[Item]) -> TierAnswer:
        """Ask another tier for B inputs.

        Raises:
            TierError: it gave no usable answer.
        """
        engine = self.engine
        client = self._clients.get(tier)
        if client is None:
            raise not_configured(tier)
        first = items[0]
        return client.infer(engine.batch(items, tier), id=first.id, traceparent=first.context())


def _reported(
    predictions: Generator[Prediction, None, None], progress: Progress, total: int
) -> Generator[Prediction, None, None]:
    progress.start("predict", total)
    try:
        for prediction in predictions:
            progress.advance(1)
            yield prediction
    finally:
        predictions.close()
        progress.end()
