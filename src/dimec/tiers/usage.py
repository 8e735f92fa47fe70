"""What answers take: layers run, inputs sent, bytes moved; and their price in units of λ.

A policy says what it *ran* (:class:`Usage`); where the layers stand and what they cost is the
:class:`Deployment`'s. So every system is charged by the same few lines, whatever it decides by.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Self

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray
from dimec.base.errors import ConfigError, DataError
from dimec.tiers.costs import CLOUD, CostModel, Tier, check_tiers

TOKEN_BYTES = 4  # of a text on the wire, a token: an int32 id, or the word itself, about as long
FLOAT_BYTES = 4  # of one number of a hidden state


@dataclass(frozen=True)
class Deployment:
    """Where the layers stand and what they cost.

    Attributes:
        exits: (m, n, l), the exits of mobile, edge and cloud.
        costs: the cost structure; the paper's by default.

    Raises:
        ConfigError: exits out of order.
    """

    exits: tuple[int, int, int]
    costs: CostModel = field(default_factory=CostModel)

    def __post_init__(self) -> None:
        object.__setattr__(self, "exits", check_tiers(self.exits))

    @property
    def layers(self) -> int:
        """l, the layers of the whole model."""
        return self.exits[CLOUD]

    @property
    def charge(self) -> float:
        """γ, what the cloud charges for an answer of the whole model."""
        return self.costs.charge(self.layers)

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """Mobile, edge and cloud with their exits and prices."""
        return self.costs.tiers(self.exits)

    def price(self, usage: Usage) -> FloatArray:
        """(N,) cost in units of λ of what each answer took.

        λ_m·(layers on the mobile) + λ_e·(layers at the edge) + o_e·(sent to the edge)
        + o_c·(sent to the cloud) + γ·(charges of the cloud): sections IV-C and V-D of the paper.
        """
        costs = self.costs
        return (
            costs.mobile_layer * usage.mobile_layers
            + costs.edge_layer * usage.edge_layers
            + costs.offload_edge * usage.edge_offloads
            + costs.offload_cloud * usage.cloud_offloads
            + self.charge * usage.cloud_charges
        )


@dataclass(frozen=True, eq=False)
class Usage:
    """What answering N samples takes. Each is (N,) float64, an expected value where lots are drawn.

    Attributes:
        mobile_layers, edge_layers, cloud_layers: layers run there.
        edge_offloads, cloud_offloads: how often the mobile sent something to the edge, the cloud.
        cloud_charges: how many times γ is due; a share where the cloud runs a part of the model
            by design (DeeBERT), for then, as the paper says, only part of the resource is used.
        edge_bytes, cloud_bytes: payload sent up to the edge, the cloud: the text, or the hidden
            states or codes that stand in its place.
    """

    mobile_layers: FloatArray
    edge_layers: FloatArray
    cloud_layers: FloatArray
    edge_offloads: FloatArray
    cloud_offloads: FloatArray
    cloud_charges: FloatArray
    edge_bytes: FloatArray
    cloud_bytes: FloatArray

    def __post_init__(self) -> None:
        shapes = {getattr(self, one.name).shape for one in fields(self)}
        if len(shapes) != 1 or len(next(iter(shapes))) != 1:
            raise DataError(f"the parts of a usage must all have one shape (N,), got {shapes}")

    def __len__(self) -> int:
        return len(self.mobile_layers)

    @classmethod
    def of(cls, size: int, **parts: npt.ArrayLike) -> Self:
        """A usage of ``size`` samples from the parts that are not 0; numbers hold for all.

        Example:
            >>> Usage.of(2, mobile_layers=[2, 4]).mobile_layers
            array([2., 4.])

        Raises:
            ConfigError: no part of that name.
        """
        names = [one.name for one in fields(cls)]
        if unknown := set(parts) - set(names):
            raise ConfigError(f"a usage has no part {sorted(unknown)[0]!r}; it has {names}")
        zeros = np.zeros(size)
        return cls(**{name: zeros + np.asarray(parts.get(name, 0.0), float) for name in names})


def text_bytes(lengths: npt.NDArray[np.integer]) -> FloatArray:
    """(N,) payload of sending each text itself, from its number of tokens."""
    return TOKEN_BYTES * lengths.astype(np.float64)


def hidden_bytes(lengths: npt.NDArray[np.integer], width: int) -> FloatArray:
    """(N,) payload of sending each text's hidden states: tokens x width numbers of fp32."""
    return FLOAT_BYTES * width * lengths.astype(np.float64)


def tier_usage(
    deployment: Deployment, lengths: npt.NDArray[np.integer], weights: npt.NDArray[np.floating]
) -> Usage:
    """What it takes to send sample i to tier k with probability ``weights[i, k]``.

    Nothing runs before the tier is chosen (equation 5): λ_m·m, λ_e·n + o_e, or o_c + γ.

    Args:
        deployment: whose three tiers are chosen among.
        lengths: (N,) tokens of each sample.
        weights: (N, 3).
    """
    mobile, edge, cloud = np.asarray(weights, np.float64).T
    m, n, l = deployment.exits  # noqa: E741
    payload = text_bytes(lengths)
    return Usage.of(
        len(lengths),
        mobile_layers=m * mobile,
        edge_layers=n * edge,
        cloud_layers=l * cloud,
        edge_offloads=edge,
        cloud_offloads=cloud,
        cloud_charges=cloud,
        edge_bytes=payload * edge,
        cloud_bytes=payload * cloud,
    )
