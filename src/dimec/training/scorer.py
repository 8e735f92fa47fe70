"""From a run and a policy to a scorer: the models' graphs, cut where the policy may stop."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from dimec.base.arrays import Float32Array
from dimec.base.errors import ConfigError, ParityError
from dimec.base.progress import Progress
from dimec.base.storage import atomic_write
from dimec.base.storage_folders import atomic_folder
from dimec.bundle.exit0 import EXIT0
from dimec.cartography import softmax
from dimec.policies.kinds import StoredPolicy
from dimec.policies.step import Go, Site
from dimec.runs.workspace import RunDirectory, fitted_deployment
from dimec.scoring.part import Part as Runner
from dimec.scoring.part import States
from dimec.scoring.scorer import PACKAGES, PartRecord, ScorerManifest, write_manifest
from dimec.training.batching import encode
from dimec.training.checks import check_vocabulary
from dimec.training.encoders import token_limit, word_table
from dimec.training.exit0.run import exit0_of
from dimec.training.export.cuts import (
    cut_embeddings,
    cut_segments,
    cut_tier,
    save_graph,
    save_graphs,
)
from dimec.training.export.graphs import graph_inputs, require_exporter, trace_graph
from dimec.training.export.parity_rows import ParityRows, load_rows
from dimec.training.export.plan import Export, Part, parts_of
from dimec.training.export.verdict import TOLERANCE
from dimec.training.export.writing import tokenizer_text
from dimec.training.inference import predict
from dimec.training.prepare import load_tokenizer
from dimec.training.ready import ReadyClassifier, load_model

_CHECKED = 64  # rows on which the graphs are held against the model


def make_scorer(
    run: RunDirectory, stored: StoredPolicy, folder: Path, progress: Progress
) -> ScorerManifest:
    """Write a scorer, once its graphs have answered rows of the run as the models do.

    Args:
        run: trained.
        stored: a policy that learns nothing, and what it was fitted on.
        folder: takes its place all at once.
        progress: where to report to.

    Raises:
        ConfigError: the policy cannot be taken on the run's tiers, or an encoder or a tokenizer
            that cannot be exported.
        ArtefactError: the run is damaged.
        ParityError: a graph does not answer as its model does.
        MissingExtraError: onnx or onnxscript is not installed.
    """
    require_exporter()
    training, deployment = run.training(), fitted_deployment(stored)
    parts = parts_of(run, training, deployment)
    exit0 = exit0_of(parts[0].run)
    site = Export(run, training, stored, deployment, parts, {}, {}, exit0=exit0).site
    reach = stored.policy.steps(site).reach
    with atomic_folder(folder) as made:
        records, pairs = list[PartRecord](), False
        labels: tuple[str, ...] = ()
        for number, part in enumerate(parts):
            stops = _stops(reach, part, site)
            place = made / f"model-{number}"
            place.mkdir()
            told = f" of {part.tiers[0].source}" if len(parts) > 1 else ""
            progress.say(f"exporting the graphs{told} (once for this folder)")
            record, names, pairs = _write_part(part, place, stops, first=not number)
            if labels and names != labels:
                raise ConfigError(
                    f"the models of the tiers have other classes, or in another order: "
                    f"{', '.join(labels)} and {', '.join(names)}; train again with --overwrite"
                )
            labels = names
            records.append(record)
        wants0 = exit0 is not None and any(not go.layer for go in reach)
        if wants0:
            shutil.copyfile(parts[0].run.exit0_path, made / EXIT0)
        stored.save(made)
        fields: dict[str, Any] = {
            "model": training["model"],
            "policy": stored.policy.name,
            "labels": labels,
            "pairs": pairs,
            "exits": site.exits,
            "sources": site.sources,
            "exit0": wants0,
            "parts": tuple(records),
            "packages": {name: version(name) for name in PACKAGES},
        }
        return write_manifest(made, fields)


def _stops(reach: Sequence[Go], part: Part, site: Site) -> tuple[int, ...]:
    """The exits of a model that the policy may look at, ascending; its last where there is none."""
    tiers = site.deployment.tiers
    source = part.tiers[0].source
    found = {go.layer for go in reach if tiers[go.tier].source == source and go.layer}
    return tuple(sorted(found)) or (part.tiers[-1].layer,)


def _write_part(
    part: Part, folder: Path, stops: tuple[int, ...], *, first: bool
) -> tuple[PartRecord, tuple[str, ...], bool]:
    """A model's graphs and tokenizer; what it takes, its labels, and whether it takes pairs."""
    wanted = part.run.settings().model.max_tokens
    rows = load_rows(part.run, wanted)
    some = ParityRows(rows.texts[:_CHECKED], rows.pairs and rows.pairs[:_CHECKED])
    tokenizer = load_tokenizer(str(part.run.model_path))
    model = load_model(part.run.model_path, attn_implementation="eager").eval()
    check_vocabulary(model, tokenizer)
    max_tokens = token_limit(model.encoder, wanted)
    encoded = encode(tokenizer, rows, max_tokens)
    inputs = graph_inputs(encoded, rows.pairs is not None)
    logits = predict(model, encoded.take(np.arange(len(some))))[0]
    said = dict(zip(model.exits, softmax(logits).transpose(1, 0, 2), strict=True))
    whole = not first and (len(stops) == 1 or isinstance(model, ReadyClassifier))
    record = PartRecord(
        source=part.tiers[0].source,
        stops=stops,
        whole=whole,
        inputs=tuple(inputs),
        vocabulary=word_table(model.encoder).num_embeddings,
        max_tokens=max_tokens,
        padding=tokenizer.pad_token_id,
        width=model.config.encoder.hidden_size,
    )
    atomic_write(folder / "tokenizer.json", tokenizer_text(tokenizer, max_tokens))
    _write_graphs(trace_graph(model, inputs, max_tokens), record, folder)
    _check(Runner(folder, record), some, {stop: said[stop] for stop in stops})
    return record, tuple(model.label_names), rows.pairs is not None


def _write_graphs(whole: Any, record: PartRecord, folder: Path) -> None:
    inputs, first = list(record.inputs), folder / record.graphs[0]
    if record.whole:
        save_graph(cut_tier(whole, inputs, record.stops[0]), first)
        return
    save_graph(cut_embeddings(whole, inputs), first)
    segments = cut_segments(whole, record.stops).values()
    paths = [folder / name for name in record.graphs[1:]]
    save_graphs(dict(zip(paths, segments, strict=True)), folder / "layers.onnx.data")


def _check(runner: Runner, rows: ParityRows, said: dict[int, Float32Array]) -> None:
    """Hold the graphs against what the model said of some rows, as they are run later.

    Raises:
        ParityError: a probability is further off than an export's may be.
    """
    texts: list[Any] = list(rows.texts if rows.pairs is None else zip(rows.texts, rows.pairs))  # noqa: B905
    tokens, everything = runner.tokenise(texts), np.arange(len(texts))
    states = States(len(texts))
    runner.embed(tokens, everything, states)
    for stop, expected in said.items():
        difference = float(np.abs(runner.run(stop, tokens, everything, states) - expected).max())
        if not difference <= TOLERANCE:
            raise ParityError(
                f"the graph up to layer {stop} answers {difference:.1e} off what the model says, "
                f"expected at most {TOLERANCE:.0e}; report it with the versions of torch and "
                "onnxruntime"
            )
