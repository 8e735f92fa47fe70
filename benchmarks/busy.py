"""Training beside another program, with threads that wait in a loop and with threads that sleep.

Each measurement is a few steps of the packaged encoder's size, by torch in a process of its own.
The other program is a loop of one thread in a session of its own, as one that is started at
another terminal is: Linux shares the cores out by sessions first, whatever their niceness.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.harness import available_cores, in_fresh_process, say
from benchmarks.results import PER_SECOND, RATIO, Figure, Result

LOOP = "300000"  # what GNU's OpenMP does unless it is told otherwise
GOAL_BUSY, GOAL_QUIET = 3.0, 0.85
# It ends with whoever started it, also where that one was killed.
_LOOP_OF_ITS_OWN = "import os; mine = os.getppid()\nwhile os.getppid() == mine: pass"
_PLACES = ("alone", "beside a program")


@dataclass(frozen=True)
class Sizes:
    """``steps`` of a batch of texts of 32 tokens; ``repeats`` by turns."""

    steps: int = 10
    batch_size: int = 16
    repeats: int = 3


def run(sizes: Sizes, seed: int) -> Result:
    """Alone and beside a program, by turns with either way to wait."""
    told: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for repeat in range(sizes.repeats):
        for place in _PLACES:
            with _program(place != "alone"):
                for way, looks in (("asleep", None), ("in a loop", LOOP)):
                    found = in_fresh_process(
                        train,
                        steps=sizes.steps,
                        batch_size=sizes.batch_size,
                        seed=seed,
                        looks=looks,
                    ).value
                    told.setdefault((place, way), []).append(found)
                    rate = found["rate"]
                    say(f"busy: {repeat + 1} of {sizes.repeats}, {place}, {way}: {rate:.1f} /s")
    rates = {kind: [each["rate"] for each in measured] for kind, measured in told.items()}
    goals = dict(zip(_PLACES, (GOAL_QUIET, GOAL_BUSY), strict=True))
    figures = [
        Figure.of(f"waiting {way}: {place}", values, PER_SECOND)
        for (place, way), values in rates.items()
    ]
    for place in _PLACES:
        pairs = zip(rates[place, "asleep"], rates[place, "in a loop"], strict=True)
        ratios = [asleep / loop for asleep, loop in pairs]
        name = f"asleep / in a loop: {place}"
        figures.append(Figure.of(name, ratios, RATIO, goals[place], at_least=True))
    notes = (
        f"steps of 6 layers of 384, {sizes.batch_size} texts of 32 tokens, fp32, a thread for each "
        f"of {available_cores()} cores",
        "texts a second; asleep is what dimec sets (GOMP_SPINCOUNT), in a loop what OpenMP does by "
        "itself",
    )
    return Result(
        tuple(figures),
        notes,
        {f"{place}, {way}": measured for (place, way), measured in told.items()},
    )


@contextmanager
def _program(there: bool) -> Iterator[None]:
    """Another program at work, of one thread."""
    if not there:
        yield
        return
    with subprocess.Popen(
        [sys.executable, "-c", _LOOP_OF_ITS_OWN], start_new_session=True
    ) as process:
        try:
            yield
        finally:
            process.kill()


def train(steps: int, batch_size: int, seed: int, looks: str | None) -> dict[str, Any]:
    """Texts a second of training, with so many looks of a thread that waits, or dimec's own."""
    os.setsid()  # as at a terminal of its own
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        os.environ.pop(name, None)
    if looks is not None:
        os.environ["GOMP_SPINCOUNT"] = looks
    import dimec.training  # isort: skip  # noqa: F401  # sets how threads wait; before torch
    import torch
    from torch import nn

    torch.manual_seed(seed)
    layer = nn.TransformerEncoderLayer(384, 12, 1536, batch_first=True)
    model = nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)
    optimiser = torch.optim.AdamW(model.parameters(), 1e-5)
    inputs = torch.randn(batch_size, 32, 384)

    def step() -> None:
        optimiser.zero_grad()
        model(inputs).square().mean().backward()
        optimiser.step()

    step()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    return {
        "rate": steps * batch_size / (time.perf_counter() - start),
        "looks": os.environ["GOMP_SPINCOUNT"],
        "threads": torch.get_num_threads(),
    }
