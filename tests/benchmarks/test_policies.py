"""The benchmark of the policies: its trace, its plain loops, and what it reports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.policies import LAYERS, TIERS, check, decide, decide_slowly, make_trace
from benchmarks.policy_loops import LOOPS

from dimec.policies import FitInputs, Policy, system, systems
from dimec.policies.step import Site
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace

ROOT = Path(__file__).resolve().parents[2]
SIZES = {"samples": 200, "fitted_on": 60, "width": 4, "repeats": 2}


@pytest.fixture(scope="module")
def trace() -> Trace:
    return make_trace(1500, 4, 3, "test")[0]


def fitted(name: str, deployment: Deployment) -> Policy:
    """Fitted to a small validation split."""
    validation, data_map = make_trace(200, 4, 3, "validation")
    return system(name).fit(FitInputs(validation, deployment, 0.01, data_map=data_map)).policy


@pytest.mark.parametrize("name", list(LOOPS))
@pytest.mark.parametrize(
    "deployment",
    [
        Deployment.paper(TIERS),
        Deployment.paper((1, 2, LAYERS), CostModel(1.7, 0.9, 2.3, 3.1, 11.3)),
    ],
    ids=["paper", "odd"],
)
def test_a_loop_decides_and_charges_as_its_policy(
    name: str, deployment: Deployment, trace: Trace
) -> None:
    check(fitted(name, deployment), trace, deployment)


def test_a_loop_that_decides_otherwise_is_noticed(trace: Trace) -> None:
    class Impatient:
        """Decides as with half the patience, and says that it has all of it."""

        name, sees_labels, learns_online, patience = "pabee", False, False, 6
        replay_only = ""

        def steps(self, site: Site) -> Any:
            return system("pabee").make(patience=3).steps(site)

        def replay(self, trace: Trace, deployment: Deployment) -> Any:
            return system("pabee").make(patience=3).replay(trace, deployment)

    with pytest.raises(AssertionError, match="pabee and its plain loop decide differently"):
        check(Impatient(), trace, Deployment.paper(TIERS))


def test_the_loops_do_something(trace: Trace) -> None:
    """Not everything leaves at one exit, so that agreeing means something."""
    deployment = Deployment.paper(TIERS)
    for name in LOOPS:
        columns, costs = decide_slowly(fitted(name, deployment), trace, deployment)
        assert len(columns) == len(costs) == len(trace)
        assert len(set(columns)) > 1, name
    outcome, cost = decide(fitted("deebert", deployment), trace, deployment)
    assert len(cost) == len(outcome.answers)


def test_exits_get_better_and_surer_with_depth(trace: Trace) -> None:
    assert trace.exits == tuple(range(1, LAYERS + 1))
    right, sure = trace.correct.mean(axis=0), trace.confidences.mean(axis=0)
    assert 0.6 < right[0] < right[5] < right[-1] < 0.95
    assert (np.diff(sure) > 0).all()


def test_the_two_splits_share_their_kind_and_not_their_samples(trace: Trace) -> None:
    validation, data_map = make_trace(1500, 4, 3, "validation")
    assert len(data_map) == len(validation)
    assert not np.array_equal(validation.labels, trace.labels)
    again, _ = make_trace(1500, 4, 3, "test")
    for name in ("embeddings", "probabilities", "labels", "lengths"):
        assert np.array_equal(getattr(again, name), getattr(trace, name))
    assert again.guids == trace.guids != validation.guids


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a small run of the benchmark stores."""
    out = tmp_path_factory.mktemp("bench") / "policies.json"
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SIZES.items()]
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), "policies", *options]
    done = subprocess.run(
        [*command, "--out", str(out)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(out.read_text("utf-8"))["benchmarks"]["policies"]
    return found


def test_every_system_has_its_figure(record: dict[str, Any]) -> None:
    assert record["sizes"] == SIZES
    names = [figure["name"] for figure in record["figures"]]
    assert names[0] == f"all {len(systems())} systems"
    for name in systems():
        assert f"{name}: replay" in names
        assert (f"{name}: plain loop / decide" in names) == (name in LOOPS)
    assert set(LOOPS) <= set(systems())


def test_the_whole_is_the_sum_of_its_parts(record: dict[str, Any]) -> None:
    runs, figures = record["runs"], {one["name"]: one for one in record["figures"]}
    totals = sorted(sum(one) for one in zip(*runs["replay"].values(), strict=True))
    whole = figures[f"all {len(systems())} systems"]
    assert whole["goal"] == 60
    assert [whole["low"], whole["high"]] == pytest.approx(totals, rel=1e-4)
    online = {name for name in systems() if name in runs["learn online"]}
    assert {"adaee", "splitee", "uee-ucb", "dimec-adaptive-paper"} <= online
    slowest = sorted(max(one) for one in zip(*(runs["replay"][n] for n in online), strict=True))
    figure = figures["slowest that learns online"]
    assert [figure["low"], figure["high"]] == pytest.approx(slowest, rel=1e-4)
    for name in LOOPS:
        pairs = zip(runs["plain loop"][name], runs["decide"][name], strict=True)
        ratios = sorted(a / b for a, b in pairs)
        figure = figures[f"{name}: plain loop / decide"]
        assert [figure["low"], figure["high"]] == pytest.approx(ratios, rel=1e-3)
