"""What the chaos proxy does to connections and chunks, decided without a socket or a clock."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

UP, DOWN = 0, 1  # towards the server, towards the client


def _both(value: object) -> object:
    """A number stands for both directions."""
    return (value, value) if isinstance(value, int | float) else value


Probability = Annotated[float, Field(ge=0, le=1)]
Amount = Annotated[float, Field(ge=0)]
Probabilities = Annotated[tuple[Probability, Probability], BeforeValidator(_both)]
Amounts = Annotated[tuple[Amount, Amount], BeforeValidator(_both)]


class Settings(BaseModel):
    """What the proxy does. A pair is (up, down); one number stands for both.

    Attributes:
        to: ``HOST:PORT`` of the server.
        listening: false refuses connections, as where no process listens.
        refuse: probability that a connection is reset as soon as it is made.
        blackhole: probability that a connection is read from and never answered.
        drop: probability that a chunk ends its connection in place of arriving.
        truncate: probability that only a part of a chunk arrives, and then the connection ends.
        reset: share of those ends that are a reset, in place of an orderly end.
        corrupt: probability that one to four bytes of a chunk are altered.
        stall: probability that a chunk is late by ``stall_ms``, and all behind it with it.
        delay, jitter: milliseconds one way; jitter is uniform, up to so much less or more.
        rate: kbit/s of all connections together; 0 has no limit.
        setup: whether a new connection costs a round trip of ``delay`` first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    to: Annotated[str, Field(pattern=r"^[^\s/]+:[0-9]{1,5}$")]
    listening: bool = True
    refuse: Probability = 0.0
    blackhole: Probability = 0.0
    drop: Probabilities = (0.0, 0.0)
    truncate: Probabilities = (0.0, 0.0)
    reset: Probability = 0.5
    corrupt: Probabilities = (0.0, 0.0)
    stall: Probabilities = (0.0, 0.0)
    stall_ms: Amount = 1000.0
    delay: Amounts = (0.0, 0.0)
    jitter: Amounts = (0.0, 0.0)
    rate: Amounts = (0.0, 0.0)
    setup: bool = True

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the server."""
        host, _, port = self.to.rpartition(":")
        return host.strip("[]"), int(port)


@dataclass
class Counts:
    """What the proxy did: connections, chunks and bytes."""

    connections: int = 0
    refused: int = 0
    blackholed: int = 0
    unreachable: int = 0
    cut: int = 0
    dropped: int = 0
    truncated: int = 0
    corrupted: int = 0
    bytes_altered: int = 0
    stalled: int = 0
    chunks: int = 0
    bytes_up: int = 0
    bytes_down: int = 0


class Link:
    """One direction of the link: says when bytes arrive. Times in seconds of any one clock."""

    def __init__(self) -> None:
        self._free = 0.0

    def leaves(self, now: float, size: int, rate: float) -> float:
        """When the last of ``size`` bytes has left, after all that left before; kbit/s."""
        if not rate:
            return now
        self._free = max(now, self._free) + size * 8 / (1000 * rate)
        return self._free


def handshake(settings: Settings, way: int) -> float:
    """Seconds from a client's wish to connect to the first byte that can leave its end.

    The client's leaves after a round trip, the server's as soon as the wish has come.
    """
    return (sum(settings.delay) if way == UP else settings.delay[UP]) / 1000


class Fate(NamedTuple):
    """What becomes of a chunk: its bytes, how late they are, and how the connection ends."""

    data: bytes
    late: float = 0.0
    end: Literal["close", "reset"] | None = None


def fate(chunk: bytes, settings: Settings, way: int, rng: random.Random, counts: Counts) -> Fate:
    """Draw the faults of one chunk.

    Args:
        chunk: what was read, at least one byte.
        settings: the probabilities.
        way: ``UP`` or ``DOWN``.
        rng: of this connection and direction; takes the same number of draws from it whatever the
            probabilities are, so that changing one leaves the others' draws as they were.
        counts: is told.
    """
    drop, truncate, corrupt, stall, reset = (rng.random() for _ in range(5))
    inner = random.Random(rng.getrandbits(64))
    end: Literal["close", "reset"] = "reset" if reset < settings.reset else "close"
    if drop < settings.drop[way]:
        counts.dropped += 1
        return Fate(b"", end=end)
    late = 0.0
    if stall < settings.stall[way]:
        counts.stalled += 1
        late = settings.stall_ms / 1000
    if corrupt < settings.corrupt[way]:
        altered = bytearray(chunk)
        for position in inner.sample(range(len(chunk)), min(len(chunk), inner.randint(1, 4))):
            altered[position] ^= inner.randint(1, 255)
            counts.bytes_altered += 1
        counts.corrupted += 1
        chunk = bytes(altered)
    if truncate < settings.truncate[way]:
        counts.truncated += 1
        return Fate(chunk[: inner.randrange(len(chunk))], late, end)
    return Fate(chunk, late)
