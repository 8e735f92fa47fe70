"""Simulated queues against a real server: the same texts at the same moments, at several loads.

First it is measured what the server takes: each text alone, and how many answers a second it gives
to many clients, which says what a further row adds to a run. Then texts come as a Poisson process,
to the server and to a simulated station of those two measurements, and latencies are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.bundles import scene
from benchmarks.harness import in_fresh_process, say
from benchmarks.load import closed_loop, open_loop
from benchmarks.results import RATIO, SECONDS, Figure, Result
from benchmarks.serving import messages, our_server, requests_of
from dimec.base.arrays import FloatArray
from dimec.fleet.batches import BatchStation
from dimec.fleet.stations import Station

LOADS = (0.3, 0.6, 0.9)  # of what the server answers in a second, one text after the other
PARTS = (50.0, 90.0, 99.0)
_BATCH = 64  # rows of a run of dimec serve, at most
_OPEN = 128  # connections at most where texts come as they do
_MANY = 16  # clients at a time where it is measured what a server can do


@dataclass(frozen=True)
class Sizes:
    """``run``: see :func:`benchmarks.bundles.scene`; ``requests`` are sent at each load."""

    run: str = ""
    texts: int = 300
    requests: int = 1500
    repeats: int = 3


def run(sizes: Sizes, seed: int) -> Result:
    """The edge tier in fp32, by one thread, in a process of its own."""
    found = scene(sizes.run, seed)
    say("queues: fp32")
    options = asdict(sizes) | {"seed": seed, "bundle": found.bundle("fp32")}
    del options["run"]
    runs: dict[str, Any] = in_fresh_process(measure, **options).value
    figures = [
        Figure.of("one text alone", [one["alone"] for one in runs["server"]], SECONDS),
        Figure.of(
            "a further row in a run, of its work",
            [one["row_share"] for one in runs["server"]],
            RATIO,
        ),
    ]
    for load in LOADS:
        rows = [one for one in runs["measured"] if one["load"] == load]
        for part in PARTS:
            title, key = f"load {load:g}, p{part:g}", f"p{part:g}"
            figures.append(Figure.of(f"{title}: measured", [one["real"][key] for one in rows]))
            figures.append(Figure.of(f"{title}: simulated", [one["batched"][key] for one in rows]))
            figures.append(
                Figure.of(
                    f"{title}: simulated / measured",
                    [one["batched"][key] / one["real"][key] for one in rows],
                    RATIO,
                )
            )
    notes = (
        found.note,
        "the edge tier, one thread; latencies from when a request was due to its answer; generator "
        "and server share the machine",
        f"load: of the answers a second of one client. Simulated: one server, at most {_BATCH} "
        "texts a run, each with its own time as measured alone; what a further row adds is by the "
        f"answers a second to {_MANY} clients. All anew in each repeat",
    )
    return Result(tuple(figures), notes, runs)


def measure(bundle: str, texts: int, requests: int, repeats: int, seed: int) -> dict[str, Any]:
    """What the server takes, and the latencies of each repeat and load, real and simulated."""
    bodies = messages(bundle, bundle, texts)
    runs: dict[str, Any] = {"server": [], "measured": []}
    rng = np.random.default_rng(seed)
    with our_server(bundle, 1) as (url, _):
        asked = requests_of(url, bodies)
        closed_loop(url, asked, _MANY)  # warm
        for _ in range(repeats):
            alone, share = _of_server(url, asked)
            mean = float(alone.mean())
            runs["server"].append({"alone": mean, "row_share": share})
            for load in LOADS:
                which = rng.integers(0, len(asked), requests)
                moments = np.cumsum(rng.exponential(mean / load, requests))
                answers = open_loop(url, [asked[i] for i in which], moments.tolist(), _OPEN)
                batched, single = simulated(moments, alone[which], share)
                real = np.array([one.seconds for one in answers])
                runs["measured"].append(
                    {
                        "load": load,
                        "real": told(real),
                        "batched": told(batched),
                        "single": told(single),
                    }
                )
    return runs


def _of_server(url: str, asked: Sequence[bytes]) -> tuple[FloatArray, float]:
    """(N,) seconds of each request alone, and what a further row adds to a run."""
    rounds = [closed_loop(url, asked, 1)[0] for _ in range(3)]
    times = np.array([[one.seconds for one in sorted(r, key=lambda a: a.request)] for r in rounds])
    alone: FloatArray = np.median(times, axis=0)
    answers, wall = closed_loop(url, asked, _MANY)
    return alone, row_share(wall / len(answers), float(alone.mean()), _MANY)


def row_share(row: float, alone: float, batch: int) -> float:
    """r of runs of so many rows: batch · row = alone · (1 - r + r · batch), within 0 and 1.

    Args:
        row: seconds a row in such runs.
        alone: seconds of a text alone.
        batch: rows of a run.
    """
    share = (batch * row / alone - 1) / (batch - 1)
    return min(1.0, max(0.0, share))


def simulated(moments: FloatArray, work: FloatArray, share: float) -> tuple[FloatArray, FloatArray]:
    """(N,) latencies of one server that batches, and of one that does not."""
    station, plain = BatchStation(1, batch=_BATCH, row_share=share), Station(1)
    batched, single = np.empty(len(moments)), np.empty(len(moments))
    for i, (now, taken) in enumerate(zip(moments.tolist(), work.tolist(), strict=True)):
        single[i] = plain.arrive(now, taken)[2] - now
        for one in station.enter(now, i, taken):
            batched[one.who] = one.over - moments[one.who]
    for one in station.advance(np.inf):
        batched[one.who] = one.over - moments[one.who]
    return batched, single


def told(seconds: FloatArray) -> Mapping[str, float]:
    """The mean and the percentiles."""
    found = np.percentile(seconds, PARTS).tolist()
    parts = {f"p{part:g}": value for part, value in zip(PARTS, found, strict=True)}
    return {"mean": float(seconds.mean()), **parts}
