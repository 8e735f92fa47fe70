"""An encoder of any size with random weights, exported: for times, which do not need it to know."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bundles import Scene
from benchmarks.harness import in_fresh_process, say

_HEAD = 64  # width of an attention head


@dataclass(frozen=True)
class TwoEncoders:
    """Sizes of a benchmark of the trained encoder and of a larger one, with random weights.

    ``run``: see :func:`benchmarks.bundles.scene`; ``texts`` of one pass, ``repeats`` of it.
    ``layers`` and ``width`` are those of the larger encoder, which runs ``few`` texts a pass.
    """

    run: str = ""
    texts: int = 1060
    few: int = 100
    repeats: int = 3
    layers: int = 12
    width: int = 768


@contextmanager
def two_encoders(
    trained: Scene, sizes: TwoEncoders, seed: int
) -> Iterator[dict[str, tuple[str, int]]]:
    """The trained encoder and a larger one with random weights: name → bundle, texts to run.

    Args:
        trained: whose tokenizer, labels and texts the larger one has too.
        sizes: ``layers`` and ``width`` of the larger one, which runs ``few`` of ``texts``.
        seed: of its weights.
    """
    with tempfile.TemporaryDirectory(prefix="dimec-bench-") as folder:
        say("exporting the larger encoder ...")
        out, source = str(Path(folder) / "bundle"), trained.bundle("fp32")
        shape = {"layers": sizes.layers, "width": sizes.width}
        in_fresh_process(make_random_bundle, source=source, out=out, **shape, seed=seed)
        (Path(folder) / "texts.json").write_bytes((trained.folder / "texts.json").read_bytes())
        larger = f"{sizes.layers} x {sizes.width}"
        few = min(sizes.few, sizes.texts)
        yield {trained.source["backbone"]: (source, sizes.texts), larger: (out, few)}


def larger_note(sizes: TwoEncoders) -> str:
    """What a reader of its figures has to know of the larger encoder."""
    return (
        f"{sizes.layers} x {sizes.width}: a BERT encoder of that size with random weights, exits "
        f"{exits_of(sizes.layers)} and the same tokenizer; {min(sizes.few, sizes.texts)} texts a "
        "pass"
    )


def exits_of(layers: int) -> tuple[int, int, int]:
    """A third, a half and all of the layers."""
    return (max(1, layers // 3), max(1, layers // 2), layers)


def make_random_bundle(source: str, layers: int, width: int, seed: int, out: str) -> None:
    """Write the mobile's bundle and the cloud's graph of a BERT encoder with random weights.

    Tokenizer, labels and longest text are those of the bundle ``source``; the router's three
    centres are those of random thirds of some texts.
    """
    from dimec.bundle.folders import TierBundle, file_records, write_manifest
    from dimec.bundle.manifest import TierRecord
    from dimec.policies.kinds import StoredPolicy
    from dimec.policies.routed import RouterPolicy
    from dimec.tiers.deployment import Deployment
    from dimec.training.export.cuts import cut_embeddings, cut_segments, cut_tier, save_graph
    from dimec.training.export.graphs import trace_graph

    given = TierBundle.open(Path(source) / "mobile", "mobile")
    inputs = ("input_ids", "attention_mask")
    limit = given.manifest.max_tokens
    whole = trace_graph(_model(given.manifest, layers, width, seed), inputs, limit)
    mobile, cloud = Path(out) / "mobile", Path(out) / "cloud"
    for folder in (mobile, cloud):
        folder.mkdir(parents=True)
    first, _, last = exits_of(layers)
    save_graph(cut_embeddings(whole, inputs), mobile / "embed.onnx")
    save_graph(cut_segments(whole, [first])[first], mobile / f"layers-{first}.onnx")
    save_graph(cut_tier(whole, inputs, last), cloud / "model.onnx")
    shutil.copyfile(given.file("tokenizer.json"), mobile / "tokenizer.json")
    deployment = Deployment.paper(exits_of(layers))
    policy = RouterPolicy("random centres", _router(mobile, width, seed))
    StoredPolicy(policy, {"tiers": deployment.to_json()}).save(mobile)
    records = zip(deployment.tiers, given.manifest.versions.values(), strict=True)
    manifest = given.manifest.model_copy(
        update={
            "segments": (first,),
            "tiers": tuple(TierRecord(**asdict(tier), version=v) for tier, v in records),
            "width": width,
            "inputs": tuple(inputs),
            "files": file_records(mobile),
        }
    )
    write_manifest(mobile, manifest)


def _model(manifest: Any, layers: int, width: int, seed: int) -> Any:
    import torch
    from transformers import BertConfig, BertModel

    from dimec.training.model import MultiExitClassifier

    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=manifest.vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // _HEAD),
        intermediate_size=4 * width,
    )
    with tempfile.TemporaryDirectory() as folder:
        BertModel(config).save_pretrained(folder)
        model = MultiExitClassifier.from_backbone(
            folder, labels=manifest.labels, exits=exits_of(layers)
        )
    encoder: Any = model.encoder
    encoder.set_attn_implementation("eager")
    return model.eval()


def _router(mobile: Path, width: int, seed: int) -> Any:
    from dimec.bundle.graphs import Graph
    from dimec.routing import CentroidRouter

    rng = np.random.default_rng(seed)
    embed = Graph(mobile / "embed.onnx")
    ids = rng.integers(0, 100, (60, 1, 20))
    pooled = [embed(input_ids=row, attention_mask=np.ones_like(row))[1][0] for row in ids]
    return CentroidRouter().fit(np.stack(pooled), np.arange(60) % 3)
