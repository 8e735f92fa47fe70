"""Runs whose tiers have a model each: which tiers, what shapes, what they are sent and take."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dimec.base.errors import ConfigError, MismatchError, MissingArtefactError, option, quoted
from dimec.runs.workspace import RunDirectory
from dimec.tiers.computing import ByOperations, ByProfiles, Computing
from dimec.tiers.deployment import Deployment
from dimec.tiers.latency import STAND_IN, LayerProfile, ModelShape
from dimec.tiers.names import check_tier_names
from dimec.traces.trace import Trace

TEXT_BYTES = "text_bytes"  # the extra column of a trace with each text's bytes in UTF-8
LENGTHS = "lengths."  # of a recorded trace, before a tier's name: lengths by its own tokenizer
LAYER_PROFILE = "layer-profile.json"  # in a tier's folder, where dimec profile wrote one


def has_own_tiers(trace: Trace) -> bool:
    """Whether its tiers have a model each, and not one that is cut."""
    return len(trace.sources_in_order) > 1


def chosen_tiers(
    trace: Trace, tiers: Sequence[int] | Mapping[str, int] | None
) -> Mapping[str, int]:
    """Tiers of a run whose tiers have a model each, and an exit of each.

    Args:
        trace: of the run; its sources are the tiers' names.
        tiers: names with exits of their own models; None for all at the exits of training.

    Raises:
        ConfigError: layers without names, unknown tiers, the first one left out, another order, or
            an exit that a tier's model does not have.
    """
    known = dict(zip(trace.tier_sources, trace.tiers, strict=True))
    if tiers is None:
        return known
    if not isinstance(tiers, Mapping):
        named = ",".join(f"{name}={layer}" for name, layer in known.items())
        raise ConfigError(
            f"{option('tiers')}: each tier has a model of its own here, so they are told by name, "
            f"as in {named}"
        )
    check_tier_names(tiers, option("tiers"), tuple(known))
    first, order = next(iter(known)), [name for name in known if name in tiers]
    if order[:1] != [first] or list(tiers) != order:
        raise ConfigError(
            f"{option('tiers')}: texts arrive at {first}, and the others follow as they were "
            f"trained, {', '.join(known)}; got {', '.join(tiers) or 'none'}"
        )
    for name, layer in tiers.items():
        exits = [one for one in trace.exits_of(name) if one]
        if layer not in exits:
            raise ConfigError(
                f"{option('tiers')}: the model of {name} has no exit at layer {layer!r}; it has "
                f"{', '.join(map(str, exits))}"
            )
    return tiers


def shapes_of(run: RunDirectory, trace: Trace, tiers: Mapping[str, int]) -> dict[str, ModelShape]:
    """The shape of each of these tiers' layers, in their order.

    Raises:
        MismatchError: the run has no models of such tiers.
    """
    shapes = run.shapes()
    if missing := [name for name in trace.tier_sources if name not in shapes]:
        raise MismatchError(
            f"the traces in {run.path} are of the tiers {', '.join(trace.tier_sources)}, and there "
            f"is no model of {quoted(missing[0])}; train again with: dimec train --out {run.typed} "
            "--overwrite"
        )
    return {name: shapes[name] for name in tiers}


def models_of(run: RunDirectory) -> dict[str, str]:
    """The encoder or classifier behind each tier's model; empty where one model is cut."""
    if (recorded := run.recorded()) is not None:
        return dict(recorded["models"])
    own = run.tier_runs()
    return {tier.name: tier.model for tier in run.settings().tier} if own else {}


def text_tiers(run: RunDirectory, deployment: Deployment) -> list[int]:
    """Positions of the tiers that are sent the text, since they do not share the first one's ids.

    A tier is sent ids where its tokenizer and its longest input are the first tier's.
    """
    if (recorded := run.recorded()) is not None:
        sent = {tier["name"] for tier in recorded["tiers"] if tier["sent"] == "text"}
        return [k for k, name in enumerate(deployment.names) if name in sent]
    own = run.tier_runs()
    if not own:
        return []
    first = own[deployment.names[0]]
    return [k for k, name in enumerate(deployment.names) if k and not _same_ids(first, own[name])]


def _same_ids(one: RunDirectory, two: RunDirectory) -> bool:
    if one.settings().model.max_tokens != two.settings().model.max_tokens:
        return False
    files = [run.model_path / "tokenizer.json" for run in (one, two)]
    if not all(file.is_file() for file in files):
        return False
    return bool(_rules(files[0]) == _rules(files[1]))


def _rules(file: Path) -> Any:
    """A tokenizer, but for how it cuts and fills up, which is set wherever it is used."""
    rules = json.loads(file.read_bytes())
    return {key: v for key, v in rules.items() if key not in ("truncation", "padding")}


def computing_of(run: RunDirectory, trace: Trace, deployment: Deployment) -> Computing:
    """How long the answers to a trace's texts compute at each tier.

    Raises:
        ArtefactError: the trace of a tier's own model is missing, or of other texts.
    """
    shapes = run.shapes()
    if not has_own_tiers(trace):
        return computing_by(trace, deployment, shapes, {}, {})
    lengths = {name: lengths_at(run, name, trace) for name in deployment.names}
    return computing_by(trace, deployment, shapes, layer_profiles(run), lengths)


def with_embedding(
    computing: Computing, run: RunDirectory, trace: Trace, deployment: Deployment
) -> Computing:
    """The same, with the time of the first tier's embedding layer and classifiers.

    By the layer profile of the run's encoder, or the one that stands in for any; where tiers have
    models of their own it is told so in any case.
    """
    if not isinstance(computing, ByOperations):
        return computing
    first = deployment.tiers[0]
    passed = [layer for layer in trace.exits_of(first.source) if 0 < layer <= first.layer]
    profile = measured_profile(run, str(run.training()["backbone"]))
    return replace(
        computing,
        profile=profile or LayerProfile.packaged(STAND_IN),
        looks=len(passed) / first.layer if first.layer else 1.0,
    )


def computing_by(
    trace: Trace,
    deployment: Deployment,
    shapes: Mapping[str, ModelShape],
    profiles: Mapping[str, LayerProfile],
    lengths: Mapping[str, npt.NDArray[np.int64]],
) -> Computing:
    """The same of what is known of the models.

    Args:
        trace: of N texts.
        deployment: the tiers.
        shapes: of the model behind each source.
        profiles, lengths: of each tier with a model of its own, and (N,) tokens by its tokenizer.
    """
    if not has_own_tiers(trace):
        (shape,) = shapes.values()
        return ByOperations(trace.lengths, shape)
    first, deepest = deployment.names[0], deployment.exits[0]
    looks = sum(0 < layer <= deepest for layer in trace.exits_of(first)) / deepest
    return ByProfiles(
        np.stack([lengths[name] for name in deployment.names], axis=1),
        [shapes[name] for name in deployment.names],
        [profiles[name] for name in deployment.names],
        looks,
    )


def lengths_at(run: RunDirectory, name: str, trace: Trace) -> npt.NDArray[np.int64]:
    """(N,) tokens of a trace's texts by the tokenizer of one tier.

    Raises:
        MismatchError: the trace of the tier's model has other texts.
    """
    if run.recorded() is not None:
        return recorded_lengths(trace, name)
    if name == trace.sources[0]:
        return trace.lengths
    return _lengths(run.tier_runs()[name], trace)


def recorded_lengths(trace: Trace, name: str) -> npt.NDArray[np.int64]:
    """(N,) the same of a recorded trace: a column where they are not the first tier's."""
    there = trace.extra.get(f"{LENGTHS}{name}")
    return trace.lengths if there is None else there.astype(np.int64)


def _lengths(tier: RunDirectory, trace: Trace) -> npt.NDArray[np.int64]:
    there = tier.trace(trace.split)
    known = dict(zip(there.guids, there.lengths.tolist(), strict=True))
    if missing := [guid for guid in trace.guids if guid not in known]:
        raise MismatchError(
            f"{tier.trace_path(trace.split)} lacks the text {quoted(missing[0])} of the joined "
            "trace; train again with: dimec train"
        )
    return np.array([known[guid] for guid in trace.guids], np.int64)


def layer_profiles(run: RunDirectory) -> dict[str, LayerProfile]:
    """The layer profile that each tier's milliseconds are told by.

    That of :func:`measured_profile`, or else that of ``minilm-l6``, carried to the tier's shape by
    operations.
    """
    models, runs = models_of(run), run.tier_runs()
    return {
        name: measured_profile(runs.get(name, run), model) or LayerProfile.packaged(STAND_IN)
        for name, model in models.items()
    }


def packaged_profile(model: str) -> LayerProfile:
    """The layer profile of an encoder that comes with dimec, or the one that stands in for any."""
    try:
        return LayerProfile.packaged(model)
    except MissingArtefactError:
        return LayerProfile.packaged(STAND_IN)


def measured_profile(run: RunDirectory, model: str) -> LayerProfile | None:
    """The layer profile of a run's encoder, where there is one.

    Args:
        run: of one model. One that lies in it as ``layer-profile.json`` is taken first: ``dimec
            profile --backbone MODEL --out RUN/layer-profile.json``.
        model: the encoder's name; one that comes with dimec may be of it.
    """
    measured = run.path / LAYER_PROFILE
    if measured.is_file():
        return LayerProfile.load(measured)
    try:
        return LayerProfile.packaged(model)
    except MissingArtefactError:
        return None
