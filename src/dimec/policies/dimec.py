"""DIMEC itself, Ours-F and Ours-D: the nearest pool centre of the input's embedding.

Source: the paper, section IV: thresholds α, β by equation 5 on the validation split, pools by the
text and equation 5 (Algorithm 1 differs on the medium pool), Algorithm 2 at inference. ``-paper``
searches the paper's grid of thresholds, ``-quantile`` takes β from the data's own variances.

The reward of equation 5 is a confidence less λ times a cost, and the paper leaves λ open. As for
the other systems whose reward is made so, λ is the ledger's times a weight that is chosen on the
validation split by the rule that holds for all; α and β follow by equation 5.

Cost of a sample: mobile λ_m·m, edge λ_e·n + o_e, cloud o_c + γ; nothing runs before the decision.

With K tiers there are K pools (:func:`dimec.cartography.build_pools`): dimec's extension.
"""

from __future__ import annotations

from collections.abc import Sequence

from dimec.base.errors import ConfigError
from dimec.cartography import DataMap, build_pools
from dimec.cartography.thresholds import Grid, ThresholdSearch, search_thresholds
from dimec.policies.registry import (
    WEIGHTS,
    FitInputs,
    Fitted,
    System,
    register,
    validation_reward,
)
from dimec.policies.routed import RouterPolicy
from dimec.routing import CentroidRouter
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace


def fit_router(
    trace: Trace,
    data_map: DataMap,
    deployment: Deployment,
    lam: float,
    grid: Grid,
    alphas: Sequence[float] | None = None,
    betas: Sequence[float] | None = None,
) -> tuple[CentroidRouter, ThresholdSearch]:
    """Search α and β on the validation split, build the pools, and take their centres.

    Args:
        trace: of the N validation samples.
        data_map: of the same samples, at the first tier's exit.
        deployment: the K tiers and their prices.
        lam: λ of the reward.
        grid: which thresholds are tried.
        alphas, betas: values of their own in place of the grid's.

    Raises:
        ConfigError: a negative λ, a grid without values, exits that the trace does not have.
    """
    confidences = trace.confidences[:, trace.columns(deployment.exits, deployment.sources)]
    search = search_thresholds(
        data_map, confidences, deployment.prices, lam, alphas, betas, grid=grid
    )
    pools = build_pools(data_map, search.alpha, search.beta)
    return CentroidRouter().fit(trace.embeddings, pools, len(deployment)), search


def _fitter(name: str, grid: Grid, adaptive: bool) -> System:
    def fit(inputs: FitInputs) -> Fitted:
        if inputs.data_map is None:
            raise ConfigError(f"{name} needs the data map of the validation split")
        best: Fitted | None = None
        for weight in inputs.tried("weight", WEIGHTS):
            router, search = fit_router(
                inputs.validation, inputs.data_map, inputs.deployment, weight * inputs.lam, grid
            )
            policy = RouterPolicy(name, router.copy(adaptive=adaptive))
            reward = validation_reward(policy, inputs)
            if best is None or reward > best.reward:
                chosen = {"alpha": search.alpha, "beta": search.beta}
                best = Fitted(policy, {**chosen, "grid": grid, "weight": weight}, reward)
        assert best is not None  # there is at least one weight
        return best

    def make(router: CentroidRouter) -> RouterPolicy:
        return RouterPolicy(name, router.copy(adaptive=adaptive))

    reads = frozenset({"confidences", "embeddings"})
    return System(name, "the paper, section IV", make, {"weight": WEIGHTS}, fit, reads=reads)


_GRIDS: dict[Grid, str] = {"paper": "paper's grid", "quantile": "quantile grid"}
for _grid, _told in _GRIDS.items():
    for _kind, _adaptive, _title in (("fixed", False, "Ours-F"), ("adaptive", True, "Ours-D")):
        register(
            _fitter(f"dimec-{_kind}-{_grid}", _grid, _adaptive),
            title=f"{_title}, {_told}",
            tags={"ours", _kind, f"{_grid} grid"},
        )
