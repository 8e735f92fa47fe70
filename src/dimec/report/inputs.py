"""What a report is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dimec.base.errors import MismatchError
from dimec.tiers.names import TIER_NAMES

if TYPE_CHECKING:
    from dimec.cartography import DataMap
    from dimec.evaluation.curves import Curves
    from dimec.evaluation.ledger import Ledger


@dataclass(frozen=True, eq=False, kw_only=True)
class ReportInputs:
    """The stored results of one run, as the report reads them.

    Attributes:
        ledger: one row a policy, replayed on the test split.
        exit_accuracy: source → exit layer → accuracy (a fraction) on the test split. The one model
            that most runs have is the source ``""``.
        tiers: the exits of the K tiers: m, n, l of mobile, edge and cloud.
        seed: seeds the sampling and the start of the t-SNE figure.
        names: of the K tiers.
        curves: of the policies with a knob; None where they were not drawn up.
        sources: of the K tiers; all one model by default.
    """

    ledger: Ledger
    exit_accuracy: Mapping[str, Mapping[int, float]]
    tiers: tuple[int, ...]
    seed: int
    names: tuple[str, ...] = TIER_NAMES
    curves: Curves | None = None
    sources: tuple[str, ...] = ()

    @property
    def own_models(self) -> bool:
        """Whether tiers have models of their own."""
        return len(set(self.sources)) > 1


@dataclass(frozen=True, eq=False, kw_only=True)
class PooledInputs(ReportInputs):
    """Those of a run whose router goes by pools of the validation samples.

    Attributes:
        data_map: confidence and variability of the N validation samples at the first tier's exit.
        pools: (N,) codes of the same samples from 0, by tier: 0 easy, 1 medium, 2 hard.
        alpha: confidence threshold of the pools; None where there is one tier.
        beta: variance threshold of the pools, or all of them; None for none.
        embeddings: (N, D) pooled embeddings of the same samples.
    """

    data_map: DataMap
    pools: NDArray[np.int64]
    alpha: float | None
    beta: float | Sequence[float] | None
    embeddings: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check that the arrays describe the same samples.

        Raises:
            MismatchError: the numbers of rows differ, or a pool code is no tier's.
        """
        rows = len(self.pools)
        for name, got in (
            ("data map", len(self.data_map.confidence)),
            ("embeddings", len(self.embeddings)),
        ):
            if got != rows:
                raise MismatchError(
                    f"report: expected the {name} of {rows} validation samples, as many as the "
                    f"pools have, got {got}; fit the router again on this run's validation trace"
                )
        codes = range(len(self.tiers))
        if rows and not np.isin(self.pools, codes).all():
            raise MismatchError(
                f"report: expected pool codes of 0 to {codes[-1]}, got "
                f"{sorted(set(self.pools.tolist()))}; fit the router again"
            )
