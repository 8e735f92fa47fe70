"""Traces as they are kept beside the code, of a run that was written by hand."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from dimec.tiers.deployment import Deployment
from dimec.traces.card import CardShape, CardTier
from dimec.traces.joining import join
from dimec.traces.trace import Trace
from dimec_studies.plan import Plan
from dimec_studies.stored import Stored, keep, load_stored
from support.builders import make_trace
from support.written import written_run

NAMES = ("mobile", "edge", "cloud")


def look_plan() -> Plan:
    """Of one task that is none of any package's."""
    return Plan.of(
        {
            "name": "look",
            "model": {"backbone": "tiny", "exits": "all", "tiers": (1, 2, 6)},
            "seeds": (4,),
            "draws": 50,
            "tasks": {"some": {"task": "csv:x"}},
        }
    )


@lru_cache(maxsize=1)
def kept() -> Stored:
    """The traces of the run, kept and read again; the same in every test, since fits are dear."""
    with TemporaryDirectory() as folder:
        run = written_run(Path(folder) / "run")
        return load_stored(keep(run, look_plan(), "some", 4, Path(folder) / "traces"))


def kept_with_shapes() -> Stored:
    """The same, with the shape of its layers."""
    one = kept()
    shape = CardShape(width=32, intermediate=64)
    return replace(one, card=one.card.model_copy(update={"shapes": {"": shape}}))


def kept_own() -> Stored:
    """Tiers with a model each, for the same rows."""
    joint = kept_with_shapes()
    layers = joint.deployment.exits
    validation, test = (
        join(
            {
                name: _each(one, (layer,), 10 * k + len(one.split))
                for k, (name, layer) in enumerate(zip(NAMES, layers, strict=True))
            }
        )
        for one in (joint.validation, joint.test)
    )
    card = joint.card.model_copy(
        update={
            "recipe": "own",
            "tiers": tuple(map(_tier, NAMES, layers)),
            "shapes": dict.fromkeys(NAMES, joint.card.shapes[""]),
            "backbone": dict.fromkeys(NAMES, "tiny"),
            "rows": {"train": 100},
        }
    )
    return replace(
        joint,
        entry=joint.entry.replace("-joint", "-own"),
        validation=validation,
        test=replace(test, models=validation.models, model=validation.model),
        deployment=Deployment.paper(layers, names=NAMES, sources=NAMES),
        card=card,
    )


def _tier(name: str, layer: int) -> CardTier:
    return CardTier(name=name, layer=layer, source=name)


def _each(trace: Trace, exits: tuple[int, ...], seed: int) -> Trace:
    """A model of its own for the rows of a trace, more often right than chance."""
    rng = np.random.default_rng(seed)
    sure = rng.uniform(0.55, 0.95, (len(trace), len(exits)))
    right = rng.random((len(trace), len(exits))) < sure
    first = np.where(right == (trace.labels == 0)[:, None], sure, 1 - sure)
    probabilities = np.stack([first, 1 - first], axis=-1).astype(np.float32)
    one = make_trace(len(trace), exits=exits, tiers=exits[-1:], dim=trace.embeddings.shape[1])
    return replace(
        one,
        probabilities=probabilities,
        labels=trace.labels,
        guids=trace.guids,
        embeddings=trace.embeddings,
        label_names=trace.label_names,
        task=trace.task,
        split=trace.split,
        metric=trace.metric,
        lengths=trace.lengths,
        model=f"{seed:064d}",
    )
