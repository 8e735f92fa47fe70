"""From a run to a scorer: the models' graphs, cut where a policy may stop, or at every exit."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dimec.base.errors import ConfigError
from dimec.base.progress import Progress
from dimec.base.storage import atomic_write
from dimec.base.storage_folders import atomic_folder
from dimec.bundle.exit0 import EXIT0
from dimec.bundle.manifest import Precision
from dimec.policies.base import Policy
from dimec.policies.kinds import StoredPolicy
from dimec.policies.routed import RouterPolicy
from dimec.policies.step import Go, Site, Steps
from dimec.routing import SingleTierRouter
from dimec.runs.workspace import RunDirectory, fitted_deployment
from dimec.scoring.part import Part as Runner
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
from dimec.training.export.parity_rows import load_rows
from dimec.training.export.plan import Export, Part, parts_of
from dimec.training.export.quantise import quantise_graph
from dimec.training.export.writing import tokenizer_text
from dimec.training.finish import check_model
from dimec.training.prepare import load_tokenizer
from dimec.training.ready import ReadyClassifier, load_model
from dimec.training.scorer_check import check_part


@dataclass(frozen=True, eq=False)
class _Plan:
    """What a scorer is to hold.

    Attributes:
        run: that it is made of.
        models: source → run directory of the model behind it, the first tier's first.
        stops: source → the exits that its model is cut at, ascending.
        exits, sources: as of a :class:`ScorerManifest`.
        exit0: whether exit 0 is asked.
        stored: the policy that answers; None where all is recorded.
        steps: of it.
        precision: of the weights.
        force: take int8 however often it differs from the model.
    """

    run: RunDirectory
    models: Mapping[str, RunDirectory]
    stops: Mapping[str, tuple[int, ...]]
    exits: tuple[int, ...]
    sources: tuple[str, ...]
    exit0: bool
    stored: StoredPolicy | None = None
    steps: Steps | None = None
    precision: Precision = "fp32"
    force: bool = False


def make_scorer(
    run: RunDirectory,
    stored: StoredPolicy,
    folder: Path,
    progress: Progress,
    precision: Precision = "fp32",
    force: bool = False,
) -> ScorerManifest:
    """Write a scorer that answers, once its graphs have answered rows of the run as the models do.

    Args:
        run: trained.
        stored: a policy that learns nothing, and what it was fitted on.
        folder: takes its place all at once.
        progress: where to report to.
        precision: of the weights.
        force: take int8 however many rows differ.

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
    steps = stored.policy.steps(site)
    plan = _Plan(
        run,
        {part.tiers[0].source: part.run for part in parts},
        {part.tiers[0].source: _stops(_reach(stored.policy, steps), part, site) for part in parts},
        site.exits,
        site.sources,
        exit0 is not None and any(not go.layer for go in steps.reach),
        stored,
        steps,
        precision,
        force,
    )
    return _write(plan, folder, progress)


def make_recorder(run: RunDirectory, folder: Path, progress: Progress) -> ScorerManifest:
    """Write a scorer that records what every exit of every model says, checked as above.

    Args:
        run: trained.
        folder: takes its place all at once.
        progress: where to report to.

    Raises:
        ConfigError: an encoder or a tokenizer that cannot be exported.
        ArtefactError: the run is not finished, or damaged.
        ParityError: a graph does not answer as its model does.
        MissingExtraError: onnx or onnxscript is not installed.
    """
    require_exporter()
    check_model(run)
    models = run.tier_runs() or {"": run}
    stops = {source: tuple(one.training()["exits"]) for source, one in models.items()}
    pairs = [(source, layer) for source, layers in stops.items() for layer in layers]
    if exit0 := exit0_of(run) is not None:
        pairs.insert(0, (next(iter(models)), 0))
    exits, sources = tuple(layer for _, layer in pairs), tuple(source for source, _ in pairs)
    return _write(_Plan(run, models, stops, exits, sources, exit0), folder, progress)


def _reach(policy: Policy, steps: Steps) -> Sequence[Go]:
    """Where a policy leads.

    A policy of one tier leads nowhere else here; on a device, which others may have to stand in
    for, it has to be ready for all.
    """
    router = policy.router if isinstance(policy, RouterPolicy) else None
    if isinstance(router, SingleTierRouter):
        return [go for go in steps.reach if go.tier == router.tier]
    return steps.reach


def _stops(reach: Sequence[Go], part: Part, site: Site) -> tuple[int, ...]:
    """The exits of a model that the policy may look at, ascending; its last where there is none."""
    tiers = site.deployment.tiers
    source = part.tiers[0].source
    found = {go.layer for go in reach if tiers[go.tier].source == source and go.layer}
    return tuple(sorted(found)) or (part.tiers[-1].layer,)


def _write(plan: _Plan, folder: Path, progress: Progress) -> ScorerManifest:
    with atomic_folder(folder) as made:
        records, pairs = list[PartRecord](), False
        labels: tuple[str, ...] = ()
        for number, source in enumerate(plan.models):
            place = made / f"model-{number}"
            place.mkdir()
            told = f" of {source}" if len(plan.models) > 1 else ""
            progress.say(f"exporting the graphs{told} (once for this folder)")
            record, names, pairs = _write_part(plan, source, place, first=not number)
            if labels and names != labels:
                raise ConfigError(
                    f"the models of the tiers have other classes, or in another order: "
                    f"{', '.join(labels)} and {', '.join(names)}; train again with --overwrite"
                )
            labels = names
            records.append(record)
        if plan.exit0:
            first = next(iter(plan.models.values()))
            shutil.copyfile(first.exit0_path, made / EXIT0)
        if plan.stored is not None:
            plan.stored.save(made)
        fields: dict[str, Any] = {
            "model": plan.run.training()["model"],
            "policy": None if plan.stored is None else plan.stored.policy.name,
            "precision": plan.precision,
            "labels": labels,
            "pairs": pairs,
            "exits": plan.exits,
            "sources": plan.sources,
            "exit0": plan.exit0,
            "parts": tuple(records),
            "packages": {name: version(name) for name in PACKAGES},
        }
        return write_manifest(made, fields)


def _write_part(
    plan: _Plan, source: str, folder: Path, *, first: bool
) -> tuple[PartRecord, tuple[str, ...], bool]:
    """A model's graphs and tokenizer; what it takes, its labels, and whether it takes pairs."""
    run, stops = plan.models[source], plan.stops[source]
    wanted = run.settings().model.max_tokens
    rows = load_rows(run, wanted)
    tokenizer = load_tokenizer(str(run.model_path))
    model = load_model(run.model_path, attn_implementation="eager").eval()
    check_vocabulary(model, tokenizer)
    max_tokens = token_limit(model.encoder, wanted)
    encoded = encode(tokenizer, rows, max_tokens)
    inputs = graph_inputs(encoded, rows.pairs is not None)
    whole = not first and (len(stops) == 1 or isinstance(model, ReadyClassifier))
    record = PartRecord(
        source=source,
        stops=stops,
        whole=whole,
        inputs=tuple(inputs),
        vocabulary=word_table(model.encoder).num_embeddings,
        max_tokens=max_tokens,
        padding=tokenizer.pad_token_id,
        width=model.config.encoder.hidden_size,
    )
    atomic_write(folder / "tokenizer.json", tokenizer_text(tokenizer, max_tokens))
    _write_graphs(trace_graph(model, inputs, max_tokens), record, plan.precision, folder)
    steps = plan.steps if first else None
    check_part(Runner(folder, record), rows, encoded, model, plan.precision, steps, plan.force)
    return record, tuple(model.label_names), rows.pairs is not None


def _write_graphs(whole: Any, record: PartRecord, precision: Precision, folder: Path) -> None:
    inputs, first = list(record.inputs), folder / record.graphs[0]
    graphs = (
        [cut_tier(whole, inputs, record.stops[0])]
        if record.whole
        else [cut_embeddings(whole, inputs), *cut_segments(whole, record.stops).values()]
    )
    if precision == "int8":
        for graph in graphs:
            quantise_graph(graph)
    save_graph(graphs[0], first)
    paths = [folder / name for name in record.graphs[1:]]
    save_graphs(dict(zip(paths, graphs[1:], strict=True)), folder / "layers.onnx.data")
