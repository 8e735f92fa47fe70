"""The mobile's layers cut after every exit, beside the same layers as one graph.

Both run the same weights on the same embeddings by turns, text by text. The one graph answers at
the tier's exit only, as a bundle does that is exported with no looks; the segments in a row answer
at every exit on the way.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bundles import BACKBONE, PRECISIONS, TASK
from benchmarks.harness import in_fresh_process, say
from benchmarks.results import RATIO, Figure, Result
from dimec.base.storage import load_arrays, save_arrays

EXITS = ((1, 2), (1, 2, 3))
GOAL = 1.05
WHOLE, ROW, FIRST = "one graph", "segments in a row", "first segment"
HIDDEN = "hidden.safetensors"
_SAME = 1e-5  # the largest difference of a probability between the two
_MAX_TOKENS = 128


@dataclass(frozen=True)
class Sizes:
    """Texts in a pass, texts to warm up with, and passes."""

    texts: int = 60
    few: int = 20
    repeats: int = 15


def run(sizes: Sizes, seed: int) -> Result:
    """Each precision and each choice of exits in a process of its own."""
    figures: list[Figure] = []
    runs: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="dimec-bench-") as folder:
        say("exporting the graphs ...")
        made = in_fresh_process(make_graphs, seed=seed, texts=sizes.texts, out=folder).value
        for precision in PRECISIONS:
            for exits in EXITS:
                name = f"{precision}, exits {','.join(map(str, exits))}"
                say(f"segments: {name}")
                settings: dict[str, Any] = {"folder": str(Path(folder) / precision), "exits": exits}
                settings |= {"few": sizes.few, "repeats": sizes.repeats}
                runs[name] = [
                    in_fresh_process(measure, variants=variants, **settings).value
                    for variants in ((WHOLE, ROW), (ROW, WHOLE), (WHOLE, FIRST))
                ]
                figures += _figures(name, runs[name], sizes.texts)
    notes = (
        f"the layers of {BACKBONE} behind its embeddings, with fresh exits (what their weights are "
        f"takes no time), one thread, texts of {TASK} ({made['tokens_mean']:.0f} tokens on "
        f"average, {made['tokens_max']} at most)",
        "seconds are processor time and means over the texts of a pass; ratios are of the same "
        "pass; the tier's exit is the last, and the one graph answers there only",
    )
    return Result(tuple(figures), notes, runs)


def _figures(name: str, runs: list[dict[str, list[float]]], texts: int) -> list[Figure]:
    figures = []
    for variant in (WHOLE, ROW, FIRST):
        passes = [value / texts for run in runs for value in run.get(variant, ())]
        figures.append(Figure.of(f"{name}: {variant}", passes))
    for variant, goal in ((ROW, GOAL), (FIRST, None)):
        ratios = [
            ours / one
            for run in runs
            for ours, one in zip(run.get(variant, ()), run[WHOLE], strict=False)
        ]
        figures.append(Figure.of(f"{name}: {variant} / {WHOLE}", ratios, RATIO, goal))
    return figures


def make_graphs(seed: int, texts: int, out: str) -> dict[str, float]:
    """Write the graphs in both precisions, and the embeddings of some texts; tokens of a text."""
    import torch

    from dimec.bundle.graphs import Graph
    from dimec.data import load_task
    from dimec.data.backbones import backbone_source
    from dimec.training.export.cuts import cut_embeddings, save_graph
    from dimec.training.export.graphs import trace_graph
    from dimec.training.model import MultiExitClassifier
    from dimec.training.prepare import load_tokenizer

    torch.manual_seed(seed)
    model = MultiExitClassifier.from_backbone(
        BACKBONE, labels=("a", "b"), exits="all", tiers=(2, 3, 6)
    )
    encoder: Any = model.encoder
    encoder.set_attn_implementation("eager")
    inputs = ("input_ids", "attention_mask")
    whole = trace_graph(model.eval(), inputs, _MAX_TOKENS)
    folder = Path(out)
    for precision in PRECISIONS:
        for exits in {exits for each in EXITS for exits in (each, each[-1:])}:
            write_graphs(whole, exits, precision, folder / precision)
    save_graph(cut_embeddings(whole, inputs), folder / "embed.onnx")
    embed = Graph(folder / "embed.onnx")
    tokenizer = load_tokenizer(str(backbone_source(BACKBONE)))
    some = np.random.default_rng(seed).permutation(load_task(TASK).texts)[:texts].tolist()
    rows = tokenizer(some, truncation=True, max_length=_MAX_TOKENS)["input_ids"]
    hidden: dict[str, Any] = {}
    for number, row in enumerate(rows):
        ids = np.array([row], np.int64)
        hidden[str(number)] = embed(input_ids=ids, attention_mask=np.ones_like(ids))[0]
    for precision in PRECISIONS:
        save_arrays(folder / precision / HIDDEN, "hidden states", hidden, {})
    lengths = [len(row) for row in rows]
    return {"tokens_mean": sum(lengths) / len(lengths), "tokens_max": max(lengths)}


def _place(folder: Path, exits: tuple[int, ...]) -> Path:
    return folder / "-".join(map(str, exits))


def write_graphs(whole: Any, exits: tuple[int, ...], precision: str, folder: Path) -> None:
    """Write a trace's layers, cut after some exits, where :func:`measure` finds them."""
    from dimec.bundle.manifest import graph_names
    from dimec.training.export.cuts import cut_segments, save_graphs
    from dimec.training.export.quantise import quantise_graph

    place = _place(folder, exits)
    place.mkdir(parents=True)
    segments = list(cut_segments(whole, exits).values())
    if precision == "int8":
        for segment in segments:
            quantise_graph(segment)
    paths = [place / name for name in graph_names(exits)[1:]]
    save_graphs(dict(zip(paths, segments, strict=True)), place / "layers.onnx.data")


def measure(
    folder: str, exits: list[int], variants: list[str], few: int, repeats: int
) -> dict[str, list[float]]:
    """Seconds of each pass over the texts, by variant; all variants take each text by turns.

    ``variants``: in the order in which they are loaded, which is worth a percent or two: it decides
    on where in memory they lie.
    """
    hidden, _ = load_arrays(Path(folder) / HIDDEN, "hidden states", "make_graphs")
    texts = [(states, np.ones(states.shape[:2], np.int64)) for states in hidden.values()]
    calls = {name: _load(Path(folder), tuple(exits), name) for name in variants}
    for states, mask in texts:
        _check({name: call(states, mask) for name, call in calls.items()}, len(exits))
    for states, mask in texts[:few]:
        for call in calls.values():
            call(states, mask)
    totals: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(repeats):
        spent = dict.fromkeys(calls, 0.0)
        for position, (states, mask) in enumerate(texts):
            # What runs first finds other caches.
            turn = variants if (number + position) % 2 else variants[::-1]
            for name in turn:
                start = time.thread_time()
                calls[name](states, mask)
                spent[name] += time.thread_time() - start
        for name, seconds in spent.items():
            totals[name].append(seconds)
    return totals


_Call = Callable[[Any, Any], list[Any]]


def _load(folder: Path, exits: tuple[int, ...], variant: str) -> _Call:
    from dimec.bundle.graphs import Graph, run_segments
    from dimec.bundle.manifest import graph_names

    ends = exits[-1:] if variant == WHOLE else exits
    names = graph_names(ends)[1:] if variant != FIRST else graph_names(ends)[1:2]
    place = _place(folder, ends)
    graphs = [Graph(place / name, shared=True) for name in names]  # as a mobile loads them
    return lambda states, mask: run_segments(graphs, states, mask)


def _check(answers: dict[str, list[Any]], exits: int) -> None:
    """Raise ValueError unless the segments in a row answer as the one graph does."""
    if ROW not in answers:
        return
    row, one = answers[ROW], answers[WHOLE]
    if len(row) != exits or np.abs(row[-1] - one[-1]).max() > _SAME:
        raise ValueError(f"the segments answer {row[-1]}, the one graph {one[-1]}")
