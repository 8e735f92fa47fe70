"""The circuit breaker of a tier: after failures in a row the tier is left alone for a while.

::

    closed ──failures in a row──▶ open ──cooldown over──▶ half-open ──probe succeeds──▶ closed
                                    ▲                          │
                                    └──────probe fails─────────┘

While it is open no input leaves the device, so that a dead tier costs neither time nor bytes. In
half-open state one caller only, the probe, may try.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from dimec.base.errors import ConfigError


@dataclass(frozen=True)
class Permit:
    """Leave to make one call, to be handed back with its outcome.

    Attributes:
        probe: whether this call decides if a half-open circuit closes.
        era: the breaker's era in which it was given; outcomes of a past era no longer count.
    """

    probe: bool
    era: int


class CircuitBreaker:
    """Counts a tier's failures in a row; safe to use from several threads.

    Every permit is handed back once, by :meth:`succeed`, :meth:`fail` or :meth:`abandon`. A probe
    that is never handed back, since its thread died, does not lock the circuit: after another
    ``cooldown`` the next caller becomes the probe.

    What counts as a failure is the caller's to say; :data:`dimec.client.failures.COUNTED` lists the
    reasons for which :class:`dimec.client.tier_client.TierClient` does.

    Args:
        failures: how many in a row open the circuit.
        cooldown: seconds for which it stays open.
        clock: monotonic seconds; for tests.

    Raises:
        ConfigError: ``failures`` below 1, or a ``cooldown`` that is not positive.
    """

    def __init__(
        self,
        failures: int = 5,
        cooldown: float = 5.0,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if failures < 1 or not cooldown > 0:
            raise ConfigError(
                "a circuit breaker needs at least 1 failure and a cooldown above 0 seconds, got "
                f"{failures} and {cooldown}"
            )
        self._limit = failures
        self._cooldown = cooldown
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        # None while closed; otherwise until when nobody may try. A probe moves it on, which is
        # what frees the circuit of a probe that is never heard of again.
        self._blocked_until: float | None = None
        self._probing = False
        # Grows with every change of state and every probe, so that a straggler from before can
        # neither close nor open the circuit.
        self._era = 0

    @property
    def state(self) -> str:
        """``closed``, ``open``, or ``half-open`` where the next caller may probe or one does."""
        with self._lock:
            if self._blocked_until is None:
                return "closed"
            if self._probing or self._clock() >= self._blocked_until:
                return "half-open"
            return "open"

    def acquire(self) -> Permit | None:
        """Leave to make a call, or None where the tier is to be left alone."""
        with self._lock:
            if self._blocked_until is None:
                return Permit(probe=False, era=self._era)
            now = self._clock()
            if now < self._blocked_until:
                return None
            self._era += 1
            self._probing = True
            self._blocked_until = now + self._cooldown
            return Permit(probe=True, era=self._era)

    def succeed(self, permit: Permit) -> None:
        """The call was answered."""
        with self._lock:
            if permit.era != self._era:
                return
            self._failures = 0
            if permit.probe:
                self._era += 1
                self._probing = False
                self._blocked_until = None

    def fail(self, permit: Permit) -> None:
        """The call failed in a way that speaks against the tier."""
        with self._lock:
            if permit.era != self._era:
                return
            self._failures += 1
            if permit.probe or self._failures >= self._limit:
                self._era += 1
                self._failures = 0
                self._probing = False
                self._blocked_until = self._clock() + self._cooldown

    def abandon(self, permit: Permit) -> None:
        """The call came to no end that says anything of the tier: it was cancelled, for example.

        A probe's place is free again at once.
        """
        with self._lock:
            if permit.probe and permit.era == self._era:
                self._era += 1
                self._probing = False
                self._blocked_until = self._clock()
