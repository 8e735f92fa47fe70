"""The paper's own figures, and what its cost structure allows.

``paper.toml`` holds Tables I and II as printed; the functions below it are arithmetic on equation 5
and the prices of section V-D. Everything is in fractions, not percent.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from dimec.base.errors import CorruptArtefactError
from dimec.tiers.deployment import Deployment
from dimec.tiers.names import CLOUD, EDGE, MOBILE

BASELINE = "BERT"
RANDOM = "Random"

# The policies that stand for each of the paper's rows, in the order in which they are shown.
COUNTERPARTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "BERT": ("bert-plain", "bert-cloud"),
        "Random": ("random",),
        "DeeBERT": ("deebert@two-stage", "deebert"),
        "AdaEE": ("adaee",),
        "I-SplitEE": ("i-splitee",),
        "Ours-F": ("dimec-fixed-paper", "dimec-fixed-quantile"),
        "Ours-D": ("dimec-adaptive-paper", "dimec-adaptive-quantile"),
    }
)


@dataclass(frozen=True)
class PaperCell:
    """What the paper prints for one system on one task.

    Attributes:
        score: its column "Acc", a fraction.
        reduction: 1 - cost / cost of BERT; above 0 the system is cheaper.
    """

    score: float
    reduction: float


@dataclass(frozen=True)
class PaperTable:
    """One of the paper's two tables.

    Attributes:
        title: ``"Table I"``.
        backbone: its model.
        exits: (m, n, l).
        tasks: in the order of its columns.
        systems: system → task → cell, in the order of its rows.
    """

    title: str
    backbone: str
    exits: tuple[int, int, int]
    tasks: tuple[str, ...]
    systems: Mapping[str, Mapping[str, PaperCell]]

    @property
    def deployment(self) -> Deployment:
        """Its exits with the paper's prices; γ = λ_m·l - o_c is dimec's choice."""
        return Deployment.paper(self.exits)

    def drop(self, system: str, task: str) -> float:
        """Score of BERT minus that of ``system``; above 0 the system is worse."""
        rows = self.systems
        # As many digits as are printed: 0.892 - 0.887 is 0.005 and not a little more.
        return round(rows[BASELINE][task].score - rows[system][task].score, 6)

    def reductions(self, system: str) -> dict[str, float]:
        """Task → reduction of ``system``."""
        return {task: cell.reduction for task, cell in self.systems[system].items()}


@dataclass(frozen=True)
class Paper:
    """Both tables, and what the abstract claims.

    Attributes:
        tables: item (``"table1"``, ``"table2"``) → table.
        claimed_reduction: the cost falls by more than this.
        claimed_drop: the accuracy falls by less than this.
    """

    tables: Mapping[str, PaperTable]
    claimed_reduction: float
    claimed_drop: float

    def meets_claim(self, drop: float, reduction: float) -> bool:
        """Whether these figures are as good as the abstract says."""
        return reduction > self.claimed_reduction and drop < self.claimed_drop


@cache
def load_paper() -> Paper:
    """The figures of ``paper.toml``.

    Raises:
        CorruptArtefactError: a row that does not have one figure a task.
    """
    text = resources.files("dimec_studies").joinpath("paper.toml").read_text("utf-8")
    parsed = tomllib.loads(text)
    claim = parsed.pop("claim")
    tables = {item: _table(table) for item, table in parsed.items()}
    return Paper(
        MappingProxyType(tables), float(claim["reduction"]) / 100, float(claim["drop"]) / 100
    )


def _table(parsed: Mapping[str, Any]) -> PaperTable:
    tasks = tuple(parsed["tasks"])
    systems = {}
    for name, row in parsed["systems"].items():
        if not len(row["score"]) == len(row["cost"]) == len(tasks):
            raise CorruptArtefactError(
                f"paper.toml, {parsed['title']}, {name}: expected {len(tasks)} scores and costs, "
                f"got {len(row['score'])} and {len(row['cost'])}; install dimec again"
            )
        cells = zip(tasks, row["score"], row["cost"], strict=True)
        systems[name] = MappingProxyType(
            {
                task: PaperCell(round(score / 100, 6), -cost / 100 + 0.0)
                for task, score, cost in cells
            }
        )
    m, n, l = parsed["exits"]  # noqa: E741
    return PaperTable(
        parsed["title"], parsed["backbone"], (m, n, l), tasks, MappingProxyType(systems)
    )


def tier_prices(deployment: Deployment) -> tuple[float, float, float]:
    """Price of an answer from mobile, edge and cloud, in units of λ (equation 5)."""
    mobile, edge, cloud = (tier.price for tier in deployment.tiers)
    return mobile, edge, cloud


def mixed_reduction(deployment: Deployment, shares: tuple[float, float, float]) -> float:
    """Reduction of sending these shares of the inputs to mobile, edge and cloud.

    It depends on the shares and the prices alone, not on the task: 1 - (shares · prices) / price
    of the cloud.
    """
    prices = tier_prices(deployment)
    mean = math.fsum(share * price for share, price in zip(shares, prices, strict=True))
    return 1 - mean / prices[CLOUD]


def uniform_reduction(deployment: Deployment) -> float:
    """Reduction of uniform random routing, whatever the task."""
    return mixed_reduction(deployment, (1 / 3, 1 / 3, 1 / 3))


def uniform_error(deployment: Deployment, samples: int) -> float:
    """Standard error of that reduction where lots are drawn for ``samples`` inputs."""
    prices = tier_prices(deployment)
    mean = math.fsum(prices) / 3
    variance = math.fsum((price - mean) ** 2 for price in prices) / 3
    return math.sqrt(variance / samples) / prices[CLOUD]


def charge_for_uniform(deployment: Deployment, reduction: float) -> float:
    """γ at which uniform random routing would save ``reduction`` with the other prices as given.

    From 1 - (p_m + p_e + p_c) / (3 p_c) = r with p_c = o_c + γ: γ = (p_m + p_e) / (2 - 3r) - o_c.
    Below 0 where no charge does; infinite at and above r = 2/3, which no charge reaches.
    """
    prices = tier_prices(deployment)
    room = 2 - 3 * reduction
    if room <= 0:
        return math.inf
    return (prices[MOBILE] + prices[EDGE]) / room - deployment.costs.offload_cloud


def most_cloud_share(deployment: Deployment, reduction: float) -> float:
    """The largest share of inputs that routing may send to the cloud and still save so much.

    The rest goes to the mobile, the cheapest tier; below 0 where even all-mobile saves less.
    """
    mobile, _, cloud = tier_prices(deployment)
    return (cloud * (1 - reduction) - mobile) / (cloud - mobile)


def most_offloaded_share(deployment: Deployment, reduction: float) -> float:
    """The largest share that a split system may offload and still save so much.

    Such a system runs the mobile's m layers on every input, and pays o_c + γ for those that it
    offloads: λ_m·m + share·(o_c + γ) = (1 - reduction)·(o_c + γ).
    """
    mobile, _, cloud = tier_prices(deployment)
    return 1 - reduction - mobile / cloud
