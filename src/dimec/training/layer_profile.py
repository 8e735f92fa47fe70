"""Measure how long an encoder's embedding layer, layers and classifiers take on this machine.

The real encoder runs whole, one text at a time, and the clock is read where each of its layers
begins and ends; so every layer gets the inputs that its encoder gives it, whatever its signature.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dimec.base.errors import ConfigError
from dimec.base.progress import NoProgress, Progress
from dimec.tiers.latency import PARTS, LayerProfile, Measurement, ModelShape, Part
from dimec.training.encoders import hooked_layers, layer_list, token_limit
from dimec.training.model import MultiExitClassifier, pool

DEFAULT_TOKENS = (8, 16, 32, 64, 96, 128, 192, 256)
_WARM_UP = 3
_LABELS = ("no", "yes")
Timings = dict[tuple[Part, int], list[float]]


def measure_layers(
    backbone: str | Path,
    *,
    tokens: Sequence[int] = DEFAULT_TOKENS,
    repeats: int = 30,
    threads: int = 1,
    note: str = "",
    clock: Callable[[], float] | None = None,
    progress: Progress | None = None,
) -> LayerProfile:
    """The layer profile of an encoder on this machine's processor, in fp32.

    The lengths take turns, so that a slow spell of the machine does not fall on one of them alone;
    each latency is the median of the repeats, after a few runs that are not counted. One thread is
    timed by the processor time that it takes, which other programs' turns are no part of; several
    can only be timed by the clock on the wall.

    Args:
        backbone: a folder, a hub name, or a packaged encoder such as ``minilm-l6``.
        tokens: lengths to measure.
        repeats: of each, at least 1.
        threads: that compute.
        note: kept with the layer profile.
        clock: seconds, in place of those; for tests.
        progress: where to report to.

    Raises:
        ConfigError: no such encoder, no length, or one beyond the encoder's positions, repeats or
            threads below 1.
    """
    model = MultiExitClassifier.from_backbone(backbone, labels=_LABELS, exits="all").eval()
    lengths = sorted(set(tokens))
    _check(lengths, repeats, threads)
    if (limit := token_limit(model.encoder, lengths[-1])) < lengths[-1]:
        raise ConfigError(
            f"the encoder has positions for {limit} tokens, cannot measure {lengths[-1]}; "
            "give shorter lengths"
        )
    hooked_layers(model.encoder)
    measure = "processor time" if threads == 1 else "wall clock"
    if clock is None:
        clock = time.thread_time if threads == 1 else time.perf_counter
    progress = progress or NoProgress()
    progress.start("measuring layers", repeats)
    timings: dict[int, Timings] = {length: {} for length in lengths}
    with _threads(threads), torch.inference_mode():
        for turn in range(-_WARM_UP, repeats):
            for length in lengths:
                once = _run(model, length, clock)
                for key, seconds in once.items():
                    if turn >= 0:
                        timings[length].setdefault(key, []).append(seconds)
            if turn >= 0:
                progress.advance(1)
    progress.end()
    rows = [
        Measurement(part, index, length, float(np.median(values)))
        for length in lengths
        for (part, index), values in timings[length].items()
    ]
    config = model.config.encoder
    return LayerProfile(
        backbone=str(backbone) if not Path(backbone).exists() else Path(backbone).name,
        shape=ModelShape(config.hidden_size, _intermediate(config)),
        layers=config.num_hidden_layers,
        machine=f"{_processor()}, torch {torch.__version__}, fp32, batch of 1, {measure}",
        threads=threads,
        note=note,
        rows=tuple(sorted(rows, key=lambda row: (PARTS.index(row.part), row.index, row.tokens))),
    )


def _check(lengths: Sequence[int], repeats: int, threads: int) -> None:
    if not lengths or lengths[0] < 1:
        raise ConfigError(f"expected lengths of at least 1 token, got {list(lengths)}")
    if repeats < 1 or threads < 1:
        raise ConfigError(f"repeats and threads must be at least 1, got {repeats} and {threads}")


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _run(model: MultiExitClassifier, length: int, clock: Callable[[], float]) -> dict[Any, float]:
    """Seconds of each part on one text of that many tokens."""
    layers = layer_list(model.encoder)
    began: list[float] = []
    ended: list[float] = []
    handles: list[Any] = []
    for layer in layers:
        handles.append(layer.register_forward_pre_hook(lambda *_: began.append(clock())))
        handles.append(layer.register_forward_hook(lambda *_: ended.append(clock())))
    # The same word over and over: what takes time is how many there are, not which.
    ids = torch.full((1, length), _some_word(model), dtype=torch.long)
    mask = torch.ones_like(ids)
    try:
        start = clock()
        hidden: Tensor = model.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    finally:
        for handle in handles:
            handle.remove()
    head = model.heads[str(len(layers))]
    before = clock()
    head(pool(hidden, mask, model.config.head_pooling)).softmax(dim=-1)
    after = clock()
    times: dict[Any, float] = {("embed", 0): began[0] - start, ("head", 0): after - before}
    for index, (a, b) in enumerate(zip(began, ended, strict=True), start=1):
        times["layer", index] = b - a
    return times


def _some_word(model: MultiExitClassifier) -> int:
    """The last word of the vocabulary: never the padding, from which some count positions."""
    return int(model.config.encoder.vocab_size) - 1


def _intermediate(config: Any) -> int:
    """The inner width of the feed-forward network; DistilBERT and T5 have names of their own."""
    names = ("intermediate_size", "hidden_dim", "d_ff")
    size = next((value for name in names if (value := getattr(config, name, None))), None)
    if size is None:
        raise ConfigError(f"the configuration {type(config).__name__} has no intermediate size")
    return int(size)


def _processor() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
