"""Means over seeds and their intervals, against plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import matthews_corrcoef

from dimec.base.errors import MismatchError
from dimec.evaluation.evaluate import evaluate
from dimec.evaluation.replay import Replay, replay
from dimec.policies import OraclePolicy, Policy, RandomPolicy, RouterPolicy
from dimec.routing import SingleTierRouter
from dimec.traces.trace import Trace
from dimec_studies.summary import SeedReplays, summarise
from support.builders import deployment_of, make_trace


def replays_of(trace: Trace) -> list[Replay]:
    """One tier for all, chance with a name that makes it the twin of all-edge, and the oracle."""
    policies: list[Policy] = [
        RouterPolicy(name, SingleTierRouter(k)) for k, name in enumerate(("m", "e", "c"))
    ]
    policies += [RandomPolicy("random@e"), OraclePolicy()]
    return [replay(policy, trace, deployment_of(trace)) for policy in policies]


def seed_of(seed: int, n: int = 60, **fields: Any) -> SeedReplays:
    replays = replays_of(make_trace(n, seed=seed, **fields))
    return SeedReplays(seed, replays[2], replays)


def test_means_are_those_of_the_ledgers() -> None:
    seeds = [seed_of(seed, 40 + 10 * seed, classes=3) for seed in range(3)]
    rows = {row["policy"]: row for row in summarise(seeds, "accuracy", 20)}
    ledgers = []
    for seed in range(3):
        trace = make_trace(40 + 10 * seed, seed=seed, classes=3)
        policies: list[Policy] = [RouterPolicy("m", SingleTierRouter(0)), OraclePolicy()]
        ledgers.append(evaluate(trace, policies, deployment_of(trace), draws=1, matched=[]))
    for name in ("m", "oracle"):
        for figure in ("accuracy", "drop", "reduction", "cost"):
            values = [getattr(ledger.row(name), figure) for ledger in ledgers]
            assert rows[name][figure]["mean"] == pytest.approx(np.mean(values), abs=1e-12)
            assert rows[name][figure]["sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-12)
        shares = np.mean([ledger.row(name).share_mobile for ledger in ledgers])
        assert rows[name]["shares"][0] == pytest.approx(shares, abs=1e-12)


def test_the_score_is_the_tasks_own() -> None:
    trace = make_trace(80, seed=5)
    (row,) = summarise([SeedReplays(0, replays_of(trace)[0], replays_of(trace)[:1])], "matthews", 5)
    expected = matthews_corrcoef(trace.labels, trace.predictions[:, 0])
    assert row["metric"]["mean"] == pytest.approx(expected, abs=1e-12)
    assert row["metric"]["sd"] is None


def test_intervals_are_those_of_resampling_row_by_row() -> None:
    """Of the mean over two seeds; the two ways draw differently, so they agree roughly."""
    seeds = [seed_of(seed, 200) for seed in range(2)]
    row = summarise(seeds, "accuracy", 4000)[0]
    rng = np.random.default_rng(9)
    drawn = []
    for _ in range(4000):
        drops = []
        for seed in seeds:
            rows = rng.integers(0, 200, 200)
            right = seed.replays[0].right[rows].mean()
            drops.append(seed.reference.right[rows].mean() - right)
        drawn.append(np.mean(drops))
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert row["drop"]["low"] == pytest.approx(low, abs=0.01)
    assert row["drop"]["high"] == pytest.approx(high, abs=0.01)
    assert row["drop"]["low"] < row["drop"]["mean"] < row["drop"]["high"]


def test_a_policy_gains_over_chance_with_its_shares() -> None:
    seeds = [seed_of(seed) for seed in range(2)]
    rows = {row["policy"]: row for row in summarise(seeds, "accuracy", 50)}
    expected = rows["e"]["accuracy"]["mean"] - rows["random@e"]["accuracy"]["mean"]
    assert rows["e"]["gain"]["mean"] == pytest.approx(expected, abs=1e-12)
    assert rows["m"]["gain"] is None


def test_the_reference_neither_drops_nor_saves() -> None:
    row = summarise([seed_of(0)], "accuracy", 50)[2]
    for figure in ("drop", "reduction"):
        assert (row[figure]["low"], row[figure]["mean"], row[figure]["high"]) == (0, 0, 0)


def test_seeds_with_other_policies_are_refused() -> None:
    one, two = seed_of(0), seed_of(1)
    other = SeedReplays(1, two.reference, two.replays[::-1])
    with pytest.raises(MismatchError, match="same policies in the same order"):
        summarise([one, other], "accuracy", 5)
