"""Resplits of real traces under the contract: against slow truths, and what the tables say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dimec.base.progress import NoProgress
from dimec.contract import clopper_pearson
from dimec.contract.losses import Losses, Terms
from dimec.contract.monitor import Monitor
from dimec.contract.sequence import fixed_sequence
from dimec_studies.calibrations import Decisions, Draws, accepted, passes
from dimec_studies.contracts import COUNTED
from dimec_studies.drifts import Audits, Money, mix_of
from dimec_studies.nested import nested, shares
from dimec_studies.plan import Plan
from dimec_studies.populations import Population, population
from dimec_studies.resplits import ResplitPlan, compute, tables
from dimec_studies.stored import TRACES, Stored, load_stored
from support import slow_contract as slow

SYSTEMS = ("max-softmax-tiers", "exit-cascade")
HOW = ResplitPlan(
    fits=2,
    resplits=25,
    max_drops=(0.01, 0.03),
    rows=(250, 600),
    boundary=0.02,
    simulated=200,
    sizes=(600,),
    systems=SYSTEMS,
    audits=Audits(
        fits=1,
        streams=20,
        rows=600,
        peace=50,
        audited=1_500,
        reweighted=(8.0,),
        flipped=(0.5,),
    ),
)


@pytest.fixture(scope="module")
def stored() -> Stored:
    return load_stored(TRACES / "movies" / "minilm-joint" / "0")


@pytest.fixture(scope="module")
def drawn(stored: Stored) -> Population:
    return population(stored, 3, 400, SYSTEMS)


@pytest.fixture(scope="module")
def draws(drawn: Population) -> Draws:
    return Draws.of(drawn, 12, 700, (5,))


def test_the_population_is_every_row_that_fitted_nothing(stored: Stored, drawn: Population) -> None:
    fitted = set(drawn.inputs.validation.guids)
    assert len(fitted) == 400
    rest = [row for row, guid in enumerate(stored.validation.guids) if guid not in fitted]
    assert len(drawn) == len(rest) + len(stored.test)

    tiers = stored.deployment.tiers
    columns = [stored.test.column(tier.layer) for tier in tiers]
    parts = (stored.validation.take(np.array(rest)), stored.test)
    said = np.concatenate([part.predictions[:, columns] for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    right = (said == labels[:, None]).astype(int)
    np.testing.assert_array_equal(drawn.parted, said.min(axis=1) != said.max(axis=1))
    for k in range(len(tiers)):  # every tier alone comes first
        np.testing.assert_array_equal(drawn.drop[k], right[:, -1] - right[:, k])
        np.testing.assert_array_equal(drawn.different[k], said[:, -1] != said[:, k])
        price = stored.deployment.prices
        np.testing.assert_allclose(drawn.saved[k], 1 - price[k] / price[-1])
    turned = 1 - said[:, 0]
    np.testing.assert_array_equal(drawn.flipped[0], right[:, -1] - (turned == labels))
    np.testing.assert_array_equal(drawn.astray[0], said[:, -1] != turned)
    np.testing.assert_array_equal(drawn.flipped[-1 + len(tiers)], 0)


def test_counts_are_those_of_the_rows_drawn(draws: Draws) -> None:
    places = [0, 4, 7]
    for n in (300, 700):
        counts = draws.counts(draws.times(n), places)
        for r in range(12):
            for k, place in enumerate(places):
                there = _losses(draws, place, r, n)
                assert counts.plus[r, k] == there.plus
                assert counts.minus[r, k] == there.minus
                assert counts.different[r, k] == there.differing


@pytest.mark.parametrize("test", COUNTED)
def test_a_decision_is_the_same_however_it_was_come_by(test: str) -> None:
    decide = Decisions(test, 40, 0.12, 0.05)
    outcomes = [pair for pair in slow.outcomes(40) if sum(pair) <= 15]
    for seed in (0, 1):
        for at in np.random.default_rng(seed).permutation(len(outcomes)):
            plus, minus = outcomes[at]
            assert decide(plus, minus) == COUNTED[test](40, plus, minus, 0.12, 0.05)


def test_a_pair_of_bounds_decides_as_its_p_value_does() -> None:
    for plus, minus in slow.outcomes(40):
        p = clopper_pearson.p_of_counts(40, plus, minus, 0.12)
        assert COUNTED["clopper-pearson"](40, plus, minus, 0.12, 0.05) == (p <= 0.05)


@pytest.mark.parametrize("test", ["exact", "clopper-pearson", "hoeffding-bentkus", "disagreement"])
def test_a_path_is_accepted_as_far_as_the_contract_itself_would(draws: Draws, test: str) -> None:
    drops = draws.population.true_drop
    order = sorted(range(len(drops)), key=lambda place: drops[place])[::3]
    terms = Terms(0.06, 0.05)
    counts = draws.counts(draws.times(700), order)
    passed = passes(test, draws, order, counts, 700, (terms.delta, terms.alpha))
    number = accepted(passed, 12, len(order))
    for r in range(12):
        path = [_losses(draws, place, r, 700) for place in order]
        assert number[r] == fixed_sequence(path, terms, test).accepted
    if test == "exact":
        assert 0 < number.min() < len(order)


def test_betting_bets_on_the_rows_as_they_were_drawn(draws: Draws) -> None:
    places = [len(draws.population.candidates) - 1, 2]  # the second is the last tier alone
    counts = draws.counts(draws.times(700), places)
    passed = passes("betting", draws, places, counts, 700, (0.02, 0.05))
    assert passed(0, 1)
    worse = replace(draws.population, drop=np.ones_like(draws.population.drop))
    lost = Draws(worse, draws.rows)
    assert not passes("betting", lost, places, counts, 700, (0.02, 0.05))(0, 1)


def _losses(draws: Draws, place: int, r: int, n: int) -> Losses:
    rows = draws.rows[r, :n]
    return Losses(draws.population.drop[place][rows], draws.population.different[place][rows])


def test_nested_policies_lose_what_those_before_them_lose() -> None:
    lost, won = shares(0.01, 0.04)
    assert (np.diff(lost) > 0).all()
    assert (np.diff(won) > 0).all()
    np.testing.assert_allclose((lost - won)[:3], [0.0025, 0.005, 0.0075])
    np.testing.assert_allclose((lost - won)[3:], 0.01)
    assert (lost + won)[3] == pytest.approx(0.04)
    for one in nested(300, 0.05, 1, (1_000,)):
        assert one["along"] <= one["alone"] <= one["any"]
        if one["test"] != "normal":
            assert one["alone"] / 300 < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 300)


def test_a_drift_moves_the_shares_that_it_says(drawn: Population) -> None:
    place = 0  # the first tier alone
    calm = mix_of(drawn, place)
    assert calm.drop == pytest.approx(drawn.true_drop[place])
    assert calm.different == pytest.approx(drawn.true_different[place])
    assert mix_of(drawn, place, "harder texts", 1.0) == pytest.approx(calm)
    rows = np.repeat(np.arange(len(drawn)), np.where(drawn.parted, 3, 1))
    harder = mix_of(drawn, place, "harder texts", 3.0)
    assert harder.drop == pytest.approx(drawn.drop[place][rows].mean())
    assert harder.different == pytest.approx(drawn.different[place][rows].mean())
    worse = mix_of(drawn, place, "worse device", 0.25)
    assert worse.drop == pytest.approx(
        0.75 * drawn.drop[place].mean() + 0.25 * drawn.flipped[place].mean()
    )
    last = len(drawn.inputs.deployment.tiers) - 1
    assert mix_of(drawn, last, "worse device", 0.25).different == 0


def test_many_audits_at_once_are_as_many_monitors(drawn: Population) -> None:
    mix = mix_of(drawn, 0)
    bounds, streams, rows = (mix.different * 0.8, mix.drop * 0.6), 8, 1_200
    begun = Money.begun(streams, bounds, 0.05)
    made = begun.after(mix, 200, np.random.default_rng(1)).after(
        mix, rows - 200, np.random.default_rng(2)
    )
    parts = [
        np.random.default_rng(seed).random((some, streams))
        for seed, some in ((1, 200), (2, rows - 200))
    ]
    u = np.concatenate(parts)
    drop = (u < mix.lost).astype(int) - ((u >= mix.lost) & (u < mix.lost + mix.won))
    for stream in range(streams):
        both = Monitor.of_differences(bounds[0], 0.05), Monitor.of_drops(bounds[1], 0.05)
        both[0].extend((u[:, stream] < mix.different).astype(int))
        both[1].extend(drop[:, stream])
        np.testing.assert_array_equal(made.alarms[:, stream], [one.alarm or np.inf for one in both])
    assert np.isfinite(made.alarms).any()


def test_the_whole_study_keeps_its_promise_and_has_a_line_for_everything(stored: Stored) -> None:
    result = compute([stored], Plan.load("movies"), NoProgress(), HOW)
    by = {(one["max_drop"], one["rows"], one["test"]): one for one in result["resplits"]}
    assert {key[:2] for key in by} == {(0.01, 600), (0.03, 250), (0.03, 600)}  # 250 are too few
    for (delta, n, test), one in by.items():
        assert one["resplits"] == 50
        assert one["low"] <= one["broken"] / 50 <= one["high"]
        if test not in ("nothing", "known"):
            assert one["low"] <= HOW.alpha
            assert one["accepted"] <= 1
            assert one["saved"] <= one["accepted"]
            if not one["broken"]:
                assert one["saved"] <= by[delta, n, "known"]["saved"] + 1e-12
    assert any(one["accepted"] for (_, _, test), one in by.items() if test == "exact")
    assert all(one["alone"]["low"] <= HOW.alpha for one in result["boundary"])
    assert all(one["along"]["broken"] <= one["alone"]["broken"] for one in result["boundary"])
    assert [one["kind"] for one in result["drift"]] == ["none", "harder texts", "worse device"]
    turned = result["drift"][-1]
    assert turned["drop_after"] > turned["drop_before"]
    assert turned["monitors"]["either"]["spoken"] > 0.9

    made = tables(result)
    assert {"contract-resplits", "contract-bounds", "contract-drift"} <= set(made)
    lines = {name: len(text) - 2 for name, text in made.items()}
    assert lines["contract-resplits"] == 3
    assert lines["contract-bounds"] == 3 + 1
    assert lines["contract-drift"] == 3
    assert made["contract-drift"][-1].startswith("| movies | worse device, 50 % |")
