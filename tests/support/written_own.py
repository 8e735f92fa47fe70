"""A trained run whose tiers have a model each, written by hand: no torch, no training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dimec.base.storage import write_json
from dimec.cartography import TrainingDynamics
from dimec.runs.run import Run
from dimec.settings.run import RunSettings
from dimec.traces.joining import join
from dimec.traces.trace import Trace
from support.builders import make_trace

N = 60
SPLITS = ("validation", "test")


@dataclass(frozen=True)
class Own:
    """A tier with a model of its own: its encoder, its exits, its width, and its tokenizer."""

    model: str
    exits: tuple[int, ...]
    width: int
    words: str = "bert"

    @property
    def layer(self) -> int:
        """Where it answers."""
        return self.exits[-1]


# Two widths and two tokenizers; the phone has exit 0.
TIERS: Mapping[str, Own] = {
    "phone": Own("minilm-l6", (0, 1, 2), 384),
    "edge": Own("minilm-l6", (3, 6), 384),
    "cloud": Own("mpnet-base", (4,), 768, words="mpnet"),
}


def written_own_run(folder: Path, tiers: Mapping[str, Own] = TIERS) -> Run:
    """A run of such tiers; the deeper a tier, the more of its samples it has right.

    A third of the samples is easy, a third medium, a third hard, as their embeddings tell.
    """
    run = Run(folder)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, N)
    third = np.arange(N) % 3
    centres = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    embeddings = (centres[third] + 0.1 * rng.standard_normal((N, 2))).astype(np.float32)
    joined: Trace | None = None
    for split in SPLITS:
        traces = {}
        for k, (name, tier) in enumerate(tiers.items()):
            right = 0.55 + 0.4 * ((third <= k)[:, None] & np.ones(len(tier.exits), bool))
            gold = np.where(rng.random((N, len(tier.exits))) < right, 0.9, 0.3 - 0.1 * k)
            traces[name] = _trace(name, tier, split, gold, labels, embeddings, lengths=3 + k)
            traces[name].save(Run(run.tiers_path / name).trace_path(split))
        joined = join(traces)
        joined.save(run.trace_path(split))
    assert joined is not None
    for name, tier in tiers.items():
        _tier_run(Run(run.tiers_path / name), name, tier)
    first, layers = (
        next(iter(tiers.values())),
        [one for one in next(iter(tiers.values())).exits if one],
    )
    wave = np.array([-1.0, 1.0, 0.0])[:, None, None] * np.where(third == 1, 0.3, 0.01)
    p = np.clip(np.where(third == 2, 0.3, 0.8)[None, None] + wave, 0.01, 0.99)
    logits = np.zeros((3, len(layers), N, 2), np.float32)
    logits[:, :, np.arange(N), labels] = np.broadcast_to(np.log(p / (1 - p)), (3, len(layers), N))
    dynamics = TrainingDynamics(logits, labels, tuple(layers), joined.guids)
    run.save_dynamics(dynamics, {"model": joined.model})
    tables = [{"name": n, "model": t.model, "layer": t.layer} for n, t in tiers.items()]
    RunSettings.of({"data": {"task": "csv:x"}, "tiers": tables}).save(run.config_path)
    exits = [(name, layer) for name, tier in tiers.items() for layer in tier.exits if layer]
    record = _record(joined.model, first.model, [layer for _, layer in exits])
    write_json(run.training_path, {**record, "sources": [name for name, _ in exits], "own": {}})
    return run


def _trace(
    name: str,
    tier: Own,
    split: str,
    gold: np.ndarray[Any, Any],
    labels: np.ndarray[Any, Any],
    embeddings: np.ndarray[Any, Any],
    lengths: int,
) -> Trace:
    probabilities = np.empty((*gold.shape, 2), np.float32)
    rows, exits = np.arange(N)[:, None], np.arange(gold.shape[1])
    probabilities[rows, exits, labels[:, None]] = gold
    probabilities[rows, exits, 1 - labels[:, None]] = 1 - gold
    return make_trace(
        N,
        exits=tier.exits,
        tiers=tier.exits[-1:],
        embeddings=embeddings,
        probabilities=probabilities,
        labels=labels,
        lengths=np.arange(N) % 20 + lengths,
        model=fingerprint(name),
        split=split,
        extra={"text_bytes": 10.0 + np.arange(N)},
    )


def fingerprint(name: str) -> str:
    """What stands for the model of a tier."""
    return name.encode().hex().ljust(64, "0")


def _tier_run(run: Run, name: str, tier: Own) -> None:
    """What a tier's own run directory has beside its traces: two tensors stand for the weights."""
    encoder = {"hidden_size": tier.width, "intermediate_size": 4 * tier.width}
    write_json(run.model_path / "config.json", {"encoder": encoder, "exits": list(tier.exits)})
    tokenizer = {"model": {"vocab": tier.words}, "truncation": {"max_length": tier.width}}
    write_json(run.model_path / "tokenizer.json", tokenizer)
    weights = {
        "encoder.embeddings.weight": np.zeros((50, tier.width), np.float32),
        **{
            f"encoder.layer.{layer}.weight": np.zeros((tier.width, tier.width), np.float32)
            for layer in range(tier.layer)
        },
        **{
            f"heads.{exit_}.weight": np.zeros((2, tier.width), np.float32)
            for exit_ in tier.exits
            if exit_
        },
    }
    save_plain(run.model_path / "model.safetensors", weights)
    RunSettings.of({"data": {"task": "csv:x"}, "model": {"backbone": tier.model}}).save(
        run.config_path
    )
    write_json(
        run.training_path,
        _record(fingerprint(name), tier.model, [one for one in tier.exits if one]),
    )


def save_plain(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Weights as ``save_pretrained`` writes them, without what dimec's own files carry."""
    from safetensors.numpy import save_file

    save_file(dict(arrays), path)


def _record(model: str, backbone: str, exits: list[int]) -> dict[str, Any]:
    return {
        "model": model,
        "task": "csv:x",
        "source": "",
        "backbone": backbone,
        "exits": exits,
        "rows": {"train": 480, "validation": N, "test": N},
        "best_epoch": 1,
        "history": [{}, {}, {}],
        "seed": 4,
        "versions": {"torch": "2"},
    }
