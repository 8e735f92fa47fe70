"""The ledger against the reference: accounts, expectations, intervals, and its files."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError, CorruptArtefactError, DataError, MissingArtefactError
from dimec.evaluation.bootstrap import column_means
from dimec.evaluation.evaluate import evaluate
from dimec.evaluation.ledger import Ledger, LedgerRow
from dimec.evaluation.replay import standard_policies
from dimec.policies import OraclePolicy, RandomPolicy, RouterPolicy
from dimec.routing import RandomRouter, SingleTierRouter
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace
from support import reference
from support.builders import (
    Floats,
    TraceFactory,
    deployment_of,
    ledger_of,
    make_trace,
    matrices,
    prices_of,
    right_of,
    routers_of,
    trace_of_answers,
    traces,
)


def assert_account(row: LedgerRow, expected: reference.Account) -> None:
    """The row's figures are the reference's."""
    assert row.accuracy == pytest.approx(expected.accuracy, rel=0, abs=1e-12)
    assert row.cost == pytest.approx(expected.cost, rel=0, abs=1e-12)
    assert row.drop == pytest.approx(expected.drop, rel=0, abs=1e-12)
    assert row.reduction == pytest.approx(expected.reduction, rel=0, abs=1e-12)
    shares = (row.share_mobile, row.share_edge, row.share_cloud)
    assert shares == pytest.approx(expected.shares, rel=0, abs=1e-12)


# --- Accounts ------------------------------------------------------------------------------------


@given(traces())
def test_every_row_is_that_of_the_reference(trace: Trace) -> None:
    ledger, right, prices = ledger_of(trace), right_of(trace), prices_of(trace)
    chosen = {f"all-{name}": [k] * len(trace) for k, name in enumerate(("mobile", "edge", "cloud"))}
    for name, router in routers_of(trace).items():
        chosen[name] = router.route(trace.embeddings).tolist()
    chosen["oracle"] = reference.oracle(right, prices)
    for name, tiers in chosen.items():
        assert_account(ledger.row(name), reference.account(right, prices, tiers))
    third = [1 / 3] * 3
    assert_account(ledger.row("random"), reference.expected_account(right, prices, third))
    for name in routers_of(trace):
        shares = reference.account(right, prices, chosen[name]).shares
        expected = reference.expected_account(right, prices, shares)
        assert_account(ledger.row(f"random@{name}"), expected)


@given(traces())
def test_the_tasks_score_is_that_of_the_answers_given(trace: Trace) -> None:
    ledger = ledger_of(trace)
    score = {"matthews": reference.matthews, "f1": reference.f1}.get(trace.metric)
    classes = len(trace.label_names)
    labels, predictions = trace.labels.tolist(), trace.predictions.tolist()
    at = [trace.exits.index(layer) for layer in trace.tiers]
    weights = {"all-edge": [0.0, 1.0, 0.0], "random": [1 / 3] * 3}
    for name, shares in weights.items():
        counts = [[0.0] * classes for _ in range(classes)]
        for k, share in enumerate(shares):
            answers = [row[at[k]] for row in predictions]
            part = reference.confusion(labels, answers, classes, [share] * len(labels))
            counts = [
                [a + b for a, b in zip(x, y, strict=True)]
                for x, y in zip(counts, part, strict=True)
            ]
        row = ledger.row(name)
        expected = row.accuracy if score is None else score(counts)
        assert row.metric == pytest.approx(expected, rel=0, abs=1e-9)
    assert ledger.metric_name == trace.metric


def test_a_ledger_by_hand() -> None:
    """Four samples, exits 4, 6 and 12, prices 6, 8.5 and 18."""
    trace = trace_of_answers(
        [
            [True, True, True],
            [False, True, True],
            [False, False, True],
            [True, False, False],
        ],
        (4, 6, 12),
    )
    ledger = evaluate(trace, standard_policies({}), deployment_of(trace), draws=50)
    assert [row.policy for row in ledger.rows] == [
        "all-mobile",
        "all-edge",
        "all-cloud",
        "random",
        "oracle",
    ]
    mobile, cloud = ledger.row("all-mobile"), ledger.row("all-cloud")
    # The mobile has 2 of 4 right, the cloud 3 of 4; it saves 1 - 6/18 = 66.7 %.
    assert (mobile.accuracy, mobile.drop, mobile.cost) == (0.5, 0.25, 6.0)
    assert mobile.reduction == pytest.approx(2 / 3, rel=0, abs=1e-12)
    assert (cloud.accuracy, cloud.drop, cloud.cost, cloud.reduction) == (0.75, 0.0, 18.0, 0.0)
    edge = ledger.row("all-edge")
    assert edge.reduction == pytest.approx(1 - 8.5 / 18, rel=0, abs=1e-12)
    # Random: (2 + 2 + 3) / 12 right, (6 + 8.5 + 18) / 3.
    assert ledger.row("random").accuracy == pytest.approx(7 / 12, rel=0, abs=1e-12)
    assert ledger.row("random").cost == pytest.approx(32.5 / 3, rel=0, abs=1e-12)
    # Oracle: mobile, edge, cloud, mobile: all right, better than the cloud alone.
    oracle = ledger.row("oracle")
    assert (oracle.accuracy, oracle.drop) == (1.0, -0.25)
    assert oracle.cost == pytest.approx((6 + 8.5 + 18 + 6) / 4, rel=0, abs=1e-12)
    assert (oracle.share_mobile, oracle.share_edge, oracle.share_cloud) == (0.5, 0.25, 0.25)


def test_24_layers_save_as_much_as_their_prices_say() -> None:
    """Exits 6, 12, 24 at 9, 14.5 and 36: 75 % and 59.7 %."""
    trace = trace_of_answers([[True, True, True]], (6, 12, 24))
    ledger = evaluate(trace, standard_policies({}), deployment_of(trace), draws=5)
    assert ledger.row("all-mobile").reduction == pytest.approx(0.75, rel=0, abs=1e-12)
    assert ledger.row("all-edge").reduction == pytest.approx(1 - 14.5 / 36, rel=0, abs=1e-12)


@given(traces())
def test_nothing_is_more_accurate_than_the_oracle(trace: Trace) -> None:
    ledger, right = ledger_of(trace), right_of(trace)
    oracle = ledger.row("oracle")
    assert oracle.accuracy == pytest.approx(sum(map(any, right)) / len(right), rel=0, abs=1e-12)
    for row in ledger.rows:
        assert row.accuracy <= oracle.accuracy + 1e-12
        # As accurate as the oracle, hence no cheaper.
        if row.accuracy >= oracle.accuracy - 1e-12:
            assert row.cost >= oracle.cost - 1e-12
    assert oracle.cost <= max(prices_of(trace)) + 1e-12


def test_rows_come_in_the_order_of_every_report(small_trace: TraceFactory) -> None:
    assert [row.policy for row in ledger_of(small_trace()).rows] == [
        "all-mobile",
        "all-edge",
        "all-cloud",
        "random",
        "dimec-fixed",
        "random@dimec-fixed",
        "dimec-adaptive",
        "random@dimec-adaptive",
        "oracle",
    ]


def test_which_rows_are_matched_can_be_chosen(small_trace: TraceFactory) -> None:
    trace = small_trace()
    policies = standard_policies(routers_of(trace))
    ledger = evaluate(
        trace, policies, deployment_of(trace), draws=5, matched=["oracle", "all-edge"]
    )
    names = [row.policy for row in ledger.rows]
    assert [name for name in names if "@" in name] == ["random@all-edge", "random@oracle"]
    assert names.index("random@oracle") == names.index("oracle") + 1
    none = evaluate(trace, policies, deployment_of(trace), draws=5, matched=[])
    assert not any("@" in row.policy for row in none.rows)


def test_two_policies_of_one_name_are_refused(small_trace: TraceFactory) -> None:
    """One of the two rows would be lost."""
    trace = small_trace()
    policies = [RouterPolicy("dimec", SingleTierRouter(k)) for k in (0, 1)]
    with pytest.raises(ConfigError, match="dimec"):
        evaluate(trace, policies, deployment_of(trace), draws=5)


def test_evaluating_leaves_adaptive_routers_as_they_are(small_trace: TraceFactory) -> None:
    trace = small_trace(40)
    routers = routers_of(trace)
    before = routers["dimec-adaptive"].sums
    first = evaluate(trace, standard_policies(routers), deployment_of(trace), draws=5)
    again = evaluate(trace, standard_policies(routers), deployment_of(trace), draws=5)
    assert first == again
    assert np.array_equal(routers["dimec-adaptive"].sums, before)


def test_a_free_cloud_leaves_nothing_to_save() -> None:
    trace = trace_of_answers([[True, False, True]])
    costs = CostModel(edge_layer=0, offload_edge=0, offload_cloud=0, cloud_charge=0)
    free = Deployment.paper((2, 4, 6), costs)
    ledger = evaluate(trace, standard_policies({}), free, draws=5)
    assert [row.reduction for row in ledger.rows] == [0.0] * len(ledger.rows)
    assert [row.reduction_high for row in ledger.rows] == [0.0] * len(ledger.rows)


def test_equal_exits_drop_nothing(small_trace: TraceFactory) -> None:
    """m = n = l: all answers are the cloud's, whatever the route."""
    trace = small_trace(30, exits=(6,), tiers=(6, 6, 6), classes=3)
    for row in ledger_of(trace).rows:
        assert row.drop == pytest.approx(0, rel=0, abs=1e-12)
        assert (row.drop_low, row.drop_high) == pytest.approx((0, 0), rel=0, abs=1e-12)


def test_one_sample_is_enough(small_trace: TraceFactory) -> None:
    for row in ledger_of(small_trace(1)).rows:
        assert row.drop_low == pytest.approx(row.drop, rel=0, abs=1e-12)
        assert row.reduction_high == pytest.approx(row.reduction, rel=0, abs=1e-12)


# --- Matched random rows are expectations --------------------------------------------------------


def test_a_random_row_is_the_mean_of_many_draws(small_trace: TraceFactory) -> None:
    trace = small_trace(40, seed=7)
    shares, draws = [0.5, 0.2, 0.3], 2000
    policy = RandomPolicy("random", shares)
    row = evaluate(trace, [policy], deployment_of(trace), draws=5).row("random")
    right, prices = right_of(trace), prices_of(trace)
    router = RandomRouter(shares, seed=11)
    accounts = [
        reference.account(right, prices, router.route(trace.embeddings).tolist())
        for _ in range(draws)
    ]
    for name in ("accuracy", "cost", "drop", "reduction"):
        drawn = np.array([getattr(account, name) for account in accounts])
        error = drawn.std() / math.sqrt(draws)
        assert getattr(row, name) == pytest.approx(drawn.mean(), rel=0, abs=5 * error)


@pytest.mark.parametrize("n", [1, 3, 10, 1000, 100_000])
def test_the_error_of_a_mean_hardly_grows_with_the_number_of_rows(n: int) -> None:
    # Summed row after row, 100,000 thirds are off by 4e-13.
    np.testing.assert_allclose(column_means(np.full((n, 2), 1 / 3)), 1 / 3, rtol=1e-15, atol=0)


@given(matrices((1, 40), (1, 4), st.floats(-1e3, 1e3)))
def test_column_means_are_means(values: Floats) -> None:
    expected = [reference.mean(column) for column in values.T.tolist()]
    np.testing.assert_allclose(column_means(values), expected, rtol=0, atol=1e-12)


# --- Refusals and files --------------------------------------------------------------------------


def test_what_cannot_be_evaluated_is_refused(small_trace: TraceFactory) -> None:
    trace = small_trace()
    deployment, policies = deployment_of(trace), [OraclePolicy()]
    with pytest.raises(DataError, match="without samples"):
        evaluate(small_trace(0), policies, deployment)
    for draws in (0, -1):
        with pytest.raises(ConfigError, match=f"at least 1 draw, got {draws}"):
            evaluate(trace, policies, deployment, draws=draws)
    with pytest.raises(ConfigError, match=r"layer 12.*\[2, 4, 6\]"):
        evaluate(trace, policies, Deployment.paper((2, 4, 12)))
    with pytest.raises(ConfigError, match="one of accuracy, matthews, f1, got 'bleu'"):
        evaluate(make_trace(metric="bleu"), policies, deployment, draws=5)


def test_a_ledger_reads_back_the_same(tmp_path: Path, small_trace: TraceFactory) -> None:
    trace = small_trace(metric="matthews")
    context = {"task": "sst2", "exits": [2, 4, 6], "alpha": 0.55, "note": "Größe"}
    policies = standard_policies(routers_of(trace))
    ledger = evaluate(trace, policies, deployment_of(trace), draws=20, context=context)
    ledger.save(tmp_path / "report")
    assert Ledger.load(tmp_path / "report") == ledger
    assert ledger.context == context
    rows = json.loads((tmp_path / "report" / "ledger.json").read_text("utf-8"))
    assert rows == ledger.to_dicts()
    assert list(rows[0]) == [field.name for field in fields(LedgerRow)]


def test_an_unknown_row_names_those_there_are(small_trace: TraceFactory) -> None:
    ledger = ledger_of(small_trace())
    with pytest.raises(ConfigError, match=r"'dimec'; it has all-mobile, all-edge.*oracle"):
        ledger.row("dimec")


@pytest.mark.parametrize(
    "content", [[1, 2], {"rows": []}, [{"policy": "x"}], [{"policy": "x", "extra": 1}], None]
)
def test_a_file_that_is_no_ledger_is_refused(
    tmp_path: Path, small_trace: TraceFactory, content: Any
) -> None:
    with pytest.raises(MissingArtefactError, match="make it with: dimec evaluate"):
        Ledger.load(tmp_path)
    ledger_of(small_trace()).save(tmp_path)
    (tmp_path / "ledger.json").write_text(json.dumps(content))
    with pytest.raises(CorruptArtefactError, match=r"not a ledger.*again with: dimec evaluate"):
        Ledger.load(tmp_path)


@pytest.mark.parametrize("content", [{}, [], None])
def test_a_context_that_is_none_is_refused(
    tmp_path: Path, small_trace: TraceFactory, content: Any
) -> None:
    ledger_of(small_trace()).save(tmp_path)
    (tmp_path / "ledger-context.json").write_text(json.dumps(content))
    with pytest.raises(CorruptArtefactError, match="not a ledger"):
        Ledger.load(tmp_path)


# --- Other tiers than the paper's three ----------------------------------------------------------


def test_shares_go_by_the_tiers_names(small_trace: TraceFactory) -> None:
    trace = small_trace(50)
    deployment = Deployment.paper(trace.exits[:1] + trace.exits[-1:], names=("mobile", "dc"))
    ledger = evaluate(trace, standard_policies({}, deployment.names), deployment, draws=5)
    assert ledger.tiers == ("mobile", "dc")
    assert ledger.reference == "all-dc"
    row = ledger.row("random")
    assert row.shares == {"mobile": 0.5, "dc": 0.5}
    assert (row.share_mobile, row.share_edge, row.share_cloud) == (0.5, None, None)
    told = ledger.to_dicts()[0]
    assert "share_edge" not in told
    assert told["share_mobile"] == told["shares"]["mobile"] == 1
    assert ledger.row("all-dc").drop == ledger.row("all-dc").reduction == 0


def test_a_ledger_without_shares_by_name_is_read(small_trace: TraceFactory, tmp_path: Path) -> None:
    trace = small_trace(50)
    ledger = evaluate(trace, standard_policies({}), deployment_of(trace), draws=5)
    ledger.save(tmp_path)
    file = tmp_path / "ledger.json"
    old = [{k: v for k, v in row.items() if k != "shares"} for row in json.loads(file.read_text())]
    file.write_text(json.dumps(old))
    again = Ledger.load(tmp_path)
    assert again.rows == ledger.rows
    assert again.reference == "all-cloud"
