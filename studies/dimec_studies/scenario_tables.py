"""The tables of docs/scenarios.md: what the packaged scenarios make of a text.

They rest on no stored result, but on the figures that come with the package.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dimec.policies.literature.neurosurgeon import split_costs
from dimec.tiers.deployment import Deployment
from dimec.tiers.latency import LayerProfile, ModelShape
from dimec.tiers.paths import tier_legs, usage_of
from dimec.tiers.scenario_file import Scenarios
from dimec.tiers.scenarios import Scenario
from dimec_studies.markdown import table

TOKENS = 26  # of the text in the tables, which is as long as the one whose request was measured
LONGEST = 512  # tokens that an encoder takes


class Encoder(NamedTuple):
    """An encoder that the page speaks of.

    Attributes:
        name: in the markers.
        width: numbers a token.
        exits: the tiers' exits; the last is the number of layers.
    """

    name: str
    width: int
    exits: tuple[int, int, int]

    @property
    def layers(self) -> int:
        """How many it has."""
        return self.exits[-1]

    @property
    def shape(self) -> ModelShape:
        """What its operations depend on."""
        return ModelShape.of_width(self.width)


ENCODERS = (Encoder("small", 384, (2, 3, 6)), Encoder("base", 768, (4, 6, 12)))


def scenario_tables() -> dict[str, str]:
    """All tables, by the name in their marker."""
    scenarios, profile = Scenarios.load().all(), LayerProfile.packaged("minilm-l6")
    tables = {}
    for encoder in ENCODERS:
        tables[f"tiers-{encoder.name}"] = tiers_table(encoder, scenarios)
        tables[f"splits-{encoder.name}"] = splits_table(encoder, scenarios, profile)
    return tables | {"crossings": crossings_table(scenarios, profile)}


def tiers_table(encoder: Encoder, scenarios: tuple[Scenario, ...]) -> str:
    """What one text takes at each tier: milliseconds, millijoules, and USD for a million."""
    deployment = Deployment.paper(encoder.exits)
    names, count = deployment.names, len(encoder.exits)
    lengths = np.full(count, TOKENS)
    usage = usage_of(tier_legs(deployment, lengths, np.eye(count)), deployment)
    rows = []
    for scenario in scenarios:
        cost = scenario.price(usage, lengths, encoder.shape)
        cells = [f"{value:,.1f}" for value in cost.milliseconds]
        cells += [f"{value:,.0f}" for value in cost.millijoules]
        cells += [f"{1e6 * value:.2f}" for value in cost.money]
        rows.append([scenario.name, *cells])
    heads = [f"{name}, {unit}" for unit in ("ms", "mJ", "USD") for name in names]
    return table(["scenario", *heads], rows)


def splits_table(encoder: Encoder, scenarios: tuple[Scenario, ...], profile: LayerProfile) -> str:
    """What the first and the last splits of one text take, and the best of all of them."""
    shown = {"0": 0, "1": 1, "l - 1": encoder.layers - 1, "l": encoder.layers}
    rows = []
    for scenario in scenarios:
        costs = split_costs(np.array([TOKENS]), encoder.layers, encoder.shape, profile, scenario)
        cells = [scenario.name]
        for (splits,), form in zip(costs, (",.1f", ",.0f"), strict=True):
            cells += [format(splits[split], form) for split in shown.values()]
            cells.append(str(splits.argmin()))
        rows.append(cells)
    heads = [f"{name}, ms" for name in shown] + ["fastest"]
    heads += [f"{name}, mJ" for name in shown] + ["least energy"]
    return table(["scenario", *heads], rows)


def crossings_table(scenarios: tuple[Scenario, ...], profile: LayerProfile) -> str:
    """From how many tokens on a text is sent, by either objective."""
    rows = []
    for scenario in scenarios:
        cells = [scenario.name]
        for encoder in ENCODERS:
            cells += [
                "never" if first is None else str(first)
                for first in crossings(encoder, scenario, profile)
            ]
        rows.append(cells)
    heads = [
        f"{encoder.layers} × {encoder.width}, {objective}"
        for encoder in ENCODERS
        for objective in ("latency", "energy")
    ]
    return table(["scenario", *heads], rows)


def crossings(encoder: Encoder, scenario: Scenario, profile: LayerProfile) -> list[int | None]:
    """The fewest tokens with which a text is sent: for the least latency, and the least energy."""
    lengths = np.arange(1, LONGEST + 1)
    found: list[int | None] = []
    for costs in split_costs(lengths, encoder.layers, encoder.shape, profile, scenario):
        sent = np.flatnonzero(costs.argmin(axis=1) == 0)
        found.append(int(lengths[sent[0]]) if len(sent) else None)
    return found
