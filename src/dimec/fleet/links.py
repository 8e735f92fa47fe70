"""The way between phone and tiers, which changes: a chain of links, each with a spread of its own.

Drawn: a mobile is on one of several links of the scenarios (Wi-Fi, 5G, 4G, 3G) or on none, for a
while (:mod:`dimec.fleet.chains`). What a way takes on it is what the scenario says
(:meth:`dimec.tiers.scenarios.Scenario.link_ms`); the round trip and the rates of each stretch are
multiplied by lognormal factors of median 1, drawn once a stretch.

Or measured: recordings of real links from a CSV file (:mod:`dimec.fleet.recordings`), which say the
round trip and the rates themselves; what the radio takes is the scenario's. What it takes further
to the cloud is the scenario's too, and the same at all times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dimec.base.arrays import FloatArray, IntArray
from dimec.fleet.chains import Chains
from dimec.fleet.network import LOST
from dimec.fleet.recordings import Recording
from dimec.tiers.scenarios import Scenario


@dataclass(frozen=True, eq=False)
class Weather:
    """The links of N inputs.

    Attributes:
        scenarios: of the states; None where there is no link.
        state: (N,) which one each input has.
        trip: (N,) factor of the round trip.
        up, down: (N,) factors of the rates.
    """

    scenarios: tuple[Scenario | None, ...]
    state: IntArray
    trip: FloatArray
    up: FloatArray
    down: FloatArray

    def ways(self, tier: int, tiers: int, payload: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(N,) seconds to a tier and back from it; negative where there is no link.

        Args:
            tier: its position, from 1 on.
            tiers: how many there are.
            payload: (N,) bytes that are sent.
        """
        there, back = np.full(len(self.state), LOST), np.full(len(self.state), LOST)
        for code, scenario in enumerate(self.scenarios):
            here = np.flatnonzero(self.state == code)
            if scenario is None or not len(here):
                continue
            up, down = scenario.megabits(np.ones(len(here)), payload[here])
            link, usual = scenario.link, scenario.link.round_trip_ms.value
            beyond = scenario.places(tiers)[tier - 1].round_trip_ms - usual
            trip = (usual * self.trip[here] + beyond) / 1e3
            there[here] = trip / 2 + up / (link.up_mbit_per_second.value * self.up[here])
            back[here] = trip / 2 + down / (link.down_mbit_per_second.value * self.down[here])
        return there, back

    def radio(self, sent: FloatArray, payload: FloatArray, away: FloatArray) -> FloatArray:
        """(N,) joules of the radio: so many sendings and bytes, and so many seconds away."""
        joules = np.zeros(len(self.state))
        for code, scenario in enumerate(self.scenarios):
            here = np.flatnonzero(self.state == code)
            if scenario is not None and len(here):
                spent = scenario.radio_mj(sent[here], payload[here], 1e3 * away[here])
                joules[here] = spent / 1e3
        return joules

    def data_usd(self, sent: FloatArray, payload: FloatArray) -> FloatArray:
        """(N,) USD of mobile data."""
        spent = np.zeros(len(self.state))
        for code, scenario in enumerate(self.scenarios):
            here = np.flatnonzero(self.state == code)
            if scenario is not None and len(here):
                up, down = scenario.megabits(sent[here], payload[here])
                spent[here] = scenario.link.usd_per_gigabyte.value * (up + down) / 8e3
        return spent


def draw_weather(
    rng: np.random.Generator,
    scenarios: tuple[Scenario | None, ...],
    chains: Chains,
    mobiles: IntArray,
    times: FloatArray,
    spread: tuple[float, float],
) -> Weather:
    """The link of each input.

    Args:
        rng: what draws.
        scenarios: of the chains' states.
        chains: of the mobiles.
        mobiles: (N,) whose input it is.
        times: (N,) seconds.
        spread: standard deviations of the logarithms of the factors: of round trips, of rates.
    """
    stretch = chains.at(mobiles, times)
    drawn = rng.standard_normal((2, len(chains.states)))
    trip, rate = np.exp(np.asarray(spread)[:, None] * drawn)
    taken = rate[stretch]
    return Weather(scenarios, chains.states[stretch], trip[stretch], taken, taken)


def measured_weather(
    rng: np.random.Generator,
    scenario: Scenario,
    recordings: Sequence[Recording],
    fleet: int,
    mobiles: IntArray,
    times: FloatArray,
) -> Weather:
    """The link of each input, by recordings.

    Each mobile goes through one of them, from a moment of its own on, and from its end to its
    begin again: the recording is drawn in proportion to its length, the moment evenly.

    Args:
        rng: what draws.
        scenario: whose radio, prices and way from edge to cloud they have.
        recordings: one at least.
        fleet: M mobiles.
        mobiles, times: (N,) whose input it is, and seconds.
    """
    lengths = np.array([one.seconds for one in recordings])
    which = rng.choice(len(recordings), fleet, p=lengths / lengths.sum())
    begin = rng.uniform(size=fleet) * lengths[which]
    state = np.zeros(len(times), np.int64)
    trip, up, down = (np.ones(len(times)) for _ in range(3))
    for number, one in enumerate(recordings):
        here = np.flatnonzero(which[mobiles] == number)
        row = one.at(times[here] + begin[mobiles[here]])
        lost = one.lost[row]
        state[here] = lost
        here, row = here[~lost], row[~lost]
        link = scenario.link
        trip[here] = one.round_trip_ms[row] / link.round_trip_ms.value
        up[here] = one.up_mbit[row] / link.up_mbit_per_second.value
        down[here] = one.down_mbit[row] / link.down_mbit_per_second.value
    return Weather((scenario, None), state, trip, up, down)
