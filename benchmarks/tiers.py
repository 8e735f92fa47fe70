"""Each exported tier on one text at a time, against transformers in torch, eager and compiled.

torch runs what the tier runs and no more: the encoder cut after the tier's layer, its pooling and
its one exit. All take the same token ids by turns, text by text.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bundles import PRECISIONS, first_folder, read_texts, scene
from benchmarks.harness import in_fresh_process, say
from benchmarks.results import RATIO, Figure, Result

GOALS = {"fp32": 1.5, "int8": 3.0}
EAGER, COMPILED, FROZEN = "eager torch", "torch.compile", "torch.compile, frozen"


@dataclass(frozen=True)
class Sizes:
    """``run``: see :func:`benchmarks.bundles.scene`; texts in a pass, and passes.

    ``threads``: of one inference; both it and 1 are measured. ``few``: texts to warm up with.
    """

    run: str = ""
    texts: int = 50
    few: int = 20
    repeats: int = 5
    threads: int = 2


def run(sizes: Sizes, seed: int) -> Result:
    """Each tier and number of threads in a process of its own."""
    found = scene(sizes.run, seed)
    figures: list[Figure] = []
    runs: dict[str, Any] = {}
    for threads in sorted({1, sizes.threads}):
        for tier, layers in zip(found.source["tiers"], found.source["exits"], strict=True):
            say(f"tiers: {tier}, threads {threads}")
            arguments = {
                "model": found.model,
                "folder": str(found.folder),
                "tier": tier,
                "layers": layers,
                "threads": threads,
                "texts": sizes.texts,
                "few": sizes.few,
                "repeats": sizes.repeats,
            }
            name = f"{tier}, threads {threads}"
            runs[name] = in_fresh_process(measure, rivals=[EAGER, COMPILED], **arguments).value
            figures += _figures(name, runs[name], sizes.texts)
            if threads == 1:
                packed = in_fresh_process(measure, rivals=[FROZEN], **arguments).value
                runs[f"{name}, {FROZEN}"] = packed
                figures += _frozen_figures(name, packed, sizes.texts)
    notes = (
        found.note,
        "seconds are means over the texts of a pass; ratios are torch's time over ours in the same "
        "pass, 2 x meaning twice as fast as torch",
        f"{EAGER}: transformers' own attention (sdpa) under inference_mode; {COMPILED}: with "
        f"dynamic shapes and inductor's defaults; {FROZEN}: with its option that packs the weights "
        "for inference (torch._inductor.config.freezing), in a process of its own, one thread",
    )
    return Result(tuple(figures), notes, runs)


def _figures(name: str, times: dict[str, list[float]], texts: int) -> list[Figure]:
    figures = [
        Figure.of(f"{name}: {variant}", [value / texts for value in values])
        for variant, values in times.items()
    ]
    for precision in PRECISIONS:
        for rival in (EAGER, COMPILED):
            title = f"{name}: {rival} / {precision}"
            ratios = _ratios(times[rival], times[precision])
            figures.append(Figure.of(title, ratios, RATIO, GOALS[precision], at_least=True))
    return figures


def _frozen_figures(name: str, times: dict[str, list[float]], texts: int) -> list[Figure]:
    """Without a goal: the aims were set against torch as it comes."""
    figures = [Figure.of(f"{name}: {FROZEN}", [value / texts for value in times[FROZEN]])]
    for precision in PRECISIONS:
        ratios = _ratios(times[FROZEN], times[precision])
        figures.append(Figure.of(f"{name}: {FROZEN} / {precision}", ratios, RATIO))
    return figures


def _ratios(theirs: list[float], ours: list[float]) -> list[float]:
    return [a / b for a, b in zip(theirs, ours, strict=True)]


def measure(
    model: str,
    folder: str,
    tier: str,
    layers: int,
    threads: int,
    texts: int,
    few: int,
    repeats: int,
    rivals: list[str],
) -> dict[str, list[float]]:
    """Seconds of each pass over the texts, by variant; all variants take each text by turns.

    ``layers``: of the tier; ``rivals``: which of torch's variants, of which those that compile need
    a C++ compiler.
    """
    import torch

    torch.set_num_threads(threads)
    encoded = _encoded(folder, texts)
    variants = {
        precision: _ours(Path(folder) / precision / tier, threads) for precision in PRECISIONS
    }
    variants |= _torchs(model, layers, rivals)
    with torch.inference_mode():
        for inputs in encoded[:few]:
            for call in variants.values():
                call(inputs)
        totals: dict[str, list[float]] = {name: [] for name in variants}
        for _ in range(repeats):
            spent = dict.fromkeys(variants, 0.0)
            for inputs in encoded:
                for name, call in variants.items():
                    start = time.perf_counter()
                    call(inputs)
                    spent[name] += time.perf_counter() - start
            for name, seconds in spent.items():
                totals[name].append(seconds)
    return totals


_Call = Callable[[dict[str, Any]], Any]


def _encoded(folder: str, count: int) -> list[dict[str, Any]]:
    """Inputs of each text, as numpy arrays and as torch tensors of the same memory."""
    import numpy as np
    import torch
    from tokenizers import Tokenizer

    bundle = str(Path(folder) / "fp32")
    tokenizer = Tokenizer.from_file(str(first_folder(bundle) / "tokenizer.json"))
    rows = []
    for text in read_texts(bundle, count):
        ids = np.array([tokenizer.encode(text).ids])
        arrays = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        rows.append({"arrays": arrays, "tensors": tensors})
    return rows


def _ours(bundle: Path, threads: int) -> _Call:
    from dimec.bundle.folders import TierBundle
    from dimec.bundle.graphs import Graph, run_segments

    manifest = TierBundle.open(bundle).manifest
    first, *segments = (Graph(bundle / name, threads=threads) for name in manifest.graphs)
    if not manifest.is_first:
        return lambda inputs: first(**inputs["arrays"])

    def all_of_them(inputs: dict[str, Any]) -> Any:
        hidden, _ = first(**inputs["arrays"])
        return run_segments(segments, hidden, inputs["arrays"]["attention_mask"])

    return all_of_them


def _torchs(model: str, layers: int, rivals: list[str]) -> dict[str, _Call]:
    import torch
    import torch._inductor.config as inductor
    from torch import Tensor, nn

    from dimec.training.model import MultiExitClassifier, pool

    inductor.freezing = FROZEN in rivals
    whole = MultiExitClassifier.from_pretrained(model).eval()
    cut, pooling = whole.truncate(layers), whole.config.head_pooling

    class Tier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.head = cut.encoder, cut.heads[str(layers)]

        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
            hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
            pooled = pool(hidden.last_hidden_state, attention_mask, pooling)
            return torch.softmax(self.head(pooled), -1)

    eager = Tier().eval()
    compiled = torch.compile(eager, dynamic=True)
    modules: dict[str, Any] = {EAGER: eager, COMPILED: compiled, FROZEN: compiled}

    def call(rival: str) -> _Call:
        module = modules[rival]
        return lambda inputs: module(**inputs["tensors"])

    return {rival: call(rival) for rival in rivals}
