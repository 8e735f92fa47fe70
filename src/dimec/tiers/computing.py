"""Milliseconds of computing at a tier: by operations, or by the layer profile of its own model.

Where tiers share one model, layers are all that differs between policies, and they are counted by
operations (:class:`ByOperations`). Where tiers have models of their own, each has a width, a
tokenizer and so a number of tokens of its own, and the embedding layers differ too
(:class:`ByProfiles`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray
from dimec.base.errors import DataError
from dimec.tiers.latency import LayerProfile, ModelShape
from dimec.tiers.usage import Usage

Lengths = npt.NDArray[np.integer]


class Computing(Protocol):
    """How long answers compute at each tier."""

    def milliseconds(self, usage: Usage, tier: int, flops_per_second: float) -> FloatArray:
        """(N,) at one tier, on a machine of that effective rate.

        Raises:
            DataError: the usage is of other texts, or of other tiers.
        """
        ...


@dataclass(frozen=True, eq=False)
class ByOperations:
    """n layers of one model take n·F(T) / rate; embedding layer and classifiers are left out.

    That is how replays are priced. With a layer profile the first tier embeds every text besides,
    which is where policies look before any layer, and reads the classifiers of the exits that it
    passes, as in :class:`ByProfiles`: what is answered at exit 0 takes its time too. The layers
    stay counted by operations.

    Attributes:
        lengths: (N,) tokens of each text.
        shape: of a layer.
        profile: measured, whose embedding layer and classifiers are carried to the shape.
        looks: exits of the first tier for each of its layers.
    """

    lengths: Lengths
    shape: ModelShape
    profile: LayerProfile | None = None
    looks: float = 1.0

    def milliseconds(self, usage: Usage, tier: int, flops_per_second: float) -> FloatArray:
        """(N,) of the layers that ran at the tier, with a profile of all that did at the first."""
        _check_lengths(usage, np.shape(self.lengths), (len(usage),))
        work = 1e3 * self.shape.layer_flops(self.lengths)
        taken: FloatArray = usage.layers[:, tier] * work / flops_per_second
        if self.profile is None or tier:
            return taken
        embed, head = (
            self.profile.seconds(part, self.lengths, self.shape, flops_per_second)
            for part in ("embed", "head")
        )
        whole: FloatArray = taken + 1e3 * (embed + self.looks * usage.layers[:, tier] * head)
        return whole


@dataclass(frozen=True, eq=False)
class ByProfiles:
    """Each tier by the layer profile of its own model, or of one that stands in for it.

    Per answer, at tier k: visits · embedding + layers · layer + looks · classifier, each of the
    text's length in the tier's own tokens (:meth:`LayerProfile.seconds`). The first tier embeds
    every text, since that is where policies look before any layer; its layers are cut after each
    exit, and each part ends with its classifier. Any other tier embeds and classifies what it is
    sent, once.

    Attributes:
        lengths: (N, K) tokens of each text at each tier.
        shapes: K, of the tiers' layers.
        profiles: K, measured.
        looks: exits of the first tier for each of its layers, such as 1 where each has one.

    Raises:
        DataError: not as many shapes and profiles as tiers.
    """

    lengths: Lengths
    shapes: Sequence[ModelShape]
    profiles: Sequence[LayerProfile]
    looks: float = 1.0

    def __post_init__(self) -> None:
        tiers = self.lengths.shape[-1] if self.lengths.ndim == 2 else None
        if not tiers == len(self.shapes) == len(self.profiles):
            raise DataError(
                f"lengths of the shape {self.lengths.shape} need a shape and a layer profile for "
                f"each of their tiers, got {len(self.shapes)} and {len(self.profiles)}"
            )

    def milliseconds(self, usage: Usage, tier: int, flops_per_second: float) -> FloatArray:
        """(N,) of all that ran at the tier."""
        _check_lengths(usage, self.lengths.shape, usage.layers.shape)
        profile, shape, tokens = self.profiles[tier], self.shapes[tier], self.lengths[:, tier]
        layers, visits = usage.layers[:, tier], usage.sent[:, tier]
        embedded, classified = (visits, visits) if tier else (1.0, self.looks * layers)
        embed, layer, head = (
            profile.seconds(part, tokens, shape, flops_per_second)
            for part in ("embed", "layer", "head")
        )
        taken: FloatArray = 1e3 * (embedded * embed + layers * layer + classified * head)
        return taken


def _check_lengths(usage: Usage, got: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if got != expected:
        raise DataError(
            f"the usage of {len(usage)} answers needs lengths of the shape {expected}, got {got}"
        )
