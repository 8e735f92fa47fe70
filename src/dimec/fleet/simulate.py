"""One simulation: texts arise, policies decide, phones compute, askings queue and come back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dimec.base.arrays import FloatArray, IntArray
from dimec.base.progress import NoProgress, Progress
from dimec.fleet.arrivals import Rhythm, draw_arrivals
from dimec.fleet.batches import BatchStation
from dimec.fleet.chains import draw_chains
from dimec.fleet.courses import Courses
from dimec.fleet.deciding import Inputs, decide
from dimec.fleet.links import Weather, draw_weather, measured_weather
from dimec.fleet.network import AnyStation, Demand, Fate, run
from dimec.fleet.phones import departures
from dimec.fleet.recordings import read_recordings
from dimec.fleet.settings import FleetSettings, TierSettings
from dimec.fleet.stations import Scaling, Station
from dimec.fleet.streams import draw_inputs, draw_leanings
from dimec.fleet.worlds import Kind, World, open_scenarios, open_worlds
from dimec.mobile.course import fallback_order
from dimec.tiers.deployment import Deployment
from dimec.tiers.scenarios import Scenario

# Each part draws from a stream of its own, so that a change of one leaves the others as they were.
_PARTS = ("arrivals", "leanings", "texts", "links", "weather", "outages", "sharing")
HOUR = 3600.0


@dataclass(frozen=True, eq=False)
class Stream:
    """All N inputs of a fleet, in order of arrival. Arrays are (N,).

    Attributes:
        times: seconds.
        mobiles: whose it is.
        population: position of its population.
        world: position of its model.
        rows: of the world's trace.
        weather: its mobile's link.
    """

    times: FloatArray
    mobiles: IntArray
    population: IntArray
    world: IntArray
    rows: IntArray
    weather: Weather

    def of(self, world: int) -> tuple[IntArray, Inputs]:
        """Positions of a world's inputs, and the inputs."""
        here = np.flatnonzero(self.world == world)
        return here, Inputs(self.times[here], self.mobiles[here], self.rows[here])


@dataclass(frozen=True, eq=False)
class Simulated:
    """A simulation, done.

    Attributes:
        settings: that determined it.
        worlds, kinds: opened.
        scenario: with the machines.
        stream: the inputs.
        courses: what each input's path takes.
        phone_done: (N,) seconds, when the phone had done its own part.
        demand, fate: what was asked, and what became of it.
        stations: of each tier.
    """

    settings: FleetSettings
    worlds: Sequence[World]
    kinds: Sequence[Kind]
    scenario: Scenario
    stream: Stream
    courses: Courses
    phone_done: FloatArray
    demand: Demand
    fate: Fate
    stations: Sequence[Sequence[AnyStation]]

    @property
    def deployment(self) -> Deployment:
        """The tiers, at the first world's prices."""
        return self.worlds[0].ground.deployment


def generator(seed: int, part: str) -> np.random.Generator:
    """What draws for one part of a simulation."""
    return np.random.default_rng([seed, _PARTS.index(part)])


def simulate(
    settings: FleetSettings,
    folder: Path,
    progress: Progress | None = None,
    tiers: Sequence[int] | None = None,
) -> Simulated:
    """Simulate a fleet.

    Args:
        settings: all that determines it.
        folder: where runs of recorded traces go.
        progress: told what goes on.
        tiers: other exits than the traces' own.

    Raises:
        ConfigError: settings that do not fit the traces.
        ArtefactError: traces or runs are missing or damaged.
    """
    progress = progress or NoProgress()
    scenarios, shares = open_scenarios(settings)
    scenario = next(one for one in scenarios if one is not None)
    worlds, kinds = open_worlds(settings, scenario, folder, progress, tiers)
    return simulate_worlds(settings, worlds, kinds, scenarios, shares, progress)


def simulate_worlds(
    settings: FleetSettings,
    worlds: Sequence[World],
    kinds: Sequence[Kind],
    scenarios: tuple[Scenario | None, ...],
    shares: Sequence[float],
    progress: Progress,
) -> Simulated:
    """The same, of worlds that are open. Args and errors: as :func:`simulate`."""
    stream = draw_stream(settings, kinds, scenarios, shares)
    progress.say(f"{len(stream.times):,} texts on {settings.mobiles:,} mobiles: deciding")
    courses = _courses(settings, worlds, stream, progress)
    done = departures(stream.times, stream.mobiles, courses.seconds[:, 0])
    deployment = worlds[0].ground.deployment
    demand = _demand(settings, deployment, stream, courses, done)
    stations = build_stations(settings, deployment)
    progress.say("queues at edge and cloud")
    fate = run(demand, stations)
    scenario = next(one for one in scenarios if one is not None)
    return Simulated(
        settings, worlds, kinds, scenario, stream, courses, done, demand, fate, stations
    )


def draw_stream(
    settings: FleetSettings,
    kinds: Sequence[Kind],
    scenarios: tuple[Scenario | None, ...],
    shares: Sequence[float],
) -> Stream:
    """Draw all inputs, and the link of each."""
    seed, texts, count = settings.seed, settings.texts, settings.mobiles
    fields = texts.model_dump(exclude={"rhythm", "likeness"})
    rhythm = Rhythm(texts.rhythm, **fields)
    times, mobiles = draw_arrivals(generator(seed, "arrivals"), rhythm, count, settings.hours)
    likeness = math.inf if texts.likeness is None else texts.likeness
    leanings = draw_leanings(generator(seed, "leanings"), count, len(kinds), likeness)
    moments, table = mixture(settings)
    sizes = [len(kind.rows) for kind in kinds]
    drawn = draw_inputs(generator(seed, "texts"), times, mobiles, leanings, moments, table, sizes)
    population, place = drawn
    rows = np.concatenate([kind.rows for kind in kinds])
    begins = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    world = np.array([kind.world for kind in kinds])[population]
    weather = _weather(settings, scenarios, shares, mobiles, times)
    return Stream(times, mobiles, population, world, rows[begins[population] + place], weather)


def _weather(
    settings: FleetSettings,
    scenarios: tuple[Scenario | None, ...],
    shares: Sequence[float],
    mobiles: IntArray,
    times: FloatArray,
) -> Weather:
    links, seed, count = settings.links, settings.seed, settings.mobiles
    drawn = generator(seed, "weather")
    if links.measured is not None:
        (scenario,) = scenarios
        assert scenario is not None  # by the settings
        recordings = read_recordings(Path(links.measured))
        return measured_weather(drawn, scenario, recordings, count, mobiles, times)
    seconds = settings.hours * HOUR
    chains = draw_chains(generator(seed, "links"), count, seconds, 60 * links.minutes, shares)
    spread = links.trip_spread, links.rate_spread
    return draw_weather(drawn, scenarios, chains, mobiles, times, spread)


def mixture(settings: FleetSettings) -> tuple[list[float], FloatArray]:
    """Moments in seconds, and the populations' shares at each: (T, P), linear between."""
    given = [
        one.shares if isinstance(one.shares, tuple) else ((0.0, one.shares),)
        for one in settings.populations
    ]
    moments = sorted({hour for pairs in given for hour, _ in pairs})
    columns = []
    for pairs in given:
        hours, shares = zip(*sorted(pairs), strict=True)
        columns.append(np.interp(moments, list(hours), list(shares)))
    return [hour * HOUR for hour in moments], np.stack(columns, axis=1)


def _courses(
    settings: FleetSettings, worlds: Sequence[World], stream: Stream, progress: Progress
) -> Courses:
    if len(worlds) == 1:
        _, inputs = stream.of(0)
        return decide(worlds[0], inputs, settings.mobiles, progress)
    parts, places = [], []
    for number, world in enumerate(worlds):
        here, inputs = stream.of(number)
        parts.append(decide(world, inputs, settings.mobiles, progress))
        places.append(here)
    back = np.empty(len(stream.times), np.int64)
    back[np.concatenate(places)] = np.arange(len(back))
    return Courses.joined(parts).take(back)


def _demand(
    settings: FleetSettings,
    deployment: Deployment,
    stream: Stream,
    courses: Courses,
    sent: FloatArray,
) -> Demand:
    size, tiers = courses.visits.shape
    there, back = np.zeros((size, tiers)), np.zeros((size, tiers))
    station = np.zeros((size, tiers), np.int64)
    for k in range(1, tiers):
        # A stand-in is sent the text; a visit what its path says. Both are about as long.
        payload = np.where(courses.visits[:, k], courses.bytes[:, k], courses.stand_in_bytes[:, k])
        there[:, k], back[:, k] = stream.weather.ways(k, tiers, payload)
        station[:, k] = stream.mobiles % settings.tier(deployment.names[k]).stations
    overhead = np.array(
        [0.0, *(settings.tier(name).overhead_ms / 1e3 for name in deployment.names[1:])]
    )
    fallback = settings.links.fallback
    orders = [fallback_order(k, fallback, deployment) for k in range(tiers)]
    return Demand(
        sent,
        courses.visits,
        courses.seconds + overhead,
        courses.stand_in + overhead,
        there,
        back,
        station,
        orders,
        settings.links.timeout_seconds,
    )


def build_stations(settings: FleetSettings, deployment: Deployment) -> list[list[AnyStation]]:
    """The stations of each tier, with their outages drawn; the phone has none."""
    rng = generator(settings.seed, "outages")
    built: list[list[AnyStation]] = [[]]
    for name in deployment.names[1:]:
        tier = settings.tier(name)
        auto = tier.scaling
        scaling = None
        if auto is not None:
            scaling = Scaling(
                auto.least,
                auto.most,
                auto.target,
                auto.period_seconds,
                auto.start_seconds,
                auto.calm_periods,
            )
        first = tier.servers if auto is None else min(max(tier.servers, auto.least), auto.most)
        built.append(
            [
                _station(tier, first, _outages(rng, tier, settings.hours * HOUR), scaling)
                for _ in range(tier.stations)
            ]
        )
    return built


def _station(
    tier: TierSettings,
    servers: int,
    outages: Sequence[tuple[float, float]],
    scaling: Scaling | None,
) -> AnyStation:
    if tier.batch == 1:
        return Station(servers, tier.limit, outages, scaling)
    batch, share = tier.batch, tier.row_share
    return BatchStation(servers, tier.limit, outages, scaling, batch=batch, row_share=share)


def _outages(
    rng: np.random.Generator, tier: TierSettings, seconds: float
) -> list[tuple[float, float]]:
    """Exponential times up and down, in turn, from a station that is up."""
    outages: list[tuple[float, float]] = []
    if tier.outages is None:
        return outages
    now = 0.0
    while True:
        down = now + rng.exponential(tier.outages.hours_between * HOUR)
        if down >= seconds:
            return outages
        now = down + rng.exponential(tier.outages.minutes * 60)
        outages.append((down, now))
