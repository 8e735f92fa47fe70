"""What the cascade's looks cost beside the layers between them, and the embedding without a graph.

For each text in turn, as on a device: tokenise, embed, what exit 0 says, the step that is taken on
it; the layers up to the device's exit; the step that is taken on that. Beside the embedding graph
stands the same computation in a few lines of numpy, on rows of the word table as they lie in the
file: whether a decision is better off without a call into onnxruntime. What such a call takes by
itself, a graph that hands on one number says.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.bundles import read_texts, scene
from benchmarks.encoders import TwoEncoders, larger_note, two_encoders
from benchmarks.harness import in_fresh_process, say
from benchmarks.results import SHARE, Figure, Result

CHECK_GOAL = 0.01  # of a layer
SMALL_GOAL, LARGE_GOAL = 0.03, 0.01  # of the m-layer inference, without tokenisation
_STEPS = ("tokenise", "embed", "exit 0", "first step", "layers", "next step")
_BESIDE = ("embed in numpy", "an empty call")
_WARM_UP = 50  # texts that are not counted
_ROWS = 600  # of a made-up split, to fit a cascade of any width


@dataclass(frozen=True)
class Sizes(TwoEncoders):
    """As there; fewer texts, and more passes."""

    texts: int = 500
    repeats: int = 5


def run(sizes: Sizes, seed: int) -> Result:
    """Both encoders, each in a process of its own."""
    trained = scene(sizes.run, seed)
    runs: dict[str, Any] = {}
    with two_encoders(trained, sizes, seed) as encoders:
        for name, (bundle, texts) in encoders.items():
            say(f"looking: {name}")
            settings = {"bundle": bundle, "texts": texts, "repeats": sizes.repeats, "seed": seed}
            runs[name] = in_fresh_process(measure, source=trained.bundle("fp32"), **settings).value
    goals = dict(zip(encoders, (SMALL_GOAL, LARGE_GOAL), strict=True))
    figures = [one for name, passes in runs.items() for one in _figures(name, passes, goals[name])]
    notes = (
        trained.note,
        larger_note(sizes),
        "one thread; each text is decided on, then run through the m layers, then decided on "
        "again: caches are as an inference leaves them; 'in a row': the decisions alone",
        "the cascade is fitted to a made-up split of the same width and exits, as what its weights "
        "are does not matter here; shares are ratios of the medians of one pass",
        "decision: embedding, exit 0 and first step; check: the step after the device's exit has "
        "spoken; a layer: the m layers divided by m",
        "an empty call: onnxruntime runs a graph that hands on one number",
    )
    return Result(tuple(figures), notes, runs)


def _figures(name: str, passes: dict[str, Any], goal: float) -> list[Figure]:
    between, alone = passes["with inference"], passes["in a row"]
    figures = [
        Figure.of(f"{name}: {part}", [one[part] for one in between])
        for part in (*_STEPS, *_BESIDE, "m-layer inference", "a layer")
    ]
    figures += [
        Figure.of(f"{name}: {part}, in a row", [one[part] for one in alone])
        for part in ("embed", *_BESIDE, "exit 0", "first step")
    ]
    for title, told, wanted in (
        ("embed / m-layer inference", [one["embed"] for one in between], None),
        ("decision / m-layer inference", [_decision(one) for one in between], goal),
        ("decision in a row / m-layer inference", [_decision(one) for one in alone], goal),
    ):
        layers = [one["m-layer inference"] for one in between]
        shares = [a / b for a, b in zip(told, layers, strict=True)]
        figures.append(Figure.of(f"{name}: {title}", shares, SHARE, wanted))
    checks = [one["next step"] / one["a layer"] for one in between]
    figures.append(Figure.of(f"{name}: check / a layer", checks, SHARE, CHECK_GOAL))
    return figures


def _decision(one: dict[str, float]) -> float:
    return one["embed"] + one["exit 0"] + one["first step"]


def measure(bundle: str, source: str, texts: int, repeats: int, seed: int) -> dict[str, Any]:
    """Medians of the seconds of every part, for each pass over the texts."""
    from dimec.bundle.folders import TierBundle
    from dimec.mobile.core import Core

    chosen = read_texts(bundle, texts)
    tier = TierBundle.open(Path(bundle) / "mobile")
    core: Any = Core(tier)
    core.exit0 = _exit0(source, core.width, seed)
    steps = _cascade(tier.manifest.deployment, core.width, len(core.labels), seed)
    table, empty = _Embedding(tier.file("embed.onnx")), _empty()
    _check_alike(core, table, chosen[:_WARM_UP])
    found: dict[str, Any] = {"with inference": [], "in a row": []}
    for repeat in range(repeats + 1):  # the first round warms up, and is not counted
        some = chosen if repeat else chosen[:_WARM_UP]
        for mode, passes in found.items():
            parts = _pass(core, steps, (table, empty), some, inference=mode == "with inference")
            if repeat:
                passes.append({part: float(np.median(values)) for part, values in parts.items()})
    return found


def _pass(
    core: Any, steps: Any, beside: tuple[Any, Any], texts: Sequence[str], *, inference: bool
) -> dict[str, npt.NDArray[np.float64]]:
    """Seconds of each part, for each text."""
    from dimec.policies.step import Look, Signal, Visit, Walk

    rows, clock, own = [], time.perf_counter, core.exits[-1]
    beside_rows: dict[str, list[float]] = {name: [] for name in _BESIDE}
    for text in texts:
        marks = [clock()]
        inputs = core.tokenise(text)
        marks.append(clock())
        embedded = core.embed(inputs)
        marks.append(clock())
        before = core.exit0.one(inputs["input_ids"][0], embedded.pooled)
        marks.append(clock())
        signal = Signal(embedded.pooled, inputs["input_ids"].shape[1])
        first = steps.begin(signal)
        walk = Walk(signal, [Look(0, 0, before)], [Visit(0, 0, 0)], first.note)
        steps.after(walk)
        marks.append(clock())
        if inference:
            said = core.classify(embedded)
            marks.append(clock())
            walk.looks.append(Look(0, own, said))
            steps.after(walk)
            marks.append(clock())
        rows.append(marks)
        # By turns with the graph, so that each finds the caches as an inference leaves them.
        for taken, call in zip(beside_rows.values(), beside, strict=True):
            start = clock()
            call(inputs["input_ids"][0])
            taken.append(clock() - start)
            if inference:  # what comes next finds the caches alike
                core.classify(core.embed(inputs))
    parts: dict[str, Any] = dict(zip(_STEPS, np.diff(rows, axis=1).T, strict=False))
    parts |= {name: np.array(taken) for name, taken in beside_rows.items()}
    if inference:
        parts["m-layer inference"] = parts["embed"] + parts["layers"]
        parts["a layer"] = parts["layers"] / own
    return parts


class _Embedding:
    """BERT's embedding layer in numpy, on the arrays of an exported graph.

    The export has added the embedding of the only token type to those of the positions.
    """

    def __init__(self, path: Path) -> None:
        import onnx

        named = {
            one.name.partition("embeddings.")[2]: onnx.numpy_helper.to_array(one)
            for one in onnx.load(str(path)).graph.initializer
        }
        self.words = named["word_embeddings.weight"]
        self.places = named["position_embeddings.table"]
        self.scale, self.shift = named["LayerNorm.weight"], named["LayerNorm.bias"]

    def __call__(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """(D,) mean of the embeddings of T tokens."""
        x = self.words[ids]
        x += self.places[: len(ids)]
        x -= x.mean(axis=1, keepdims=True)
        x /= np.sqrt(np.vecdot(x, x) / x.shape[1] + 1e-12)[:, None]
        pooled: npt.NDArray[np.float32] = x.mean(axis=0) * self.scale + self.shift
        return pooled


def _empty() -> Any:
    """A call of a graph that hands on one number."""
    from onnx import TensorProto, helper, save

    from dimec.bundle.graphs import Graph

    given, made = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in ("x", "y"))
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    model = helper.make_model(
        helper.make_graph(nodes, "empty", [given], [made]),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    with tempfile.TemporaryDirectory() as folder:
        save(model, Path(folder) / "empty.onnx")
        graph = Graph(Path(folder) / "empty.onnx", shared=True)
    one = np.ones(1, np.float32)
    return lambda _: graph(x=one)


def _check_alike(core: Any, table: _Embedding, texts: Sequence[str]) -> None:
    for text in texts:
        inputs = core.tokenise(text)
        there, here = core.embed(inputs).pooled, table(inputs["input_ids"][0])
        if not np.allclose(there, here, atol=1e-4):
            raise RuntimeError("the embedding in numpy is not that of the graph")


def _exit0(source: str, width: int, seed: int) -> Any:
    """Exit 0 of the trained bundle; of another width with a random map of the embedding."""
    from dataclasses import replace

    from dimec.bundle.exit0 import EXIT0, Exit0

    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(Path(source) / "mobile" / EXIT0, Path(folder) / EXIT0)
        exit0 = Exit0.load(Path(folder) / EXIT0)
    columns = exit0.pooled.shape[0]
    pooled = np.random.default_rng(seed).standard_normal((columns, width)).astype(np.float32)
    return replace(exit0, pooled=pooled)


def _cascade(deployment: Any, width: int, classes: int, seed: int) -> Any:
    """The steps of a cascade over these tiers, fitted to a made-up split."""
    from dimec.cartography import DataMap
    from dimec.policies.drive import site_of
    from dimec.policies.registry import FitInputs, system
    from dimec.traces.trace import Trace

    rng = np.random.default_rng(seed)
    exits = (0, *sorted(set(deployment.exits)))  # two tiers may share one
    labels = rng.integers(0, classes, _ROWS)
    logits = rng.standard_normal((_ROWS, len(exits), classes))
    logits[np.arange(_ROWS), :, labels] += np.linspace(0.5, 3, len(exits))
    odds = np.exp(logits)
    trace = Trace(
        embeddings=rng.standard_normal((_ROWS, width)).astype(np.float32),
        probabilities=(odds / odds.sum(axis=-1, keepdims=True)).astype(np.float32),
        labels=labels,
        exits=exits,
        tiers=deployment.exits,
        guids=tuple(map(str, range(_ROWS))),
        label_names=tuple(map(str, range(classes))),
        task="made up",
        split="validation",
        metric="accuracy",
        model="0" * 64,
        lengths=rng.integers(5, 50, _ROWS),
    )
    data_map = DataMap.from_probabilities(rng.uniform(size=(3, _ROWS)))
    policy = system("cascade").fit(FitInputs(trace, deployment, 0.01, data_map)).policy
    return policy.steps(site_of(trace, deployment))
