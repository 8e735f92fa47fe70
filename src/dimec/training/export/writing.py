"""A bundle's folders: graphs, tokenizers, policy and manifests, checked as they are written.

Tiers that are cut out of one model share its trace. Where tiers have models of their own, each
model goes the same way: its graphs are compared with it on its own token ids. A tier takes the
token ids of the first tier wherever its model would make the same of a text; else it takes the
text, and gets its tokenizer beside its graph.
"""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dimec.base.errors import ConfigError
from dimec.base.progress import Progress
from dimec.base.storage import atomic_write
from dimec.bundle.exit0 import EXIT0
from dimec.bundle.folders import file_records, write_manifest
from dimec.bundle.manifest import (
    BundleManifest,
    FileRecord,
    Takes,
    TierManifest,
    graph_names,
)
from dimec.bundle.tokens import check_rules
from dimec.training.checks import check_vocabulary
from dimec.training.encoders import token_limit, word_table
from dimec.training.export.cuts import (
    cut_embeddings,
    cut_segments,
    cut_tier,
    save_graph,
    save_graphs,
)
from dimec.training.export.golden import golden_of
from dimec.training.export.graphs import graph_inputs, trace_graph
from dimec.training.export.parity import check_tier, check_tokenizer, make_reference
from dimec.training.export.parity_rows import ParityRows, load_rows
from dimec.training.export.plan import Export, Part
from dimec.training.export.quantise import quantise_graph
from dimec.training.export.verdict import Parity, require_parity
from dimec.training.finish import versions
from dimec.training.prepare import load_tokenizer
from dimec.training.ready import load_model

TOKENIZER = "tokenizer.json"
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class _Shape:
    """What a manifest says of a tier's model, as :class:`dimec.bundle.manifest.TierManifest`."""

    labels: tuple[str, ...]
    vocabulary: int
    width: int
    max_tokens: int
    padding: int
    pairs: bool
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class _Words:
    """How a model wants its texts in token ids: those of equal words take the same ids."""

    tokenizer: str
    max_tokens: int
    padding: int
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class _Written:
    """A model whose tiers are written."""

    rows: ParityRows
    shape: _Shape
    words: _Words
    parities: Mapping[str, Parity]


def write_bundle(export: Export, folder: Path, force: bool, progress: Progress) -> None:
    """Write all of a bundle, checked against the trained models.

    Args:
        export: what it is to be.
        folder: empty.
        force: see :func:`dimec.training.export.verdict.require_parity`.
        progress: where to report to.

    Raises:
        DimecError: see :func:`dimec.training.export.bundles.export_run`.
    """
    written: list[_Written] = []
    for part in export.parts:
        written.append(_write_part(export, part, folder, written[:1], force, progress))
    export.stored.save(folder / export.first)
    _write_manifests(export, folder, written)


def packages() -> dict[str, str]:
    """Versions of what the bytes of a bundle depend on."""
    return versions() | {name: version(name) for name in _PACKAGES}


def _write_part(
    export: Export,
    part: Part,
    folder: Path,
    first: Sequence[_Written],
    force: bool,
    progress: Progress,
) -> _Written:
    """Graphs of the tiers of one model, and its tokenizer where it is needed.

    Args:
        export: of the bundle.
        part: the model and its tiers.
        folder: of the bundle.
        first: the first tier's model, where it is written already.
        force, progress: as of :func:`write_bundle`.
    """
    wanted = part.run.settings().model.max_tokens
    rows = load_rows(part.run, wanted)
    tokenizer = load_tokenizer(str(part.run.model_path))
    model = load_model(part.run.model_path, attn_implementation="eager").eval()
    check_vocabulary(model, tokenizer)
    # Training's limit, or the encoder's, if that is less.
    max_tokens = token_limit(model.encoder, wanted)
    steps, exit0 = export.steps(), None if first else export.exit0
    reference = make_reference(model, tokenizer, rows, max_tokens, steps, progress, exit0)
    inputs = graph_inputs(reference.encoded, rows.pairs is not None)
    shape = _Shape(
        labels=model.label_names,
        vocabulary=word_table(model.encoder).num_embeddings,
        width=model.config.encoder.hidden_size,
        max_tokens=max_tokens,
        padding=tokenizer.pad_token_id,
        pairs=rows.pairs is not None,
        inputs=tuple(inputs),
    )
    words = _Words(tokenizer_text(tokenizer, max_tokens), max_tokens, shape.padding, shape.inputs)
    if first:
        _check_classes(export, part, shape, first[0].shape)
    names = ", ".join(tier.name for tier in part.tiers)
    progress.say(f"exporting the graphs of {names}" if export.own else "exporting the graphs")
    _write_graphs(export, part, folder, trace_graph(model, inputs, max_tokens), inputs)
    check_tokenizer(_write_tokenizer(part, folder, words, first, export.first), reference)
    if exit0 is not None:
        shutil.copyfile(export.exit0_path, folder / export.first / EXIT0)
    parities = {}
    for tier in part.tiers:
        precision, segments = export.precisions[tier.name], export.segments[tier.name]
        parities[tier.name] = check_tier(
            folder / tier.name, tier.layer, segments, precision, reference, progress
        )
        require_parity(tier.name, precision, parities[tier.name], force)
    return _Written(rows, shape, words, parities)


def _check_classes(export: Export, part: Part, shape: _Shape, first: _Shape) -> None:
    """Refuse a model that means another class by the same place.

    Raises:
        ConfigError: says which, and what was expected.
    """
    if shape.labels != first.labels:
        raise ConfigError(
            f"the model of the tier {part.tiers[0].name} has the classes "
            f"{', '.join(shape.labels)}, in this order, expected those of the tier "
            f"{export.first}: {', '.join(first.labels)}; train again with: dimec train --out "
            f"{export.run.typed} --overwrite"
        )


def _write_graphs(
    export: Export, part: Part, folder: Path, whole: Any, inputs: Sequence[str]
) -> None:
    for tier in part.tiers:
        place, segments = folder / tier.name, export.segments[tier.name]
        parts = (
            [cut_embeddings(whole, inputs), *cut_segments(whole, segments).values()]
            if segments
            else [cut_tier(whole, inputs, tier.layer)]
        )
        if export.precisions[tier.name] == "int8":
            for graph in parts:
                quantise_graph(graph)
        place.mkdir(exist_ok=True)
        first, *others = (place / name for name in graph_names(segments))
        save_graph(parts[0], first)
        save_graphs(dict(zip(others, parts[1:], strict=True)), place / "layers.onnx.data")


def _write_tokenizer(
    part: Part, folder: Path, words: _Words, first: Sequence[_Written], device: str
) -> Path:
    """Write the tokenizer to each tier that makes token ids itself.

    Args:
        part: the model and its tiers.
        folder: of the bundle.
        words: of the model.
        first: the first tier's model, where this is not it.
        device: name of the first tier, which always has a tokenizer.

    Returns:
        The file that the model's token ids are made with.
    """
    if first and words == first[0].words:
        return folder / device / TOKENIZER
    names = [tier.name for tier in part.tiers] if first else [device]
    for name in names:
        atomic_write(folder / name / TOKENIZER, words.tokenizer)
    return folder / names[0] / TOKENIZER


def tokenizer_text(tokenizer: Any, max_tokens: int) -> str:
    """The content of ``tokenizer.json``, set to cut texts as training does.

    Raises:
        ConfigError: it is of the kind that runs in Python only, or has rules that a device refuses.
    """
    from tokenizers import Tokenizer

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise ConfigError(
            f"{type(tokenizer).__name__} is a tokenizer in Python only, and a device needs a "
            "tokenizer.json; train with the encoder's fast tokenizer"
        )
    copy = Tokenizer.from_str(backend.to_str())
    copy.enable_truncation(
        max_tokens, strategy="longest_first", direction=tokenizer.truncation_side
    )
    check_rules(copy)
    copy.no_padding()
    return copy.to_str(pretty=True)


def _write_manifests(export: Export, folder: Path, written: Sequence[_Written]) -> None:
    parities: dict[str, Parity] = {}
    shapes: dict[str, _Shape] = {}
    takes: dict[str, Takes] = {}
    for part, one in zip(export.parts, written, strict=True):
        parities |= one.parities
        for tier in part.tiers:
            shapes[tier.name] = one.shape
            takes[tier.name] = "tokens" if one.words == written[0].words else "text"
    names = export.deployment.names
    common: dict[str, Any] = {
        "tiers": export.records(takes),
        "labels": written[0].shape.labels,
        "provenance": {
            **export.provenance(),
            "parity": {name: parities[name].to_dict() for name in names},
            "packages": packages(),
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        },
    }
    files: dict[str, FileRecord] = {}
    manifests: dict[str, TierManifest] = {}
    for name in names:
        place = folder / name
        manifest = TierManifest(
            tier=name,
            segments=export.segments[name],
            precision=export.precisions[name],
            **{**common, **asdict(shapes[name]), "files": file_records(place)},
        )
        write_manifest(place, manifest)
        manifests[name] = manifest
        records = file_records(place, manifest=True)
        files |= {f"{name}/{file}": record for file, record in records.items()}
    golden_of(export, folder, manifests, written[0].rows).save(folder)
    files |= file_records(folder)
    write_manifest(folder, BundleManifest(files=files, **common))
