"""The circuit breaker: every path through it, any order of events, many threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dimec.base.errors import ConfigError
from dimec.client.breaker import CircuitBreaker, Permit


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def made(failures: int = 3, cooldown: float = 5.0) -> tuple[CircuitBreaker, Clock]:
    """A breaker and its clock."""
    clock = Clock()
    return CircuitBreaker(failures, cooldown, clock=clock), clock


def permit(breaker: CircuitBreaker) -> Permit:
    """A permit, which there must be."""
    given = breaker.acquire()
    assert given is not None
    return given


def fail(breaker: CircuitBreaker, times: int = 1) -> None:
    """Calls that fail one after the other."""
    for _ in range(times):
        breaker.fail(permit(breaker))


def test_failures_in_a_row_open_it_until_the_cooldown_is_over() -> None:
    breaker, clock = made()
    fail(breaker, 2)
    assert breaker.state == "closed"
    fail(breaker)
    assert breaker.state == "open"
    clock.now += 4.99
    assert breaker.acquire() is None
    clock.now += 0.01
    assert breaker.state == "half-open"
    assert permit(breaker).probe


def test_a_success_ends_the_row() -> None:
    breaker, _ = made()
    fail(breaker, 2)
    breaker.succeed(permit(breaker))
    fail(breaker, 2)
    assert breaker.state == "closed"


def test_an_abandoned_call_says_nothing() -> None:
    breaker, _ = made()
    fail(breaker, 2)
    breaker.abandon(permit(breaker))
    assert breaker.state == "closed"
    fail(breaker)
    assert breaker.state == "open"


def test_one_caller_probes_and_its_success_closes() -> None:
    breaker, clock = made()
    fail(breaker, 3)
    clock.now += 5
    probe = permit(breaker)
    assert breaker.acquire() is None
    assert breaker.state == "half-open"
    breaker.succeed(probe)
    assert breaker.state == "closed"
    assert not permit(breaker).probe
    # The old row of failures is forgotten.
    fail(breaker, 2)
    assert breaker.state == "closed"


def test_a_probe_that_fails_opens_for_another_cooldown() -> None:
    breaker, clock = made()
    fail(breaker, 3)
    clock.now += 7
    breaker.fail(permit(breaker))
    assert breaker.state == "open"
    clock.now += 4.99
    assert breaker.acquire() is None
    clock.now += 0.01
    assert permit(breaker).probe


def test_an_abandoned_probe_leaves_its_place_at_once() -> None:
    breaker, clock = made()
    fail(breaker, 3)
    clock.now += 5
    breaker.abandon(permit(breaker))
    assert breaker.state == "half-open"
    assert permit(breaker).probe


def test_a_probe_that_is_never_heard_of_again_does_not_lock_it() -> None:
    breaker, clock = made()
    fail(breaker, 3)
    clock.now += 5
    lost = permit(breaker)
    clock.now += 4.99
    assert breaker.acquire() is None
    clock.now += 0.01
    second = permit(breaker)
    assert second.probe
    # Whatever the lost one reports by now is of the past.
    breaker.fail(lost)
    breaker.succeed(lost)
    breaker.abandon(lost)
    assert breaker.state == "half-open"
    assert breaker.acquire() is None
    breaker.succeed(second)
    assert breaker.state == "closed"


def test_stragglers_from_before_it_opened_change_nothing() -> None:
    breaker, clock = made()
    old = [permit(breaker) for _ in range(5)]
    fail(breaker, 3)
    breaker.succeed(old[0])
    assert breaker.state == "open"
    clock.now += 3
    breaker.fail(old[1])
    clock.now += 2
    probe = permit(breaker)  # the straggler's failure did not prolong the cooldown
    breaker.succeed(old[2])
    assert breaker.state == "half-open"
    breaker.succeed(probe)
    for straggler in old[3:]:
        breaker.fail(straggler)
    fail(breaker, 2)
    assert breaker.state == "closed"


@pytest.mark.parametrize(
    ("failures", "cooldown"), [(0, 1.0), (-1, 1.0), (1, 0.0), (1, -1.0), (1, float("nan"))]
)
def test_settings_that_cannot_work(failures: int, cooldown: float) -> None:
    with pytest.raises(ConfigError, match="at least 1 failure and a cooldown above 0"):
        CircuitBreaker(failures, cooldown)


def test_threads_share_one_probe() -> None:
    breaker, clock = made(failures=1)
    for _ in range(20):
        fail(breaker)
        clock.now += 5
        start = threading.Barrier(8)

        def attempt(_: int, start: threading.Barrier = start) -> Permit | None:
            start.wait(60)
            return breaker.acquire()

        with ThreadPoolExecutor(8) as pool:
            given = [each for each in pool.map(attempt, range(8)) if each is not None]
        assert len(given) == 1
        breaker.succeed(given[0])


def test_threads_lose_no_failure() -> None:
    breaker, _ = made(failures=4001)

    def work(_: int) -> None:
        for _ in range(500):
            fail(breaker)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert breaker.state == "closed"
    fail(breaker)
    assert breaker.state == "open"


class Breaker(RuleBasedStateMachine):
    """Any order of calls, outcomes and time, beside a plain account of what they must lead to."""

    FAILURES, COOLDOWN = 3, 5.0

    def __init__(self) -> None:
        super().__init__()
        self.breaker, self.clock = made(self.FAILURES, self.COOLDOWN)
        self.out: list[tuple[Permit, int]] = []  # permits out, each with the chapter it is of
        self.chapter = 0  # every time that the circuit opens or closes, or a probe starts
        self.row = 0
        self.quiet_until: float | None = None
        self.probing = False

    def turn(self, quiet_until: float | None, *, probing: bool = False) -> None:
        self.chapter += 1
        self.row = 0
        self.quiet_until = quiet_until
        self.probing = probing

    @rule()
    def call(self) -> None:
        given = self.breaker.acquire()
        if self.quiet_until is None:
            assert given is not None
            assert not given.probe
        elif self.clock.now < self.quiet_until:
            assert given is None
            return
        else:
            assert given is not None
            assert given.probe
            self.turn(self.clock.now + self.COOLDOWN, probing=True)
        self.out.append((given, self.chapter))

    @precondition(lambda self: self.out)
    @rule(data=st.data(), outcome=st.sampled_from(["succeed", "fail", "abandon"]))
    def report(self, data: st.DataObject, outcome: str) -> None:
        given, chapter = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        getattr(self.breaker, outcome)(given)
        if chapter != self.chapter:
            return
        if outcome == "succeed":
            self.row = 0
            if given.probe:
                self.turn(None)
        elif outcome == "fail":
            self.row += 1
            if given.probe or self.row == self.FAILURES:
                self.turn(self.clock.now + self.COOLDOWN)
        elif given.probe:
            self.turn(self.clock.now)

    @rule(seconds=st.sampled_from([0.5, 2.0, 5.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def state_is_as_accounted(self) -> None:
        if self.quiet_until is None:
            assert self.breaker.state == "closed"
        elif self.probing or self.clock.now >= self.quiet_until:
            assert self.breaker.state == "half-open"
        else:
            assert self.breaker.state == "open"


TestBreaker = Breaker.TestCase
TestBreaker.settings = settings(max_examples=60, stateful_step_count=40)
