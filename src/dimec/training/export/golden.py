"""Golden vectors of a bundle that is being written, see :mod:`dimec.bundle.golden`.

They are made of the files of the bundle, each part by itself: the tokenizer's file, the graphs one
text at a time, and the policy's steps. The mobile has no part in it, and is tested against them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import Float32Array
from dimec.base.errors import ConfigError
from dimec.bundle.exit0 import EXIT0, Exit0
from dimec.bundle.golden import (
    ExitValues,
    First,
    Golden,
    GoldenInput,
    GoldenPolicy,
    Stay,
    Way,
    as_floats,
)
from dimec.bundle.graphs import MASK, Graph, run_segments
from dimec.bundle.manifest import TierManifest
from dimec.policies.base import Adaptable, Policy
from dimec.policies.step import Go, Look, Signal, Steps, Visit, Walk
from dimec.tiers.deployment import Deployment
from dimec.tiers.paths import leg, usage_of
from dimec.training.export.golden_texts import Candidate, candidates, made_up
from dimec.training.export.parity_rows import ParityRows
from dimec.training.export.plan import Export
from dimec.training.export.verdict import TOLERANCE

_TOKENIZER = "tokenizer.json"
_TRIED = 64  # texts of the data that are run, so that many ways are among those that are taken
_MOST, _FEWEST = 18, 4  # of the data
_FLOATS = 12_000  # in the file: 11 bytes each
_DRAWS = 8  # of small changes, under which a way must stay the same
# How far another processor may be: in int8, what it rounds otherwise.
_MOVED = {"fp32": TOLERANCE, "int8": 5e-3}


@dataclass(frozen=True, eq=False)
class _Seen:
    """An input, and what all exits say of it.

    Attributes:
        given: the input.
        inputs: name → (1, T) of the device's graphs.
        pooled: (D,).
        said: (position of the tier, layer) → (C,) probabilities.
    """

    given: Candidate
    inputs: Mapping[str, npt.NDArray[np.int64]]
    pooled: Float32Array
    said: Mapping[tuple[int, int], Float32Array]


@dataclass(frozen=True, eq=False)
class _Gone:
    """The way of an input: the first step, the walk, and the look that answers."""

    first: Go
    walk: Walk
    look: Look

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal where the way and its label are the same."""
        looks = tuple((look.tier, look.layer) for look in self.walk.looks)
        answer = (self.look.tier, self.look.layer, self.look.prediction)
        return self.first, looks, tuple(self.walk.visits), answer


def golden_of(
    export: Export, folder: Path, manifests: Mapping[str, TierManifest], rows: ParityRows
) -> Golden:
    """The golden vectors of a bundle.

    Args:
        export: of the bundle.
        folder: of the bundle, in which all tiers' files are.
        manifests: of the tiers.
        rows: texts of the run's data.

    Raises:
        ConfigError: the policy takes a step that is none.
    """
    tiers, device = _Tiers(folder, manifests), manifests[export.first]
    policy: Any = export.stored.policy
    data = [tiers(given) for given in candidates(rows, _TRIED)]
    made = [tiers(given) for given in made_up(device.pairs, device.max_tokens)]
    floats = device.width + len(device.labels) * len(made[0].said)
    most = min(_MOST, max(_FEWEST, _FLOATS // floats - len(made)))
    moved = {k: _MOVED[manifests[name].precision] for k, name in enumerate(export.deployment.names)}
    ways = _Ways(export, device.labels, moved)
    chosen = [*_of_many_ways(data, ways.of(policy, data), most), *made]
    learner = _learner(policy)
    learns = learner.steps(export.site).learns
    alone = ways.of(policy, chosen)
    learning: Sequence[Way | None] = [None] * len(chosen)
    if learns != "never":
        learning = ways.of(learner, chosen, learn=True)
    return Golden(
        policy=GoldenPolicy(kind=policy.kind, name=policy.name),
        learns=learns,
        adaptive=policy.learns_online,
        tiers=export.deployment.names,
        versions=device.versions,
        precisions={name: manifest.precision for name, manifest in manifests.items()},
        labels=device.labels,
        inputs=tuple(
            _input(*both, export.deployment.names)
            for both in zip(chosen, alone, learning, strict=True)
        ),
    )


def _learner(policy: Policy) -> Policy:
    """The policy that learns online, where it can."""
    return policy.adapted(True) if isinstance(policy, Adaptable) else policy


def _of_many_ways(seen: Sequence[_Seen], ways: Sequence[Way], most: int) -> list[_Seen]:
    """At most so many inputs: by turns one of each way that there is, whose way is clear first."""
    groups: dict[Any, list[tuple[bool, int]]] = {}
    for i, way in enumerate(ways):
        key = way.first.tier, way.path, way.answered_by, way.label
        groups.setdefault(key, []).append((not way.clear, i))
    turns = itertools.zip_longest(*map(sorted, groups.values()))
    order = [each[1] for each in itertools.chain.from_iterable(turns) if each is not None]
    return [seen[i] for i in order[:most]]


class _Tiers:
    """All tiers of a bundle, each text by itself.

    Args:
        folder: of the bundle.
        manifests: of its tiers, from the device on.
    """

    def __init__(self, folder: Path, manifests: Mapping[str, TierManifest]) -> None:
        from tokenizers import Tokenizer

        names = tuple(manifests)
        self._manifests = tuple(manifests.values())
        device = self._manifests[0]
        self._tokenizers = {
            k: Tokenizer.from_file(str(folder / name / _TOKENIZER))
            for k, name in enumerate(names)
            if k == 0 or manifests[name].takes == "text"
        }
        self._graphs = [
            [Graph(folder / name / file) for file in manifests[name].graphs] for name in names
        ]
        self._exit0 = Exit0.load(folder / names[0] / EXIT0) if device.exit0 else None

    def __call__(self, given: Candidate) -> _Seen:
        """What all exits say of an input."""
        inputs = self._tokens(0, given)
        (embed, *segments), device = self._graphs[0], self._manifests[0]
        hidden, pooled = embed(**inputs)
        said = {}
        if self._exit0 is not None:
            said[0, 0] = self._exit0.one(inputs["input_ids"][0], pooled[0])
        answers = run_segments(segments, hidden, inputs[MASK])
        said |= {(0, layer): row[0] for layer, row in zip(device.segments, answers, strict=True)}
        for k in range(1, len(self._graphs)):
            own = self._tokens(k, given) if k in self._tokenizers else inputs
            said[k, self._manifests[k].exit] = self._graphs[k][0](**own)[0][0]
        return _Seen(given, inputs, pooled[0], said)

    def _tokens(self, tier: int, given: Candidate) -> dict[str, npt.NDArray[np.int64]]:
        """Inputs (1, T) of the graphs of a tier that has a tokenizer."""
        encoding = self._tokenizers[tier].encode(given.text, given.pair)
        columns = {
            "input_ids": encoding.ids,
            MASK: [1] * len(encoding.ids),
            "token_type_ids": encoding.type_ids,
        }
        return {name: np.array([columns[name]], np.int64) for name in self._manifests[tier].inputs}


@dataclass(frozen=True)
class _Ways:
    """Where a policy leads inputs.

    Attributes:
        export: of the bundle.
        labels: the C classes.
        moved: position of a tier → how far its values may be from those of another processor.
    """

    export: Export
    labels: tuple[str, ...]
    moved: Mapping[int, float]

    def of(self, policy: Policy, seen: Sequence[_Seen], *, learn: bool = False) -> list[Way]:
        """The way of each input, in their order.

        Args:
            policy: as it was fitted.
            seen: the inputs.
            learn: have it learn from each; else it is as fitted for all of them.
        """
        gone = self._run(policy, seen, learn)
        rng = np.random.default_rng(0)
        again = [
            self._run(policy, [self._elsewhere(one, rng) for one in seen], learn)
            for _ in range(_DRAWS)
        ]
        return [
            self._way(one, all(one.key == other.key for other in others))
            for one, *others in zip(gone, *again, strict=True)
        ]

    def _run(self, policy: Policy, seen: Sequence[_Seen], learn: bool) -> list[_Gone]:
        steps = policy.steps(self.export.site)
        return [_gone(steps, one, self.export.deployment, learn) for one in seen]

    def _elsewhere(self, seen: _Seen, rng: np.random.Generator) -> _Seen:
        """The same, as another processor might say it."""

        def near(values: Float32Array, tier: int) -> Float32Array:
            moved = values + self.moved[tier] * rng.choice((-1.0, 1.0), len(values))
            return moved.astype(np.float32)

        said = {}
        for (tier, layer), row in seen.said.items():
            positive = np.maximum(near(row, tier), 0)
            said[tier, layer] = positive / positive.sum()
        return replace(seen, pooled=near(seen.pooled, 0), said=said)

    def _way(self, gone: _Gone, clear: bool) -> Way:
        deployment, first, look = self.export.deployment, gone.first, gone.look
        names, visits = deployment.names, gone.walk.visits
        return Way(
            first=First(
                tier=names[first.tier],
                layer=first.layer,
                scores=tuple(float(x) if math.isfinite(x) else None for x in first.scores),
                margin=(
                    float(first.margin) if first.scores and math.isfinite(first.margin) else None
                ),
            ),
            seen=tuple((names[each.tier], each.layer) for each in gone.walk.looks),
            path=tuple(
                Stay(tier=names[v.tier], start=v.start, stop=v.stop, payload=v.payload)
                for v in visits
            ),
            answered_by=(names[look.tier], look.layer),
            label=self.labels[look.prediction],
            cost=_cost(visits, deployment),
            clear=clear,
        )


def _gone(steps: Steps, seen: _Seen, deployment: Deployment, learn: bool) -> _Gone:
    """The way of one input; see :func:`dimec.policies.drive.walked`, which has a trace for it.

    Raises:
        ConfigError: a step that is none.
    """
    walk = Walk(Signal(seen.pooled, seen.inputs["input_ids"].shape[1]))
    first = step = steps.begin(walk.signal)
    if not isinstance(first, Go):
        raise ConfigError("a policy cannot answer before any exit was seen")
    if learn and steps.learns == "deciding":
        steps.learn(walk, first)
    while isinstance(step, Go):
        walk.go(step, deployment)
        walk.see(seen.said[step.tier, step.layer])
        step = steps.after(walk)
    if learn and steps.learns == "answered":
        steps.learn(walk, first)
    return _Gone(first, walk, walk.answer(step))


def _cost(visits: Sequence[Visit], deployment: Deployment) -> float:
    """Of a path, in units of λ."""
    legs = [
        leg(1, visit.tier, visit.stop, start=visit.start, ends=visit is visits[-1])
        for visit in visits
    ]
    return float(deployment.price(usage_of(legs, deployment))[0])


def _input(seen: _Seen, alone: Way, learning: Way | None, names: Sequence[str]) -> GoldenInput:
    types = seen.inputs.get("token_type_ids")
    return GoldenInput(
        of=seen.given.of,
        text=seen.given.text,
        pair=seen.given.pair,
        input_ids=tuple(seen.inputs["input_ids"][0].tolist()),
        token_type_ids=None if types is None else tuple(types[0].tolist()),
        embedding=as_floats(seen.pooled),
        exits=tuple(
            ExitValues(tier=names[tier], layer=layer, probabilities=as_floats(row))
            for (tier, layer), row in seen.said.items()
        ),
        alone=alone,
        learning=learning,
    )
