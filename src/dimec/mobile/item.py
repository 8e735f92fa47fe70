"""An input on its way through the steps of an engine."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dimec.base.errors import DataError, quoted
from dimec.bundle.graphs import pad_batch
from dimec.mobile.core import Embedded, Text
from dimec.mobile.course import Course
from dimec.mobile.decisions import Decision
from dimec.mobile.prediction import Prediction
from dimec.mobile.state.audits import Audited

if TYPE_CHECKING:
    from dimec.mobile.spans import ItemSpans

_LONGEST_ID = 200
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)


@dataclass(slots=True, eq=False)
class Item:
    """An input on its way.

    Attributes:
        text: as given; let go of once it is embedded.
        utf8: the same, or the two of a pair, as tiers that take texts are sent it; empty where
            none does.
        id: its name.
        given: whether the caller chose ``id``, so that it may have an answer already.
        traceparent: W3C trace context, or "" to make one when it is needed.
        started: when it came, in seconds of the performance counter.
        claimed: whether ``id`` is claimed for it.
        decision, course: where it goes, once it was decided on.
        prediction: the answer, once there is one.
        known: whether ``prediction`` was recorded before.
        spans: what is told of it to OpenTelemetry; None where nothing is.
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
    utf8: tuple[bytes, ...] = ()
    spans: ItemSpans | None = None

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

    @property
    def audited(self) -> Audited | None:
        """Its part in the audit; None where it has none."""
        return None if self.decision is None else self.decision.audited

    @property
    def finished(self) -> bool:
        """Whether it has its answer, and the audit its own."""
        audited = self.audited
        return self.prediction is not None and (audited is None or audited.settled)

    @property
    def tier(self) -> str:
        """The tier to lead it on at, as long as it is not finished."""
        if self.prediction is None:
            return self.way.tier
        assert self.audited is not None
        return self.audited.tier

    def context(self) -> str:
        """The W3C trace context to send along."""
        if not self.traceparent:
            bits = os.urandom(24).hex()
            self.traceparent = f"00-{bits[:32]}-{bits[32:]}-01"
        return self.traceparent


def inputs_of(items: Sequence[Item], padding: int) -> dict[str, npt.NDArray[np.int64]]:
    """Model inputs (B, T) of B embedded inputs, padded up to the longest of them."""
    if len(items) == 1:
        return items[0].inputs
    rows = [{name: values[0] for name, values in item.inputs.items()} for item in items]
    return pad_batch(rows, padding)


def trace_of(traceparent: str | None) -> str:
    """A given trace context, or "" where it is none: W3C wants a new one made then."""
    return traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else ""


def check_id(id_: object) -> None:
    """Refuse what is no name of an input.

    Raises:
        DataError: says what one is.
    """
    if not (isinstance(id_, str) and 0 < len(id_) <= _LONGEST_ID and id_.isprintable()):
        raise DataError(f"an id must be 1 to {_LONGEST_ID} printable characters, got {quoted(id_)}")
