"""This tree against another commit's, both doing the same small things by turns.

Each tree has a process of its own that lives as long as the benchmark
(:mod:`benchmarks.against_side`), and a bundle of its own: of the same run, which it fits and
exports itself. They take turns of some tens of milliseconds, other, this, this, other, so that
whatever else the machine does falls on both.
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import against_side
from benchmarks.against_trees import NOW, THEN, Tree, both
from benchmarks.bundles import PRECISIONS
from benchmarks.harness import say
from benchmarks.load import closed_loop
from benchmarks.results import PER_SECOND, RATIO, Figure, Result
from benchmarks.serving import processor_seconds

# The last commit before policies of several steps, placements and tiers of any name.
BEFORE = "af69f3a"
GOAL = 1.05
REPLAYS = "replays"
_ORDER = (THEN, NOW, NOW, THEN)
# What waits for another process is timed by the clock, the rest by its own processor time, which
# other work on the machine stretches less.
_ITEMS = {"decisions": "processor", "answers": "processor", "edge": "clock"}


@dataclass(frozen=True)
class Sizes:
    """``against``: a commit, or a folder with a tree; ``run``: a fitted run of that tree or of an
    older one, which both must be able to read; "" has the other tree train a small one.

    ``texts`` are worked through in a turn, ``requests`` sent to a server in one. ``rounds`` of four
    turns give one ratio, their median, and there are ``repeats`` of these. ``clients``: at a time;
    both it and 1 are measured. ``samples`` of the trace, ``fitted_on`` of the validation split,
    ``width`` of the embeddings. ``precision``: one alone; "" for both.
    """

    run: str = ""
    against: str = BEFORE
    texts: int = 10
    requests: int = 60
    rounds: int = 8
    repeats: int = 7
    clients: int = 8
    samples: int = 10_000
    fitted_on: int = 1_000
    width: int = 384
    precision: str = ""


_Rounds = list[dict[str, float]]  # seconds of a turn by tree, the mean of its two


def run(sizes: Sizes, seed: int) -> Result:
    """Everything, with one process for each tree."""
    figures: list[Figure] = []
    runs: dict[str, Any] = {}
    precisions = (sizes.precision,) if sizes.precision else PRECISIONS
    with (
        tempfile.TemporaryDirectory(prefix="dimec-bench-") as place,
        both(sizes.against, sizes.run, seed, Path(place), precisions) as (trees, commits, source),
    ):
        for precision in precisions:
            say(f"against: {precision}")
            for part in (_mobile, _server):
                of_part, behind = part(trees, sizes, precision)
                figures += of_part
                runs |= {f"{precision}, {key}": value for key, value in behind.items()}
        say("against: replays")
        of_replays, behind = _replays(trees, sizes)
    notes = _notes(source, commits, sizes)
    return Result((*figures, *of_replays), notes, runs | behind | {"trees": commits})


_Part = tuple[list[Figure], dict[str, Any]]  # the figures, and what is behind them


def _mobile(trees: Mapping[str, Tree], sizes: Sizes, precision: str) -> _Part:
    """What a device does, alone and with a server."""
    figures, behind = [], {}
    for item, clock in _ITEMS.items():
        count = sizes.rounds * sizes.repeats
        options: dict[str, Any] = {"precision": precision, "texts": sizes.texts}
        found, same = by_turns(trees, count, item, clock, **options)
        behind[item] = {"both do the same": same, "rounds": found}
        for name, rounds in found.items():
            goal = None if name in against_side.PARTS else GOAL
            figures += _seconds(f"{precision}, {name}", rounds, sizes.rounds, sizes.texts, goal)
    return figures, behind


def _server(trees: Mapping[str, Tree], sizes: Sizes, precision: str) -> _Part:
    """Answers of the edge's server under load."""
    measured = serve_by_turns(trees, sizes, precision)
    figures = []
    for clients, found in measured.items():
        name = f"{precision}, {clients}"
        figures += _rates(name, found["seconds"], sizes.rounds)
        if all(min(one.values()) for one in found["processor"]):
            title = f"{name}, processor time"
            figures += _seconds(title, found["processor"], sizes.rounds, 1, None)
    return figures, {"server": measured}


def _replays(trees: Mapping[str, Tree], sizes: Sizes) -> _Part:
    """Replays of all systems that both trees have, together and one by one."""
    options = {key: getattr(sizes, key) for key in ("samples", "fitted_on", "width")}
    found, same = by_turns(trees, sizes.repeats, REPLAYS, "processor", **options)
    figures = _seconds(f"replays of {len(found)} systems", _all_replays(found), 1, 1, GOAL)
    for name, rounds in found.items():
        figures += _seconds(f"replay, {name}", rounds, 1, 1, None)
    return figures, {REPLAYS: {"same settings": same, "rounds": found}}


def _notes(source: Mapping[str, Any], commits: Mapping[str, str], sizes: Sizes) -> tuple[str, ...]:
    return (
        f"{THEN}: {commits[THEN]}; {NOW}: {commits[NOW]}",
        f"{source['backbone']} with exits {tuple(source['exits'])}, "
        f"{source['train_rows']:,} training rows of {source['task']}, fitted and exported by "
        f"each tree; texts of the test split ({source['tokens_mean']:.0f} tokens on "
        f"average, {source['tokens_max']} at most)",
        "ratios are of turns that follow one another: before, now, now, before; each is the median "
        f"of {sizes.rounds} such rounds, and there are {sizes.repeats} of them",
        "processor time, but for answers by the edge and answers a second, where the clock counts; "
        "one thread; a device and a server on one machine",
        f"{sizes.samples:,} samples in the replays, embeddings of {sizes.width}",
    )


def by_turns(
    trees: Mapping[str, Tree], count: int, item: str, clock: str, **options: Any
) -> tuple[dict[str, _Rounds], Any]:
    """Rounds of all that an item has to measure in both trees, and whether both do the same.

    Where an item speaks of its parts by name, so does the second value.
    """
    opened = {tree: side.ask(do="open", item=item, **options) for tree, side in trees.items()}
    names = [name for name in opened[NOW]["turns"] if name in opened[THEN]["turns"]]
    rounds: dict[str, _Rounds] = {name: [] for name in names}
    for number in range(count + 1):
        for name in names:  # the parts of an item take turns as well
            spent = _round(partial(_turn, trees, name, number))
            rounds[name].append({tree: row[clock] for tree, row in spent.items()})
    for side in trees.values():
        side.ask(do="close")
    then, now = (opened[tree]["said"] for tree in (THEN, NOW))
    same = {name: then[name] == now[name] for name in names} if item == REPLAYS else then == now
    return {name: found[1:] for name, found in rounds.items()}, same  # the first one warms up


def _turn(trees: Mapping[str, Tree], name: str, number: int, tree: str) -> dict[str, float]:
    row: dict[str, float] = trees[tree].ask(do="turn", name=name, number=number)
    return row


def serve_by_turns(
    trees: Mapping[str, Tree], sizes: Sizes, precision: str
) -> dict[str, dict[str, _Rounds]]:
    """Answers a second, and processor seconds of an answer, by number of clients."""
    options = {"item": "server", "precision": precision, "requests": sizes.requests}
    said = {tree: side.ask(do="open", **options)["said"] for tree, side in trees.items()}
    requests = {
        tree: [base64.b64decode(request) for request in one["requests"]]
        for tree, one in said.items()
    }
    measured: dict[str, dict[str, _Rounds]] = {}
    for clients in sorted({1, sizes.clients}):

        def turn(tree: str, clients: int = clients) -> dict[str, float]:
            url, pid = said[tree]["url"], said[tree]["pid"]
            before = processor_seconds(pid)
            answers, wall = closed_loop(url, requests[tree], clients)
            spent = (processor_seconds(pid) - before) / len(answers)
            return {"seconds": wall / len(answers), "processor": spent}

        rounds = [_round(turn) for _ in range(sizes.rounds * sizes.repeats + 1)][1:]
        measured[f"{clients} client{'s' if clients > 1 else ''}"] = {
            what: [{tree: row[what] for tree, row in one.items()} for one in rounds]
            for what in ("seconds", "processor")
        }
    for side in trees.values():
        side.ask(do="close")
    return measured


def _round(turn: Callable[[str], Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Both trees' means of two turns each, taken in the order of ``_ORDER``."""
    spent: dict[str, list[Mapping[str, float]]] = {THEN: [], NOW: []}
    for tree in _ORDER:
        spent[tree].append(turn(tree))
    return {
        tree: {what: (first[what] + second[what]) / 2 for what in first}
        for tree, (first, second) in spent.items()
    }


def _seconds(name: str, rounds: _Rounds, size: int, each: int, goal: float | None) -> list[Figure]:
    """Both trees' seconds, a round in each repeat, for one of ``each``; and their ratio.

    ``size``: rounds in a repeat.
    """
    repeats = [rounds[start : start + size] for start in range(0, len(rounds), size)]
    figures = [
        Figure.of(f"{name}: {tree}", [median(r[tree] for r in few) / each for few in repeats])
        for tree in (THEN, NOW)
    ]
    ratios = [median(r[NOW] / r[THEN] for r in few) for few in repeats]
    return [*figures, Figure.of(f"{name}: {NOW} / {THEN}", ratios, RATIO, goal)]


def _rates(name: str, rounds: _Rounds, size: int) -> list[Figure]:
    """Both trees' answers a second, and their ratio, of the seconds of an answer."""
    seconds = _seconds(name, rounds, size, 1, None)
    return [
        Figure(
            f"{name}, answers a second: {one.name.partition(': ')[2]}",
            1 / one.value,
            RATIO if one.unit == RATIO else PER_SECOND,
            1 / one.high,
            1 / one.low,
            goal=1 / GOAL if one.unit == RATIO else None,
            at_least=one.unit == RATIO,
        )
        for one in seconds
    ]


def _all_replays(found: Mapping[str, _Rounds]) -> _Rounds:
    """All systems together, round by round."""
    return [
        {tree: sum(one[tree] for one in together) for tree in (THEN, NOW)}
        for together in zip(*found.values(), strict=True)
    ]
