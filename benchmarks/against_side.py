"""One tree's side of :mod:`benchmarks.against`: a process that does as it is told, line by line.

It is started by its path, with the tree's own ``dimec`` and ``benchmarks`` on the import path,
which may be older than this file. So it uses only what has stayed as it was: dimec's public names,
and what the tree's own benchmarks call the rest.
"""

from __future__ import annotations

import base64
import contextlib
import inspect
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from benchmarks import bundles

DEVICE, EDGE = 0, 1
DECISION_ALONE = "the decision alone"
PARTS = (DECISION_ALONE,)  # of what is measured whole as well; some microseconds, without a goal
_TEXTS = 200  # of the test split, taken turn by turn
_TIMEOUT = 30.0  # seconds for a server's answer: a busy machine must not turn one into a fallback

_Turn = Callable[[int], object]


class Side:
    """The bundles of one tree, and whatever of them is open now."""

    def __init__(self, folder: str, seed: int) -> None:
        self.folder, self.seed = Path(folder), seed
        self._open = contextlib.ExitStack()
        self._turns: dict[str, _Turn] = {}

    def train(self) -> str:
        """Train the small run of the tree's own benchmarks; gives its folder."""
        return str(bundles._train(self.seed).path)

    def prepare(self, run: str, root: str, precisions: list[str]) -> dict[str, Any]:
        """Fit a copy of a run by the rules of the tree in ``root``, and export it.

        A tree that knows only how to export both precisions does so.
        """
        import dimec

        for module in (dimec, bundles):  # or two of the same would be compared, and found alike
            if not Path(str(module.__file__)).is_relative_to(root):
                raise RuntimeError(f"{module.__name__} is that of {module.__file__}")
        copy = Path(shutil.copytree(run, self.folder / "run"))
        dimec.Run(copy).fit()
        given: list[Any] = [str(copy), self.seed, str(self.folder)]
        if "precisions" in inspect.signature(bundles.make_scene).parameters:
            given.append(precisions)
        source = bundles.make_scene(*given)
        for precision in precisions:
            for tier in (DEVICE, EDGE):
                out = self.folder / "to" / str(tier) / precision
                bundles.with_route(str(self.folder / precision), tier, out)
        return source

    def open(self, item: str, **options: Any) -> Any:
        """Make an item ready; gives the names of its turns, and what it says of its own work."""
        self.close()
        self._turns, said = self._open.enter_context(ITEMS[item](self, **options))
        return {"turns": list(self._turns), "said": said}

    def turn(self, name: str, number: int) -> dict[str, float]:
        """Seconds of the clock and of this process's processor for one turn of what is open."""
        work = self._turns[name]
        clock, processor = time.perf_counter(), time.process_time()
        work(number)
        spent = time.process_time() - processor
        return {"clock": time.perf_counter() - clock, "processor": spent}

    def close(self) -> None:
        """Let go of what is open."""
        self._turns = {}
        self._open.close()

    def texts(self, precision: str) -> list[str]:
        """Of the test split."""
        return bundles.read_texts(str(self.folder / precision), _TEXTS)

    def forced(self, tier: int, precision: str) -> Path:
        """A device's bundle whose router sends everything to one tier."""
        return self.folder / "to" / str(tier) / precision


@contextlib.contextmanager
def decisions(side: Side, precision: str, texts: int) -> Iterator[tuple[dict[str, _Turn], Any]]:
    """``Mobile.decide``, whole and with the encoder's part done beforehand; says all decisions."""
    import dimec

    some, bundle = side.texts(precision), side.folder / precision
    with (
        dimec.Mobile.open(bundle, state=":memory:") as mobile,
        dimec.Mobile.open(bundle, state=":memory:") as spared,
    ):
        core: Any = spared.engine.core
        done = core.embed(core.tokenise(some[0]))
        core.tokenise = core.embed = lambda _: done
        said = [mobile.decide(text).tier for text in some]
        whole, alone = _each(mobile.decide, some, texts), _each(spared.decide, some, texts)
        yield {"decide": whole, DECISION_ALONE: alone}, said


@contextlib.contextmanager
def answers(side: Side, precision: str, texts: int) -> Iterator[tuple[dict[str, _Turn], Any]]:
    """Answers of the device, with states in files; says all labels."""
    import dimec

    some, bundle = side.texts(precision), side.forced(DEVICE, precision)
    kinds = {"answer, fixed": False, "answer, adaptive": True}
    with contextlib.ExitStack() as stack:
        mobiles = {
            name: stack.enter_context(
                dimec.Mobile.open(bundle, state=side.folder / f"{name}.state", adaptive=adaptive)
            )
            for name, adaptive in kinds.items()
        }
        said = [[mobile.predict(text).label for text in some] for mobile in mobiles.values()]
        yield {name: _each(one.predict, some, texts) for name, one in mobiles.items()}, said
    _forget(side.folder)


@contextlib.contextmanager
def edge(side: Side, precision: str, texts: int) -> Iterator[tuple[dict[str, _Turn], Any]]:
    """Answers through this tree's own server of the edge; says all labels."""
    import dimec
    from benchmarks.serving import our_server

    some, bundle = side.texts(precision), side.forced(EDGE, precision)
    state = side.folder / "edge.state"
    with (
        our_server(str(side.folder / precision), 1) as (url, _),
        dimec.Mobile.open(bundle, edge=url, state=state, timeout=_TIMEOUT) as mobile,
    ):
        found = [mobile.predict(text) for text in some]
        if any(answer.fallback_reason is not None for answer in found):
            raise RuntimeError("an answer came by a fallback")
        yield {"answer by the edge": _each(mobile.predict, some, texts)}, [a.label for a in found]
    _forget(side.folder)


@contextlib.contextmanager
def server(side: Side, precision: str, requests: int) -> Iterator[tuple[dict[str, _Turn], Any]]:
    """This tree's own server of the edge; says its address, its process, and requests for it."""
    from benchmarks.serving import messages, our_server, requests_of

    bundle = str(side.folder / precision)
    with our_server(bundle, 1) as (url, pid):
        made = requests_of(url, messages(bundle, bundle, requests))
        said = [base64.b64encode(request).decode("ascii") for request in made]
        yield {}, {"url": url, "pid": pid, "requests": said}


@contextlib.contextmanager
def replays(
    side: Side, samples: int, fitted_on: int, width: int
) -> Iterator[tuple[dict[str, _Turn], Any]]:
    """Every system's replay of one trace; says the settings to which each was fitted."""
    from benchmarks import policies

    module: Any = policies
    known: Any = module.Deployment
    deployment = getattr(known, "paper", known)(module.TIERS)
    validation, data_map = module.make_trace(fitted_on, width, side.seed, "validation")
    trace, _ = module.make_trace(samples, width, side.seed, "test")
    inputs = module.FitInputs(validation, deployment, module.LAM, data_map=data_map)
    fitted = {name: system.fit(inputs) for name, system in module.systems().items()}

    def again(policy: Any) -> _Turn:
        return lambda _: module.replay(policy, trace, deployment)

    turns = {name: again(one.policy) for name, one in fitted.items()}
    yield turns, {name: repr(dict(one.settings)) for name, one in fitted.items()}


ITEMS: dict[str, Callable[..., Any]] = {
    "decisions": decisions,
    "answers": answers,
    "edge": edge,
    "server": server,
    "replays": replays,
}


def _each(work: Callable[[str], object], texts: list[str], count: int) -> _Turn:
    """Work through the next ``count`` texts."""

    def turn(number: int) -> None:
        for position in range(number * count, (number + 1) * count):
            work(texts[position % len(texts)])

    return turn


def _forget(folder: Path) -> None:
    """Remove the states: the next precision's bundle is another one."""
    for path in folder.glob("*.state*"):
        path.unlink()


def main(folder: str, seed: int, replies: TextIO) -> None:
    """Carry out commands from standard input, a JSON object a line, until it ends."""
    side = Side(folder, seed)
    for line in sys.stdin:
        command = json.loads(line)
        said = getattr(side, command.pop("do"))(**command)
        print(json.dumps(said), file=replies, flush=True)
    side.close()


if __name__ == "__main__":
    # Whatever else prints must not get between the replies.
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)
        main(sys.argv[1], int(sys.argv[2]), out)
