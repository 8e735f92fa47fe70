"""A prediction's spans on the mobile: the engine that makes them, step by step.

One trace a prediction: ``dimec.predict``, and in it ``dimec.tokenise``, ``dimec.embed``,
``dimec.decide``, a ``dimec.run`` for every exit that ran here, a ``dimec.send`` for every tier that
was asked, whose server's spans are its children, and ``dimec.record``. What they tell is the
prediction's own; a text, its tokens, its label and what a server said of an error are in none.

An engine without spans is another class (:class:`dimec.mobile.engine.Engine`), so nothing of this
is in the way of a prediction that nobody traces.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dimec.base.arrays import Float32Array, IntArray
from dimec.base.errors import TierError
from dimec.mobile.core import Embedded, Text
from dimec.mobile.engine import Engine
from dimec.mobile.item import Item
from dimec.mobile.prediction import Prediction, Stay

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from dimec.client.endpoint import TierAnswer
    from dimec.telemetry.spans import Spans, Value

_DROPPED = "dropped"  # the error of an input that has no answer
_now = time.perf_counter


class ItemSpans:
    """The spans of one input on its way; one thread at a time.

    Attributes:
        root: ``dimec.predict``.
        sending: ``dimec.send``, while a tier is asked.

    Args:
        spans: makes them.
        item: that was admitted.
    """

    __slots__ = ("_over", "_spans", "clock", "root", "sending", "tokenised")

    def __init__(self, spans: Spans, item: Item) -> None:
        from dimec.telemetry.spans import Clock

        self._spans = spans
        self._over = False
        self.clock = Clock(_now)
        self.tokenised = 0.0
        self.sending: Span | None = None
        self.root = spans.start(
            "dimec.predict",
            self.clock.at(item.started),
            parent={"traceparent": item.traceparent} if item.traceparent else None,
        )

    def past(self, name: str, began: float, **attributes: Value | None) -> None:
        """Something that began then, in seconds of the performance counter, has just ended."""
        clock, told = self.clock, _dotted(attributes)
        self._spans.past(f"dimec.{name}", clock.at(began), clock.now(), self.root, told)

    def answered(self, prediction: Prediction) -> None:
        """The input has its answer, and that was recorded."""
        self._end(told_of(prediction))

    def dropped(self) -> None:
        """The input will have no answer."""
        if self.sending is not None:
            self.sent({}, _DROPPED)
        self._end({}, _DROPPED)

    def known(self) -> None:
        """The answer is one that was given before."""
        self.root.set_attribute("dimec.recalled", True)

    def send(self, links: Sequence[Span], **attributes: Value | None) -> Span:
        """A tier is asked from now on."""
        self.sending = self._spans.start(
            "dimec.send",
            self.clock.now(),
            kind="client",
            parent=self.root,
            links=links,
            attributes=_dotted(attributes),
        )
        return self.sending

    def sent(self, attributes: dict[str, Value | None], error: str = "") -> None:
        """The tier has answered, or has not."""
        from dimec.telemetry.spans import end

        assert self.sending is not None
        span, self.sending = self.sending, None
        end(span, self.clock.now(), attributes, error)

    def _end(self, attributes: dict[str, Value | None], error: str = "") -> None:
        from dimec.telemetry.spans import end

        if not self._over:
            self._over = True
            end(self.root, self.clock.now(), attributes, error)


class Sending:
    """The asking of a tier for B inputs: a span in the trace of each.

    The server's spans are in the trace of the first, which it is told of; the spans of the others
    link there.

    Args:
        tier: that is asked.
        items: for which.
    """

    def __init__(self, tier: str, items: Sequence[Item]) -> None:
        from dimec.telemetry.spans import traceparent_of

        self._all = [spans_of(item) for item in items]
        told: list[Span] = []
        for item, spans in zip(items, self._all, strict=True):
            audit = item.prediction is not None
            span = spans.send(told, tier=tier, rows=len(items), audit=audit or None)
            told = told or [span]
        items[0].traceparent = traceparent_of(told[0]) or items[0].traceparent

    def answered(self, answer: TierAnswer) -> None:
        """The tier has answered."""
        self._end(200, answer.attempts, answer.bytes_sent, answer.bytes_received)

    def failed(self, error: TierError) -> None:
        """It gave no usable answer."""
        up, down = error.bytes_sent, error.bytes_received
        self._end(error.status, error.attempts, up, down, error.reason)

    def _end(self, status: int | None, attempts: int, up: int, down: int, error: str = "") -> None:
        told: dict[str, Value | None] = {
            "http.request.method": "POST" if attempts else None,
            "http.response.status_code": status,
            "dimec.attempts": attempts,
            "dimec.bytes_sent": up,
            "dimec.bytes_received": down,
        }
        for spans in self._all:
            spans.sent(told, error)


class SpannedEngine(Engine):
    """An engine that tells OpenTelemetry of every prediction.

    Args:
        bundle: as of :class:`dimec.mobile.engine.Engine`.
        otel: True, or the program's ``TracerProvider``; see
            :meth:`dimec.telemetry.spans.Spans.open`.
        options: of the engine.

    Raises:
        MissingExtraError: a package of ``dimec[otel]`` is not installed.
        ConfigError: ``otel`` is neither, or the environment asks for what there is not.
    """

    def __init__(self, bundle: Any, *, otel: object, **options: Any) -> None:
        from dimec.telemetry.spans import Spans

        super().__init__(bundle, **options)
        try:
            self._spans = Spans.open(f"dimec-{self.device}", otel)
        except BaseException:
            super().close()
            raise

    def close(self) -> None:
        closed = self.closed
        super().close()
        if not closed:
            self._spans.close()

    def admit(self, text: Text, id_: str | None, traceparent: str | None) -> Item:
        item = super().admit(text, id_, traceparent)
        item.spans = ItemSpans(self._spans, item)
        return item

    def embed(self, item: Item) -> None:
        super().embed(item)
        spans = spans_of(item)
        spans.past("embed", spans.tokenised)

    def _tokenise(self, text: Text, item: Item) -> dict[str, IntArray]:
        began, inputs = _now(), super()._tokenise(text, item)
        spans = spans_of(item)
        spans.past("tokenise", began, tokens=inputs["input_ids"].shape[1])
        spans.tokenised = _now()
        return inputs

    def decide(self, item: Item) -> None:
        began = _now()
        super().decide(item)
        assert item.decision is not None
        first = item.decision.first
        spans_of(item).past(
            "decide",
            began,
            route=self.names[first.tier],
            exit=first.layer,
            margin=first.margin if first.scores else None,
            policy=self._terms(item.decision.safe)[0],
            audit=item.audited is not None,
        )

    def _run_to(self, embedded: Embedded, layer: int, item: Item) -> Float32Array:
        began, start = _now(), embedded.layer
        row = super()._run_to(embedded, layer, item)
        told = {"exit": layer, "layers": max(layer - start, 0), "probability": float(row.max())}
        spans_of(item).past("run", began, tier=self.device, **told)
        return row

    def sending(self, tier: str, items: Sequence[Item]) -> Sending | None:
        return Sending(tier, items)

    def record(self, items: Sequence[Item]) -> list[Prediction]:
        began = _now()
        try:
            predictions = super().record(items)
        except BaseException:
            _dropped(items)
            raise
        for item, prediction in zip(items, predictions, strict=True):
            spans = spans_of(item)
            if item.known:
                spans.known()
            else:
                spans.past("record", began)
            spans.answered(prediction)
        return predictions

    def drop(self, items: Sequence[Item]) -> None:
        super().drop(items)
        _dropped(items)


def engine_of(bundle: Any, otel: object, **options: Any) -> Engine:
    """The engine of a mobile, with spans or without.

    Args:
        bundle: as of :class:`dimec.mobile.engine.Engine`.
        otel: as of :class:`SpannedEngine`; False for none.
        options: of the engine.
    """
    if otel is False or otel is None:
        return Engine(bundle, **options)
    return SpannedEngine(bundle, otel=otel, **options)


def spans_of(item: Item) -> ItemSpans:
    """The spans of an input that such an engine has admitted."""
    assert item.spans is not None
    return item.spans


def told_of(prediction: Prediction) -> dict[str, Value | None]:
    """What a span says of an answer; neither its label nor anything of the text."""
    return _dotted(
        {
            "id": prediction.id,
            "route": prediction.route,
            "path": [_stay(stay) for stay in prediction.path],
            "tier": prediction.answered_by,
            "exit": prediction.path[-1].stop,
            "probability": prediction.probability,
            "margin": prediction.margin,
            "cost": prediction.cost,
            "tried": list(prediction.tried),
            "fallback_reason": prediction.fallback_reason,
            "policy": prediction.policy,
            "contract": prediction.contract,
            "safe": prediction.safe,
            "recorded": prediction.recorded,
            "milliseconds": prediction.milliseconds,
        }
    )


def _stay(stay: Stay) -> str:
    """``edge 0-3``: the tier, and the layers that ran there."""
    return f"{stay.tier} {stay.start}-{stay.stop}"


def _dotted(attributes: dict[str, Any]) -> dict[str, Value | None]:
    return {f"dimec.{name}": value for name, value in attributes.items()}


def _dropped(items: Sequence[Item]) -> None:
    for item in items:
        spans_of(item).dropped()
