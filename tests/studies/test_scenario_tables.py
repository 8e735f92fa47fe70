"""The tables of docs/scenarios.md, against what the scenarios give for one text by itself."""

from __future__ import annotations

import numpy as np
import pytest

from dimec.policies.literature.neurosurgeon import split_costs
from dimec.tiers.latency import LayerProfile
from dimec.tiers.scenario_file import Scenarios
from dimec_studies.scenario_tables import ENCODERS, Encoder, crossings, scenario_tables
from support.usages import usage_from

SCENARIOS, TABLES = Scenarios.load(), scenario_tables()
PROFILE = LayerProfile.packaged("minilm-l6")


def cells(table: str, scenario: str) -> dict[str, str]:
    """A row of a table, by the heads of its columns."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    (row,) = [line for line in lines if line[0] == scenario]
    return dict(zip(lines[0], row, strict=True))


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda encoder: encoder.name)
@pytest.mark.parametrize("scenario", SCENARIOS.names)
def test_a_tier_is_priced_as_a_text_that_goes_there(encoder: Encoder, scenario: str) -> None:
    row = cells(TABLES[f"tiers-{encoder.name}"], scenario)
    mobile, edge, cloud = encoder.exits
    ways = {
        "mobile": usage_from(1, mobile_layers=mobile),
        "edge": usage_from(1, edge_layers=edge, edge_offloads=1, edge_bytes=4 * 26),
        "cloud": usage_from(1, cloud_layers=cloud, cloud_offloads=1, cloud_bytes=4 * 26),
    }
    for tier, usage in ways.items():
        cost = SCENARIOS.scenario(scenario).price(usage, np.array([26]), encoder.shape)
        assert row[f"{tier}, ms"] == f"{cost.milliseconds[0]:,.1f}"
        assert row[f"{tier}, mJ"] == f"{cost.millijoules[0]:,.0f}"
        assert row[f"{tier}, USD"] == f"{1e6 * cost.money[0]:.2f}"


def test_a_tiers_layers_take_their_operations_at_the_phones_rate() -> None:
    operations = 2 * 26 * (4 * 384**2 + 2 * 384 * 1536) + 4 * 26**2 * 384
    rate = SCENARIOS.phones["phone"].flops_per_second.value
    row = cells(TABLES["tiers-small"], "phone-4g")
    assert row["mobile, ms"] == f"{2e3 * operations / rate:.1f}"


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda encoder: encoder.name)
@pytest.mark.parametrize("scenario", SCENARIOS.names)
def test_the_best_split_is_the_least_of_all(encoder: Encoder, scenario: str) -> None:
    row = cells(TABLES[f"splits-{encoder.name}"], scenario)
    priced = SCENARIOS.scenario(scenario)
    ms, mj = split_costs(np.array([26]), encoder.layers, encoder.shape, PROFILE, priced)
    for unit, costs, best, form in (
        ("ms", ms[0].tolist(), "fastest", ",.1f"),
        ("mJ", mj[0].tolist(), "least energy", ",.0f"),
    ):
        assert costs[int(row[best])] == min(costs)
        shown = [costs[0], costs[1], costs[-2], costs[-1]]
        heads = [f"{name}, {unit}" for name in ("0", "1", "l - 1", "l")]
        assert [row[head] for head in heads] == [format(cost, form) for cost in shown]


@pytest.mark.parametrize("scenario", SCENARIOS.names)
def test_a_text_is_sent_from_the_crossing_on_and_not_before(scenario: str) -> None:
    row, priced = cells(TABLES["crossings"], scenario), SCENARIOS.scenario(scenario)
    for encoder in ENCODERS:
        for k, objective in enumerate(("latency", "energy")):
            first = crossings(encoder, priced, PROFILE)[k]
            told = row[f"{encoder.layers} × {encoder.width}, {objective}"]
            assert told == ("never" if first is None else str(first))
            for tokens in (512,) if first is None else {first, max(1, first - 1)}:
                costs = split_costs(
                    np.array([tokens]), encoder.layers, encoder.shape, PROFILE, priced
                )
                sent = costs[k][0].argmin() == 0
                assert sent == (first is not None and tokens >= first)
