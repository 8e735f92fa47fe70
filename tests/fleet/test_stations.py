"""A station against a list of events, and against what queueing theory says of long runs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given

from dimec.base.errors import ConfigError
from dimec.fleet.sizing import size_of, waits
from dimec.fleet.stations import OVERLOADED, REASONS, SERVED, UNREACHABLE, Scaling, Station
from support.slow_queue import Asked, queues, slow_queue


@given(queues())
def test_it_does_what_a_list_of_events_does(
    queue: tuple[Asked, int, float, list[tuple[float, float]]],
) -> None:
    asked, servers, limit, outages = queue
    station = Station(servers, limit, outages)
    said = [station.arrive(*one) for one in asked]
    assert [(REASONS[code], over) for code, _, over in said] == slow_queue(
        asked, servers, limit, outages
    )


def _poisson(seed: int, size: int, rate: float) -> tuple[np.random.Generator, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng, np.cumsum(rng.exponential(1 / rate, size))


def _within(values: np.ndarray, expected: float) -> bool:
    """Whether a mean is within four standard errors, by the means of 100 batches."""
    batches = values.reshape(100, -1).mean(axis=1)
    return bool(abs(batches.mean() - expected) < 4 * batches.std(ddof=1) / 10)


def erlang_c(servers: int, load: float) -> float:
    """Probability that an arrival waits in M/M/c (Erlang 1917)."""
    terms = [load**k / math.factorial(k) for k in range(servers)]
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    return last / (sum(terms) + last)


@pytest.mark.parametrize(("servers", "load"), [(1, 0.7), (3, 2.1), (8, 6.0)])
def test_waits_of_exponential_work_are_erlangs(servers: int, load: float) -> None:
    rng, at = _poisson(servers, 200_000, load)
    waited = waits(at, rng.exponential(1.0, len(at)), servers)[20_000:]
    share = erlang_c(servers, load)
    assert _within(waited, share / (servers - load))
    assert _within((waited > 0).astype(float), share)


@pytest.mark.parametrize("shape", [0.25, 1.0, 4.0, math.inf])
def test_waits_of_any_work_at_one_server_are_pollaczeks_and_khinchines(shape: float) -> None:
    load = 0.6
    rng, at = _poisson(7, 200_000, load)
    work = np.ones(len(at)) if math.isinf(shape) else rng.gamma(shape, 1 / shape, len(at))
    expected = load * (1 + 1 / shape) / (2 * (1 - load))
    assert _within(waits(at, work, 1)[20_000:], expected)


def test_a_full_queue_refuses_as_often_as_theory_says() -> None:
    """M/M/1/K: of K places, one of them the server's."""
    load, places = 0.9, 4
    rng, at = _poisson(3, 200_000, load)
    station = Station(1, limit=places - 1)
    work = rng.exponential(1.0, len(at))
    codes = [station.arrive(a, w)[0] for a, w in zip(at, work, strict=True)]
    blocked = (1 - load) * load**places / (1 - load ** (places + 1))
    assert _within(np.array([code == OVERLOADED for code in codes], float), blocked)


def test_outages_lose_their_share() -> None:
    _, at = _poisson(5, 100_000, 10.0)
    edges = np.cumsum(np.tile([90.0, 10.0], 99))
    station = Station(4, outages=list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)))
    codes = np.array([station.arrive(float(now), 1e-6)[0] for now in at])
    down = (at % 100 >= 90) & (at < edges[-1])
    assert ((codes == UNREACHABLE) == down).all()


def test_servers_follow_the_load_up_and_down() -> None:
    scaling = Scaling(1, 10, target=0.5, period=10.0, start_seconds=20.0, calm=3)
    station = Station(1, scaling=scaling)
    for now in np.arange(0, 300, 0.5):  # two servers' worth of work
        station.arrive(float(now), 1.0)
    assert station.servers == 4  # ⌈2 / 0.5⌉, once what was left over is done
    assert max(station.log.servers) <= 10
    first = next(t for t, n in zip(station.log.times, station.log.servers, strict=True) if n > 1)
    assert first == 10.0
    for now in np.arange(300, 600, 10.0):
        assert station.arrive(float(now), 0.01)[0] == SERVED
    assert station.servers == 1


def test_a_server_that_starts_serves_after_its_start() -> None:
    station = Station(1, scaling=Scaling(1, 2, 0.5, 10.0, start_seconds=100.0, calm=3))
    station.arrive(0.0, 1000.0)
    assert station.arrive(15.0, 1.0)[1] == 110.0


def test_the_size_is_the_least_that_keeps_the_wait() -> None:
    rng, at = _poisson(1, 20_000, 5.0)
    work = rng.exponential(1.0, len(at))
    size = size_of([at], [work], float(at[-1]), wait=0.5, percentile=99)
    assert np.percentile(waits(at, work, size.servers), 99) <= 0.5
    assert np.percentile(waits(at, work, size.servers - 1), 99) > 0.5
    assert size.wait_ms == 1e3 * np.percentile(waits(at, work, size.servers), 99)


@pytest.mark.parametrize("wrong", [(0, 1), (1, -1)])
def test_no_station_without_servers(wrong: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match="at least 1 server"):
        Station(*wrong)


def test_scaling_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="least ≤ most"):
        Scaling(3, 2, 0.5, 1.0)
