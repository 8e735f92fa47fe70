"""Much text: ``dimec score`` against a plain transformers pipeline, and on one core and two.

Both answer the same texts, taken by turns in one process on one thread, in processor time. The
pipeline runs the encoder of the run with transformers' own classifier on top (what its weights are
takes no time). Ours runs with all texts sent to the last tier, which is the same work, in fp32 and
in int8, and with a policy that stops early where it may. The goal is for int8: in fp32 the products
of matrices alone take most of what the fastest pipeline takes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.bundles import scene
from benchmarks.harness import in_fresh_process, say
from benchmarks.results import PER_SECOND, RATIO, Figure, Result

if TYPE_CHECKING:
    from dimec.bundle.manifest import Precision

GOAL, SCALING = 3.0, 1.8
_FILES = 8  # that one process and two share
FULL, SMALL, EARLY = "all to the last tier", "all to the last tier in int8", "exit-cascade"
PLAIN = "pipeline"
BATCHED = {f"pipeline, batches of {size}": size for size in (8, 32)}


@dataclass(frozen=True)
class Sizes:
    """``run``: see :func:`benchmarks.bundles.scene`; texts in a turn, and turns.

    ``few``: texts to warm up with. ``samples``: in the files that one process and two work through.
    """

    run: str = ""
    texts: int = 200
    few: int = 20
    repeats: int = 5
    samples: int = 16_384


def run(sizes: Sizes, seed: int) -> Result:
    """By turns in one process, and then as the command."""
    found = scene(sizes.run, seed)
    path = str(Path(found.model).parent)
    with tempfile.TemporaryDirectory(prefix="dimec-bench-") as folder:
        say("score: making the graphs")
        in_fresh_process(make, run=path, folder=folder)
        say("score: by turns with the pipeline")
        arguments = {"folder": folder, "model": found.model, "texts": sizes.texts}
        turns = in_fresh_process(
            by_turns, run=path, few=sizes.few, repeats=sizes.repeats, **arguments
        ).value
        say("score: one process and two")
        cores = scaling(path, Path(folder), sizes)
    rates = {name: [sizes.texts / spent for spent in spans] for name, spans in turns.items()}
    figures = [
        Figure.of(f"{name}, rows a core", values, PER_SECOND) for name, values in rates.items()
    ]
    best = min((PLAIN, *BATCHED), key=lambda rival: sum(turns[rival]))
    for ours in (FULL, SMALL, EARLY):
        for rival in dict.fromkeys((PLAIN, best)):
            ratios = [b / a for a, b in zip(turns[ours], turns[rival], strict=True)]
            goal = GOAL if rival == best and ours == SMALL else None
            figures.append(Figure.of(f"{rival} / {ours}", ratios, RATIO, goal, at_least=True))
    ratio = [one / two for one, two in zip(cores["1"], cores["2"], strict=True)]
    figures.append(Figure.of("1 process / 2 processes", ratio, RATIO, SCALING, at_least=True))
    notes = (
        found.note,
        "rows a core: processor time of one thread, the texts of a turn after each other; "
        "the pipeline cuts at the same length, and takes its texts one by one where no batches "
        f"are named; the goal is for int8, against the fastest of its {1 + len(BATCHED)} forms",
        f"one process and two: wall time of dimec score on {sizes.samples:,} texts in {_FILES} "
        f"files, {FULL}, start and end among it; says something on a quiet machine with two cores "
        "only",
    )
    return Result(tuple(figures), notes, {"turns": turns, "processes": cores})


def make(run: str, folder: str) -> None:
    """Write a scorer of each policy."""
    from dataclasses import replace

    from dimec.base.progress import NoProgress
    from dimec.runs.scoring import policy_to_score
    from dimec.runs.workspace import RunDirectory
    from dimec.scoring.scorer import settled
    from dimec.training.scorer import make_scorer

    opened = RunDirectory(Path(run))
    last = opened.deployment().names[-1]
    forms: dict[str, tuple[str, Precision]] = {
        FULL: (f"all-{last}", "fp32"),
        SMALL: (f"all-{last}", "int8"),
        EARLY: (EARLY, "fp32"),
    }
    for name, (policy, precision) in forms.items():
        stored = policy_to_score(opened, policy)
        stored = replace(stored, policy=settled(stored.policy))
        # However much of int8 is right on so small a training: what is measured is speed.
        make_scorer(opened, stored, Path(folder) / name, NoProgress(), precision, force=True)


def by_turns(
    run: str, folder: str, model: str, texts: int, few: int, repeats: int
) -> dict[str, list[float]]:
    """Processor seconds of each turn, by what answered."""
    import torch

    from benchmarks.bundles import _test_texts
    from dimec.runs.run import Run
    from dimec.scoring.engine import Engine

    torch.set_num_threads(1)
    opened = Run(run)
    found = _test_texts(opened)
    some = [found[i % len(found)] for i in range(texts)]
    limit = opened.settings().model.max_tokens
    pipe = _pipeline(model)
    calls: dict[str, Callable[[list[str]], Any]] = {
        PLAIN: partial(pipe, truncation=True, max_length=limit),
        **{
            name: partial(pipe, truncation=True, max_length=limit, batch_size=size)
            for name, size in BATCHED.items()
        },
        **{name: Engine.open(Path(folder) / name).answer for name in (FULL, SMALL, EARLY)},
    }
    for call in calls.values():
        call(some[:few])
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(repeats):
        order = list(calls) if number % 2 else list(calls)[::-1]
        for name in order:
            start = time.process_time()
            calls[name](some)
            spent[name].append(time.process_time() - start)
    return spent


def _pipeline(model: str) -> Any:
    """transformers' own classifier on the run's encoder, as anybody would write it."""
    from transformers import (
        AutoConfig,
        AutoModelForSequenceClassification,
        AutoTokenizer,
        pipeline,
    )

    from dimec.training.ready import load_model

    encoder = load_model(Path(model)).config.encoder
    config = AutoConfig.for_model(**{**encoder.to_dict(), "num_labels": 2})
    classifier = AutoModelForSequenceClassification.from_config(config).eval()
    tokenizer = AutoTokenizer.from_pretrained(model)
    return pipeline("text-classification", model=classifier, tokenizer=tokenizer, device="cpu")


def scaling(run: str, folder: Path, sizes: Sizes) -> dict[str, list[float]]:
    """Wall seconds of the command with one process and with two, by turns."""
    from benchmarks.bundles import _test_texts
    from dimec.runs.run import Run

    opened = Run(run)
    found = [text.replace("\n", " ") for text in _test_texts(opened)]
    source = folder / "texts"
    source.mkdir()
    for place in range(_FILES):
        rows = range(place, sizes.samples, _FILES)
        lines = "".join(f"{found[i % len(found)]}\n" for i in rows)
        (source / f"{place}.txt").write_text(lines, "utf-8")
    last = opened.deployment().names[-1]
    words = ["score", str(source), "--run", run, "--policy", f"all-{last}"]
    spent: dict[str, list[float]] = {"1": [], "2": []}
    for turn in range(sizes.repeats):
        for number in spent if turn % 2 else reversed(spent):
            out = folder / f"out-{number}-{turn}"
            shutil.copytree(folder / FULL, out / ".score" / "scorer")  # graphs are no part of it
            start = time.perf_counter()
            _command([*words, "--out", str(out), "--workers", number])
            spent[number].append(time.perf_counter() - start)
            shutil.rmtree(out)
    return spent


def _command(words: list[str]) -> None:
    subprocess.run(
        [sys.executable, "-m", "dimec", *words], check=True, capture_output=True, env=os.environ
    )
