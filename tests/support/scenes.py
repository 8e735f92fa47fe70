"""Every registered system, and traces of every shape that it must cope with."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from importlib import import_module

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

import dimec.policies
from dimec.cartography import DataMap
from dimec.policies import FitInputs, Fitted, Outcome, System, systems
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from dimec.tiers.usage import Usage
from dimec.traces.joining import join
from dimec.traces.trace import Trace
from support.builders import make_trace

LAM = 0.02
CONFIDENCES = ("random", "peaked", "eighths", "equal", "certain", "uniform")
ARRAYS = ("embeddings", "probabilities", "labels", "lengths")


def every_system() -> Mapping[str, System]:
    """All that the modules of the package register, whether or not the package names them."""
    for module in pkgutil.iter_modules(dimec.policies.__path__, "dimec.policies."):
        import_module(module.name)
    return systems()


@dataclass(frozen=True)
class Scene:
    """Shape of a pair of traces: a validation split to fit on, a test split to replay."""

    exits: tuple[int, ...] = (1, 2, 3, 4, 5, 6)
    tiers: tuple[int, ...] = (2, 3, 6)
    classes: int = 2
    samples: int = 30
    confidences: str = "random"
    seed: int = 0

    @property
    def deployment(self) -> Deployment:
        """At the paper's prices."""
        names = None if len(self.tiers) <= 3 else [f"tier-{k}" for k in range(len(self.tiers))]
        return Deployment.paper(self.tiers, names=names)

    def trace(self, split: str) -> Trace:
        """The trace of ``"validation"`` or of ``"test"``; a mistaken write to it raises."""
        return _drawn(self, split)

    def inputs(self) -> FitInputs:
        """The validation split with its data map."""
        trace = self.trace("validation")
        gold = np.random.default_rng(self.seed).beta(2, 1, (3, len(trace)))
        return FitInputs(trace, self.deployment, LAM, DataMap.from_probabilities(gold))


@dataclass(frozen=True)
class OwnScene(Scene):
    """Tiers with a model each, in a joined trace: the exits of each; the last is its tier's."""

    models: tuple[tuple[str, tuple[int, ...]], ...] = (
        ("phone", (0, 1, 2)),
        ("edge", (2, 3)),
        ("cloud", (4,)),
    )

    @property
    def deployment(self) -> Deployment:
        """At the paper's prices."""
        names = [name for name, _ in self.models]
        return Deployment.paper([exits[-1] for _, exits in self.models], None, names, sources=names)

    def trace(self, split: str) -> Trace:
        """The trace of a split, joined of each model's; a mistaken write to it raises."""
        alone = {
            name: replace(
                Scene(exits, exits[-1:], self.classes, self.samples, self.confidences, seed).trace(
                    split
                ),
                model=name.encode().hex().ljust(64, "0"),
            )
            for seed, (name, exits) in enumerate(self.models, start=self.seed)
        }
        first = next(iter(alone.values()))
        alike = {name: replace(one, labels=first.labels) for name, one in alone.items()}
        trace = join(alike)
        for name in ARRAYS:
            getattr(trace, name).setflags(write=False)
        return trace


@lru_cache(maxsize=1024)
def _drawn(scene: Scene, split: str) -> Trace:
    """The same for everybody who asks, since nobody can write to it."""
    rng = np.random.default_rng([scene.seed, len(split)])
    shape = (scene.samples, len(scene.exits), scene.classes)
    trace = make_trace(
        scene.samples,
        dim=8,
        classes=scene.classes,
        exits=scene.exits,
        tiers=scene.tiers,
        seed=int(rng.integers(2**31)),
        split=split,
        probabilities=draw_probabilities(shape, scene.confidences, rng),
    )
    for name in ARRAYS:
        getattr(trace, name).setflags(write=False)
    return trace


def draw_probabilities(
    shape: tuple[int, int, int], kind: str, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """(N, X, C) of one of the kinds in ``CONFIDENCES``."""
    n, exits, classes = shape
    if kind == "random":
        p = rng.dirichlet(np.ones(classes), (n, exits))
    elif kind == "peaked":  # sure of nearly everything, as fine-tuned exits are
        p = rng.dirichlet(np.full(classes, 0.1), (n, exits))
    elif kind == "eighths":  # few values, so that rewards are often equal
        p = rng.multinomial(8, np.full(classes, 1 / classes), (n, exits)) / 8
    elif kind == "equal":
        p = np.broadcast_to(rng.dirichlet(np.ones(classes)), shape)
    elif kind == "certain":
        p = np.eye(classes)[rng.integers(0, classes, (n, exits))]
    else:
        p = np.full(shape, 1 / classes)
    return p.astype(np.float32)


SCENES = {
    "all layers": Scene(),
    "some layers": Scene(exits=(2, 3, 6)),
    "twelve layers": Scene(exits=tuple(range(1, 13)), tiers=(4, 6, 12), confidences="peaked"),
    "one exit": Scene(exits=(6,), tiers=(6, 6, 6)),
    "no edge": Scene(tiers=(2, 2, 6)),
    "edge is cloud": Scene(tiers=(2, 6, 6)),
    "mobile at the first exit": Scene(exits=(1, 4, 6), tiers=(1, 4, 6)),
    "one sample": Scene(samples=1),
    "three classes": Scene(classes=3, confidences="peaked"),
    "four classes": Scene(classes=4, exits=(2, 4, 6), tiers=(2, 4, 6)),
    "all confidences equal": Scene(confidences="equal"),
    "certain": Scene(confidences="certain"),
    "uniform": Scene(confidences="uniform", classes=3),
    "one exit, one sample, uniform": Scene(
        exits=(6,), tiers=(6, 6, 6), samples=1, confidences="uniform"
    ),
}


# Other numbers of tiers, for what holds of any; the second cost formulas are of the paper's three.
OTHER_TIERS = {
    "two tiers": Scene(tiers=(2, 6)),
    "two tiers at one exit": Scene(tiers=(6, 6), classes=3),
    "four tiers": Scene(tiers=(1, 2, 3, 6), confidences="peaked"),
    "five tiers, two of them at one exit": Scene(tiers=(1, 3, 3, 5, 6), samples=12),
}

# Tiers with a model each, which systems that cut one model refuse.
OWN_TIERS = {
    "three models": OwnScene(),
    "two models": OwnScene(models=(("phone", (0, 1, 2)), ("dc", (12,))), confidences="peaked"),
    "a shallow model behind a deep one": OwnScene(
        models=(("phone", (0, 3, 6)), ("box", (2,)), ("dc", (4,))), classes=3
    ),
    "without exit 0": OwnScene(models=(("phone", (2,)), ("dc", (2, 3))), confidences="eighths"),
}


def in_each(scenes: Mapping[str, Scene], check: Callable[[Scene], None]) -> None:
    """Check every scene; what fails says in which.

    As tests of their own they would be thousands, a millisecond each and several of pytest's.
    """
    for name, scene in scenes.items():
        try:
            check(scene)
        except BaseException as error:
            error.add_note(f"in the scene {name!r}: {scene}")
            raise


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Up to 8 layers, any exits, any tiers among them."""
    exits = tuple(sorted(draw(st.sets(st.integers(1, 8), min_size=1, max_size=8))))
    m, n = sorted(draw(st.tuples(st.sampled_from(exits), st.sampled_from(exits))))
    return Scene(
        exits=exits,
        tiers=(m, n, exits[-1]),
        classes=draw(st.integers(2, 4)),
        samples=draw(st.integers(1, 25)),
        confidences=draw(st.sampled_from(CONFIDENCES)),
        seed=draw(st.integers(0, 2**16)),
    )


@lru_cache(maxsize=4096)
def fitted(name: str, scene: Scene) -> Fitted:
    """The system, fitted to the scene's validation split; once, since a replay changes nothing."""
    return every_system()[name].fit(scene.inputs())


def taken(trace: Trace, rows: npt.NDArray[np.integer]) -> Trace:
    """The trace of these samples alone, in this order."""
    return replace(
        trace,
        **{name: getattr(trace, name)[rows] for name in ARRAYS},
        guids=tuple(trace.guids[i] for i in rows),
        extra={name: column[rows] for name, column in trace.extra.items()},
    )


def parts(outcome: Outcome) -> dict[str, npt.NDArray[np.float64]]:
    """Everything that an outcome says, by name; the first axis is that of the samples."""
    usage = {one.name: getattr(outcome.usage, one.name) for one in fields(Usage)}
    return {"answers": outcome.answers, "tiers": outcome.tiers, **usage}


def assert_same(
    one: Outcome, two: Outcome, rows: npt.NDArray[np.integer] | slice = slice(None)
) -> None:
    """Bit for bit the same; ``rows`` of the first against all of the second."""
    for name, values in parts(one).items():
        np.testing.assert_array_equal(values[rows], parts(two)[name], err_msg=name)


# Prices without a common measure, so that no two ways of summing them up agree by chance.
ODD_COSTS = (
    CostModel(
        mobile_layer=1.7, edge_layer=0.9, offload_edge=2.3, offload_cloud=3.1, cloud_charge=11.3
    ),
    CostModel(mobile_layer=2.1, edge_layer=1.3, offload_edge=0.7, offload_cloud=4.9),
)
