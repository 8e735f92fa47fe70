"""Every system's λ, computed anew from its decisions by a formula of its own.

The formulas are those of sections IV-C and V-D of the paper and of each system's own place in
it, written down here a second time, for one sample and from what was decided about it: the layer
whose exit answered and the tier that it answered on. Nothing here comes from
:class:`dimec.tiers.usage.Usage`, with one exception: at which layer a split system cut the network
cannot be seen in where the answer came from, so there the layers run on the mobile are the only
witness, and are held to be a split that the system may make.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimec.policies import FitInputs
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace
from support.scenes import LAM, ODD_COSTS, SCENES, Scene, every_system, in_each, scenes

MOBILE, EDGE, CLOUD = 0, 1, 2
NAMES = list(every_system())


@dataclass(frozen=True)
class Sample:
    """What was decided about one sample, and at which prices.

    ``layer`` and ``tier`` are None where lots are drawn. ``split`` is how many layers the mobile
    says it ran, and ``asked`` whether the edge was sent anything.
    """

    layer: int | None
    tier: int | None
    split: float
    asked: bool
    exits: tuple[int, ...]
    m: int
    n: int
    l: int  # noqa: E741
    lambda_m: float
    lambda_e: float
    o_e: float
    o_c: float
    gamma: float

    @property
    def tier_prices(self) -> tuple[float, float, float]:
        """Equation 5: the mobile's, the edge's and the cloud's price."""
        return (
            self.lambda_m * self.m,
            self.lambda_e * self.n + self.o_e,
            self.o_c + self.gamma,
        )


def whole_model_in_the_cloud(s: Sample) -> float:
    assert (s.layer, s.tier) == (s.l, CLOUD)
    return s.o_c + s.gamma


def whole_model_on_the_mobile(s: Sample) -> float:
    assert (s.layer, s.tier) == (s.l, MOBILE)
    return s.lambda_m * s.l


def uniform_over_tiers(s: Sample) -> float:
    assert s.layer is None or s.m == s.l  # lots are drawn, but may have one answer only
    return sum(s.tier_prices) / 3


def routed(s: Sample) -> float:
    """One tier, and nothing before it."""
    assert s.tier is not None
    assert s.layer == (s.m, s.n, s.l)[s.tier]
    return s.tier_prices[s.tier]


def exit_in_the_cloud(s: Sample) -> float:
    assert s.tier == CLOUD
    assert s.layer is not None
    return s.o_c + s.gamma * s.layer / s.l


def exit_on_the_mobile(s: Sample) -> float:
    assert s.tier == MOBILE
    assert s.layer is not None
    return s.lambda_m * s.layer


def exit_from_tier_to_tier(s: Sample) -> float:
    assert s.layer is not None
    if s.tier == MOBILE:
        return s.lambda_m * s.layer
    before = s.lambda_m * s.m
    if s.tier == EDGE:
        return before + s.o_e + s.lambda_e * s.layer
    if s.m < s.n:  # the edge was asked in vain
        before += s.o_e + s.lambda_e * s.n
    return before + s.o_c + s.gamma


def any_way_on(s: Sample) -> float:
    """Cascades: some layers of the mobile, the edge or not, and the cloud or not."""
    assert s.split in (0, *(layer for layer in s.exits if layer <= s.m))
    assert s.tier != EDGE or s.asked
    edge = s.o_e + s.lambda_e * s.n if s.asked else 0.0
    return s.lambda_m * s.split + edge + (s.o_c + s.gamma if s.tier == CLOUD else 0.0)


def two_exits(s: Sample) -> float:
    """AdaEE: always to m; where offloaded, m's exit may still give the answer."""
    assert s.layer in (s.m, s.l)
    return s.lambda_m * s.m + (s.o_c + s.gamma if s.tier == CLOUD else 0.0)


def split_or_exit(s: Sample) -> float:
    """Answered at the split, or offloaded from a split above the last exit and answered there."""
    if s.tier == MOBILE:
        assert s.split == s.layer
        return s.lambda_m * s.layer
    assert (s.layer, s.tier) == (s.l, CLOUD)
    assert s.split in s.exits
    assert s.split < s.l
    return s.lambda_m * s.split + s.o_c + s.gamma


def coded_at_the_mobiles_exit(s: Sample) -> float:
    """Bottlenecks: the code leaves at m, unless the exit there is sure."""
    if s.tier == MOBILE:
        assert s.layer == s.m
        return s.lambda_m * s.m
    assert (s.layer, s.tier) == (s.l, CLOUD)
    return s.lambda_m * s.m + s.o_c + s.gamma


def charged_what_is_left(s: Sample) -> float:
    """Compressed models: here of one that was not compressed, on the mobile."""
    assert (s.layer, s.tier, s.split) == (s.l, MOBILE, s.l)
    return s.lambda_m * s.l


def split_anywhere(s: Sample) -> float:
    """Neurosurgeon: after any layer or none, and the last exit answers."""
    assert s.layer == s.l
    if s.tier == MOBILE:
        return s.lambda_m * s.l
    assert s.tier == CLOUD
    assert s.split in range(s.l)
    return s.lambda_m * s.split + s.o_c + s.gamma


FORMULAS: Mapping[str, Callable[[Sample], float]] = {
    "bert-cloud": whole_model_in_the_cloud,
    "bert-mobile": whole_model_on_the_mobile,
    "random": uniform_over_tiers,
    "dimec-fixed-paper": routed,
    "dimec-fixed-quantile": routed,
    "dimec-adaptive-paper": routed,
    "dimec-adaptive-quantile": routed,
    "dimee": routed,
    "deebert": exit_in_the_cloud,
    "pabee": exit_in_the_cloud,
    "max-softmax": exit_on_the_mobile,
    "max-softmax-tiers": exit_from_tier_to_tier,
    "uee-ucb": exit_on_the_mobile,
    "lee": exit_on_the_mobile,
    "dee": exit_on_the_mobile,
    "ceebert": exit_on_the_mobile,
    "adaee": two_exits,
    "cascade": any_way_on,
    "exit-cascade": any_way_on,
    "class-cascade": any_way_on,
    "exit0-cascade": any_way_on,
    "exit0-class-cascade": any_way_on,
    "exit0-deferral": any_way_on,
    "class-gate": any_way_on,
    "deferral": any_way_on,
    "knn": routed,
    "cats": any_way_on,
    "calm": any_way_on,
    "fast-yet-safe": any_way_on,
    "splitee": split_or_exit,
    "splitee-s": split_or_exit,
    "i-splitee": split_or_exit,
    "bottlenet++": coded_at_the_mobiles_exit,
    "bottlefit": coded_at_the_mobiles_exit,
    "cde": coded_at_the_mobiles_exit,
    "hnd": coded_at_the_mobiles_exit,
    "pruned-magnitude": charged_what_is_left,
    "pruned-heads": charged_what_is_left,
    "distilled-student": charged_what_is_left,
    "int8-mobile": charged_what_is_left,
    "neurosurgeon-latency": split_anywhere,
    "neurosurgeon-energy": split_anywhere,
}


def formula_of(name: str) -> Callable[[Sample], float]:
    """The system's formula, or a complaint that it has none."""
    assert name in FORMULAS, (
        f"{name} is registered, but {__name__} has no formula for what it costs: write one from "
        "the paper's cost structure, not from the policy's code, and add it to FORMULAS"
    )
    return FORMULAS[name]


def one(weights: list[float]) -> int | None:
    """The position of the 1; None where lots are drawn."""
    return weights.index(1.0) if 1.0 in weights else None


def costs_and_samples(
    name: str, scene: Scene, prices: CostModel
) -> tuple[list[float], list[Sample]]:
    """What the ledger charges for each test sample, and what was decided about it."""
    inputs, trace = scene.inputs(), scene.trace("test")
    deployment = Deployment.paper(scene.tiers, prices)
    fit = every_system()[name].fit(
        FitInputs(inputs.validation, deployment, LAM, data_map=inputs.data_map)
    )
    outcome = fit.policy.replay(trace, deployment)
    samples = [
        sample_of(answers, tiers, split, asked > 0, trace, scene.tiers, prices)
        for answers, tiers, split, asked in zip(
            outcome.answers.tolist(),
            outcome.tiers.tolist(),
            outcome.usage.layers[:, 0].tolist(),
            outcome.usage.sent[:, 1].tolist(),
            strict=True,
        )
    ]
    return deployment.price(outcome.usage).tolist(), samples


def sample_of(
    answers: list[float],
    tiers: list[float],
    split: float,
    asked: bool,
    trace: Trace,
    exits: tuple[int, ...],
    prices: CostModel,
) -> Sample:
    column, (m, n, l) = one(answers), exits  # noqa: E741
    gamma = prices.cloud_charge
    if gamma is None:
        gamma = max(0.0, prices.mobile_layer * l - prices.offload_cloud)
    return Sample(
        layer=None if column is None else trace.exits[column],
        tier=one(tiers),
        split=split,
        asked=asked,
        exits=trace.exits,
        m=m,
        n=n,
        l=l,
        lambda_m=prices.mobile_layer,
        lambda_e=prices.edge_layer,
        o_e=prices.offload_edge,
        o_c=prices.offload_cloud,
        gamma=gamma,
    )


def check(name: str, scene: Scene, prices: CostModel) -> None:
    """The ledger's λ and the formula's, sample by sample."""
    formula = formula_of(name)
    charged, samples = costs_and_samples(name, scene, prices)
    expected = [formula(sample) for sample in samples]
    np.testing.assert_allclose(charged, expected, rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("prices", ODD_COSTS, ids=["γ given", "γ open"])
def test_it_costs_what_the_formula_says(name: str, prices: CostModel) -> None:
    in_each(SCENES, lambda scene: check(name, scene, prices))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10)
@given(scene=scenes(), prices=st.sampled_from(ODD_COSTS))
def test_it_costs_what_the_formula_says_in_any_scene(
    name: str, scene: Scene, prices: CostModel
) -> None:
    check(name, scene, prices)


def test_a_system_without_a_formula_is_complained_about() -> None:
    with pytest.raises(AssertionError, match=r"brand-new is registered, but .* no formula"):
        formula_of("brand-new")


def test_a_cost_that_leaves_something_out_is_found() -> None:
    """The comparison can fail: without γ, or without the split's layers, formulas disagree."""
    scene, prices = SCENES["all layers"], ODD_COSTS[0]
    forgetful: dict[str, Callable[[Sample], float]] = {
        "deebert": lambda s: s.o_c,
        "splitee": lambda s: s.lambda_m * s.split if s.tier == MOBILE else s.o_c + s.gamma,
        "max-softmax-tiers": lambda s: s.tier_prices[s.tier or 0],
    }
    for name, formula in forgetful.items():
        charged, samples = costs_and_samples(name, scene, prices)
        with pytest.raises(AssertionError):
            np.testing.assert_allclose(charged, [formula(s) for s in samples], rtol=1e-3)
