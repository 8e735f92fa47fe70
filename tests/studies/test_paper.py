"""The paper's figures are those it prints, and the price arithmetic is right."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from dimec_studies.facts import best_reduction, mobile_fact, paper_facts, random_fact
from dimec_studies.paper import (
    COUNTERPARTS,
    charge_for_uniform,
    load_paper,
    mixed_reduction,
    most_cloud_share,
    most_offloaded_share,
    uniform_error,
    uniform_reduction,
)

BERT_BASE, BERT_LARGE = Deployment.paper((4, 6, 12)), Deployment.paper((6, 12, 24))

# Typed again from the paper, row by row: Acc Cost Acc Cost …
TABLE_1 = """
BERT      93.5 1.00 58.3 1.00 84.5 1.00 89.2 1.00 92.5 1.00 72.1 1.00
Random    89.5 -27% 55.7 -31% 79.9 -46% 86.5 -39% 89.6 -49% 69.4 -32%
DeeBERT   91.0 -23% 56.5 -25% 82.1 -31% 87.6 -42% 90.2 -36% 70.0 -28%
AdaEE     92.1 -36% 56.9 -40% 82.8 -42% 88.1 -51% 91.4 -41% 70.8 -30%
I-SplitEE 92.4 -45% 57.3 -39% 83.6 -48% 88.5 -58% 91.9 -57% 71.3 -39%
Ours-F    93.0 -55% 57.3 -45% 83.9 -52% 88.4 -65% 91.7 -61% 71.1 -36%
Ours-D    93.2 -61% 57.9 -50% 84.1 -59% 88.7 -62% 92.1 -64% 72.2 -43%
"""
TABLE_2 = """
BERT      59.5 1.00 90.1 1.00 93.1 1.00
Random    55.9 -45% 85.2 -59% 90.4 -51%
DeeBERT   56.2 -32% 88.2 -48% 91.2 -55%
AdaEE     58.1 -54% 89.2 -57% 91.7 -62%
I-SplitEE 58.4 -57% 88.9 -58% 92.4 -68%
Ours-F    58.5 -68% 89.7 -63% 92.1 -70%
Ours-D    58.9 -71% 90.1 -58% 92.5 -75%
"""


@pytest.mark.parametrize(
    ("item", "text", "tasks"),
    [
        ("table1", TABLE_1, ("sst2", "cola", "mnli", "mrpc", "qnli", "qqp")),
        ("table2", TABLE_2, ("cola", "mrpc", "qnli")),
    ],
)
def test_the_stored_figures_are_those_of_the_paper(
    item: str, text: str, tasks: tuple[str, ...]
) -> None:
    stored = load_paper().tables[item]
    assert stored.tasks == tasks
    rows = [line.split() for line in text.strip().splitlines()]
    assert list(stored.systems) == [row[0] for row in rows]
    for name, *printed in rows:
        assert len(printed) == 2 * len(tasks)
        for task, score, cost in zip(tasks, printed[::2], printed[1::2], strict=True):
            cell = stored.systems[name][task]
            assert cell.score == pytest.approx(float(score) / 100, abs=1e-12)
            change = 0.0 if cost == "1.00" else float(cost.rstrip("%")) / 100
            assert cell.reduction == pytest.approx(-change, abs=1e-12)


def test_the_tables_rest_on_the_papers_exits_and_the_charge_that_dimec_chose() -> None:
    tables = load_paper().tables
    assert tables["table1"].deployment.exits == (4, 6, 12)
    assert tables["table2"].deployment.exits == (6, 12, 24)
    assert [tables[item].deployment.charge for item in ("table1", "table2")] == [15.0, 33.0]


def test_a_drop_has_no_more_digits_than_the_scores() -> None:
    table = load_paper().tables["table1"]
    assert table.drop("Ours-D", "mrpc") == 0.005
    assert table.drop("Ours-D", "qqp") == -0.001
    assert table.drop("BERT", "sst2") == 0


def test_the_claim_excludes_its_own_bounds() -> None:
    paper = load_paper()
    assert paper.meets_claim(0.0049, 0.4301)
    assert not paper.meets_claim(0.005, 0.5)
    assert not paper.meets_claim(0.001, 0.43)


def test_every_row_of_the_paper_has_a_counterpart() -> None:
    for table in load_paper().tables.values():
        assert set(table.systems) == set(COUNTERPARTS)


def test_by_hand_bert_bases_prices_and_what_follows() -> None:
    # 1.5·4 = 6, 6 + 2.5 = 8.5, 3 + 15 = 18
    assert uniform_reduction(BERT_BASE) == pytest.approx(1 - (6 + 8.5 + 18) / 3 / 18)
    assert mixed_reduction(BERT_BASE, (1, 0, 0)) == pytest.approx(12 / 18)
    assert most_cloud_share(BERT_BASE, 0.65) == pytest.approx((18 * 0.35 - 6) / 12)
    assert most_offloaded_share(BERT_BASE, 0.51) == pytest.approx((0.49 * 18 - 6) / 18)
    # 1.5·6 = 9 and 3 + 33 = 36: 75 % is all that can be saved
    assert most_cloud_share(BERT_LARGE, 0.75) == pytest.approx(0, abs=1e-12)


@given(st.floats(0.0, 0.6))
def test_at_the_charge_found_uniform_routing_saves_what_was_asked(reduction: float) -> None:
    charge = charge_for_uniform(BERT_BASE, reduction)
    changed = Deployment.paper((4, 6, 12), CostModel(cloud_charge=charge))
    assert uniform_reduction(changed) == pytest.approx(reduction, abs=1e-9)


def test_no_charge_lets_uniform_routing_save_two_thirds() -> None:
    assert charge_for_uniform(BERT_BASE, 2 / 3) == math.inf
    assert charge_for_uniform(BERT_BASE, 0.9) == math.inf


@given(st.floats(0.0, 0.66))
def test_the_shares_found_save_what_was_asked(reduction: float) -> None:
    cloud = most_cloud_share(BERT_BASE, reduction)
    assert mixed_reduction(BERT_BASE, (1 - cloud, 0, cloud)) == pytest.approx(reduction)
    offloaded = most_offloaded_share(BERT_BASE, reduction)
    assert 1 - (6 + offloaded * 18) / 18 == pytest.approx(reduction)


@pytest.mark.parametrize("samples", [1, 2, 4])
def test_the_standard_error_is_that_of_all_possible_draws(samples: int) -> None:
    prices = (6.0, 8.5, 18.0)
    reductions = [
        1 - sum(drawn) / samples / 18 for drawn in itertools.product(prices, repeat=samples)
    ]
    centre = sum(reductions) / len(reductions)
    spread = math.sqrt(sum((r - centre) ** 2 for r in reductions) / len(reductions))
    assert uniform_error(BERT_BASE, samples) == pytest.approx(spread)


def test_the_sentence_on_random_holds_the_figures_worked_by_hand() -> None:
    paper = load_paper()
    text = random_fact([paper.tables["table1"], paper.tables["table2"]])
    for words in (
        "6λ, 8.5λ and 18λ, 10.83λ on average, which is -39.8 %",
        "Table I has -49 to -27 % for Random",
        "9λ, 14.5λ and 36λ, 19.83λ on average, which is -44.9 %",
        "Table II has -59 to -45 % for Random",
        "over 366 inputs",
        "standard error is 1.5 points",
        "-27 % needs γ = 9.2λ and -49 % needs γ = 24.4λ",
    ):
        assert words in text


def test_the_sentence_on_all_mobile_holds_the_figures_worked_by_hand() -> None:
    paper = load_paper()
    text = mobile_fact([paper.tables["table1"], paper.tables["table2"]])
    for words in (
        "At γ = 15λ even all-mobile saves only 66.7 %",
        "65 % printed for Ours-F on MRPC leaves at most 2.5 %",
        "all-mobile saves 75.0 %, and Table II has 75 % for Ours-D on QNLI",
        "0.6 points below BERT",
    ):
        assert words in text


def test_the_facts_follow_the_tables_and_are_not_written_down() -> None:
    paper = load_paper()
    small = paper.tables["table2"]
    assert best_reduction(small) == ("Ours-D", "qnli", 0.75)
    text = random_fact([small])
    assert "-39.8 %" not in text
    assert "-45 % needs γ" in text
    assert len(paper_facts(paper)) == 3
    assert "24λ, 133 % of the cloud's price" in paper_facts(paper)[2]
    assert "51 % printed for MRPC, it may offload at most 15.7 %" in paper_facts(paper)[2]
