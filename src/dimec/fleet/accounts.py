"""What a simulation comes to: latency, accuracy, cost, energy, money, load, and what tiers need."""

from __future__ import annotations

from typing import Any

import numpy as np

from dimec.base.arrays import FloatArray
from dimec.fleet.batches import BatchStation
from dimec.fleet.simulate import HOUR, Simulated
from dimec.fleet.stations import OVERLOADED, REASONS, SERVED, TIMEOUT, UNREACHABLE

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)
_BINS = 96  # of the time, in what is told over it


def right_of(done: Simulated) -> FloatArray:
    """(N,) 1 where the answer that the user saw was right."""
    fate, courses = done.fate, done.courses
    line = np.arange(len(courses))
    right = np.where(fate.cut, courses.said[line, fate.tier], courses.right)
    right = np.where(fate.detour, courses.stand_in_right[line, fate.tier], right)
    return right.astype(np.float64)


def cost_of(done: Simulated) -> FloatArray:
    """(N,) λ: of the visits that answered, and of every sending in vain, as the mobile's tariff."""
    courses, asked = done.courses, done.fate.askings
    cost = courses.cost[:, 0].copy()
    served = asked.outcome == SERVED
    for detour, price in ((False, courses.cost), (True, courses.stand_in_cost)):
        these = served & (asked.detour == detour)
        np.add.at(cost, asked.input[these], price[asked.input[these], asked.tier[these]])
    refused = (asked.outcome == UNREACHABLE) & (asked.over <= asked.arrived)
    vain = ~served & ~refused
    sending = np.array([tier.send_price for tier in done.deployment.tiers])
    np.add.at(cost, asked.input[vain], sending[asked.tier[vain]])
    alone = done.fate.detour & (done.fate.tier == 0)
    cost[alone] += courses.stand_in_cost[alone, 0]
    return cost


def energy_of(done: Simulated) -> FloatArray:
    """(N,) joules of the phones: computing, and the radio from the sending to the answer."""
    phone = done.scenario.phone
    computed = done.courses.seconds[:, 0].copy()
    alone = done.fate.detour & (done.fate.tier == 0)
    computed[alone] += done.courses.stand_in[alone, 0]
    away = done.fate.done - done.phone_done
    away[alone] -= done.courses.stand_in[alone, 0]
    sent, payload = sent_of(done)
    radio = done.stream.weather.radio(sent, payload, np.maximum(away, 0.0))
    return phone.watts.value * computed + radio


def sent_of(done: Simulated) -> tuple[FloatArray, FloatArray]:
    """(N,) how often each input was sent, and (N,) its bytes of payload."""
    asked, courses = done.fate.askings, done.courses
    sent = np.bincount(asked.input, minlength=len(courses)).astype(np.float64)
    table = np.where(
        asked.detour,
        courses.stand_in_bytes[asked.input, asked.tier],
        courses.bytes[asked.input, asked.tier],
    )
    payload = np.bincount(asked.input, table, minlength=len(courses))
    return sent, payload.astype(np.float64)


def summary(done: Simulated) -> dict[str, Any]:
    """The result as JSON values."""
    stream, fate = done.stream, done.fate
    latency = 1e3 * (fate.done - stream.times)
    right, cost, energy = right_of(done), cost_of(done), energy_of(done)
    last = done.courses.stand_in_cost[:, -1].mean() if len(latency) else np.nan
    sent, payload = sent_of(done)
    names = done.deployment.names
    shares = np.bincount(fate.tier, minlength=len(names)) / max(1, len(latency))
    money = money_of(done)
    data = float(stream.weather.data_usd(sent, payload).sum())
    total = sum(one["usd"] for one in money.values()) + data
    return {
        "inputs": len(latency),
        "latency_ms": {
            "mean": _mean(latency),
            **{f"p{p:g}": v for p, v in zip(PERCENTILES, _percentiles(latency), strict=True)},
        },
        "accuracy": _mean(right),
        "accuracy_last_tier": _mean(done.courses.stand_in_right[:, -1]),
        "cost": _mean(cost),
        "cost_last_tier": float(last),
        "reduction": 1 - _mean(cost) / float(last) if last else 0.0,
        "millijoules": 1e3 * _mean(energy),
        "usd_per_1000": 1e3 * total / max(1, len(latency)),
        "usd": {**{name: one["usd"] for name, one in money.items()}, "data": data},
        "answered_by": dict(zip(names, shares.tolist(), strict=True)),
        "stood_in_for": _mean(fate.detour),
        "cut_short": _mean(fate.cut),
        "tiers": {name: tier_load(done, k) for k, name in enumerate(names) if k},
        "populations": _by_population(done, latency, right, cost),
        "hours": over_time(done, latency, right, cost),
    }


def tier_load(done: Simulated, tier: int) -> dict[str, Any]:
    """Askings, waits, utilisation and queue of one tier."""
    asked = done.fate.askings
    here = asked.tier == tier
    outcome = asked.outcome[here]
    entered = (outcome == SERVED) | (outcome == TIMEOUT)
    wait = 1e3 * (asked.started - asked.arrived)[here][entered]
    seconds = done.settings.hours * HOUR
    busy = busy_seconds(done, tier)
    capacity = _server_seconds(done, tier)
    length = queue_length(done, tier)
    return {
        "askings": int(here.sum()),
        "outcomes": {name: int((outcome == k).sum()) for k, name in enumerate(REASONS)},
        "wait_ms": {
            "mean": _mean(wait),
            **{f"p{p:g}": v for p, v in zip(PERCENTILES, _percentiles(wait), strict=True)},
        },
        "utilisation": float(busy / capacity) if capacity else 0.0,
        "servers_mean": capacity / seconds,
        "servers_most": max(max(one.log.servers) for one in done.stations[tier]),
        "queue_mean": _mean(length),
        "queue_most": float(length.max(initial=0)),
    }


def busy_seconds(done: Simulated, tier: int) -> float:
    """Seconds of servers that the runs of a tier took, those in vain included."""
    stations = done.stations[tier]
    if any(isinstance(one, BatchStation) for one in stations):
        return sum(one.busy for one in stations if isinstance(one, BatchStation))
    asked = done.fate.askings
    begun = (asked.tier == tier) & (asked.started < asked.over)
    return float(work_of(done)[begun].sum())


def work_of(done: Simulated) -> FloatArray:
    """(A,) seconds of a server that each asking takes, where it is served."""
    asked, demand = done.fate.askings, done.demand
    place = asked.input, asked.tier
    return np.where(asked.detour, demand.detour[place], demand.work[place])


def queue_length(done: Simulated, tier: int) -> FloatArray:
    """How many wait at all stations of a tier, at the ends of equal stretches of time."""
    asked = done.fate.askings
    here = (asked.tier == tier) & (asked.outcome != OVERLOADED) & (asked.over > asked.arrived)
    moments = np.linspace(0, done.settings.hours * HOUR, _BINS + 1)[1:]
    come = np.sort(asked.arrived[here])
    gone = np.sort(np.minimum(asked.started, asked.over)[here])
    waiting = np.searchsorted(come, moments, "right") - np.searchsorted(gone, moments, "right")
    return waiting.astype(np.float64)


def servers_over_time(done: Simulated, tier: int) -> FloatArray:
    """Servers of all stations of a tier at the same moments."""
    moments = np.linspace(0, done.settings.hours * HOUR, _BINS + 1)[1:]
    total = np.zeros(_BINS)
    for station in done.stations[tier]:
        place = np.searchsorted(station.log.times, moments, "right") - 1
        total += np.asarray(station.log.servers)[place]
    return total


def _server_seconds(done: Simulated, tier: int) -> float:
    seconds = done.settings.hours * HOUR
    total = 0.0
    for station in done.stations[tier]:
        edges = np.minimum([*station.log.times, seconds], seconds)
        total += float((np.diff(edges) * station.log.servers).sum())
    return total


def money_of(done: Simulated) -> dict[str, dict[str, float]]:
    """USD of each tier behind the phone: its servers by the hour, busy or not."""
    names, scenario = done.deployment.names, done.scenario
    spent = {}
    for k, name in enumerate(names[1:], start=1):
        machine = scenario.cloud if k == len(names) - 1 else scenario.edge
        # The scenario spreads a machine's price over its useful seconds; here all are paid.
        rate = machine.usd_per_second * machine.utilisation.value
        hours = _server_seconds(done, k) / HOUR
        spent[name] = {"server_hours": hours, "usd": rate * HOUR * hours}
    return spent


def over_time(
    done: Simulated, latency: FloatArray, right: FloatArray, cost: FloatArray
) -> dict[str, list[float]]:
    """Means over equal stretches of time, whose ends are ``hour``; 0 where no text arose."""
    stretch = done.settings.hours * HOUR / _BINS
    place = np.minimum((done.stream.times / stretch).astype(np.int64), _BINS - 1)
    count = np.bincount(place, minlength=_BINS)
    columns = {
        "hour": (np.arange(1, _BINS + 1) * stretch / HOUR).tolist(),
        "inputs": count.astype(float).tolist(),
    }
    for name, values in (("latency_ms", latency), ("accuracy", right), ("cost", cost)):
        mean = np.bincount(place, values, minlength=_BINS) / np.maximum(count, 1)
        columns[name] = mean.tolist()
    for k, tier in enumerate(done.deployment.names[1:], start=1):
        columns[f"queue_{tier}"] = queue_length(done, k).tolist()
        columns[f"servers_{tier}"] = servers_over_time(done, k).tolist()
    return columns


def _by_population(
    done: Simulated, latency: FloatArray, right: FloatArray, cost: FloatArray
) -> dict[str, dict[str, float]]:
    told = {}
    for number, kind in enumerate(done.kinds):
        here = done.stream.population == number
        told[kind.name] = {
            "inputs": int(here.sum()),
            "accuracy": _mean(right[here]),
            "cost": _mean(cost[here]),
            "latency_p95_ms": _percentiles(latency[here])[2],
        }
    return told


def _mean(values: Any) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def _percentiles(values: FloatArray) -> list[float]:
    if not len(values):
        return [0.0] * len(PERCENTILES)
    found: list[float] = np.percentile(values, PERCENTILES).tolist()
    return found
