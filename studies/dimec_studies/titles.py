"""What tasks, rows and costs are called in tables and figures; unknown ones keep their names."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from dimec.policies import systems

ITEMS: Mapping[str, str] = MappingProxyType(
    {
        "table1": "Table 1: every system on every task",
        "table2": "Table 2: the deepest encoder at hand",
        "fig1": "Figure 1: the data map",
        "fig3": "Figure 3: data maps and pools of every task",
        "fig4": "Figure 4: every tier alone, and the pools in the plane",
        "fig5": "Figure 5: one cost varied at a time",
        "cartography": "Section III: training on what a data map selects",
        "robustness": "Beyond the paper: streams of other domains, and human raters",
        "ledger": "The ledger of every seed and fit",
    }
)

TASKS: Mapping[str, str] = MappingProxyType(
    {
        "sst2": "SST-2",
        "cola": "CoLA",
        "mnli": "MNLI",
        "mrpc": "MRPC",
        "qnli": "QNLI",
        "qqp": "QQP",
        "rte": "RTE",
    }
)

# Rows that no system of the registry makes; a system brings its own title.
ROWS: Mapping[str, str] = MappingProxyType(
    {"bert-plain": "BERT, fine-tuned with one exit", "oracle": "Oracle (sees the labels)"}
)

COSTS: Mapping[str, str] = MappingProxyType(
    {
        "mobile_layer": "λ_m, a layer on the mobile",
        "edge_layer": "λ_e, a layer at the edge",
        "offload_edge": "o_e, sending to the edge",
        "offload_cloud": "o_c, sending to the cloud",
        "cloud_charge": "γ, the cloud's charge",
    }
)


def task_title(task: str) -> str:
    """``"sst2"`` and ``"glue/sst2"`` → ``"SST-2"``."""
    name = task.removeprefix("glue/")
    return TASKS.get(name, name)


def system_title(policy: str) -> str:
    """A row's name as a reader says it; ``random@X`` and ``X@RECIPE`` are taken apart."""
    known = systems()
    if policy in known:
        return known[policy].title
    base, at, rest = policy.partition("@")
    if at and base == "random":
        return f"Random, shares of {system_title(rest)}"
    if at and base in known and rest == known[base].recipe:
        return f"{system_title(base)}, own recipe"
    if at:
        return f"{system_title(base)}, {rest}"
    return ROWS.get(policy, policy)


def cost_title(cost: str) -> str:
    """``"mobile_layer"`` → ``"λ_m, a layer on the mobile"``."""
    return COSTS.get(cost, cost)


def is_dimec(policy: str) -> bool:
    """Whether the row is dimec itself: Ours-F or Ours-D, by whatever grid."""
    return policy in systems() and "ours" in systems()[policy].tags


def is_reference(policy: str) -> bool:
    """Whether the row is none that could be deployed in another's place: the oracle, random@X."""
    return policy == "oracle" or policy.startswith("random@")
