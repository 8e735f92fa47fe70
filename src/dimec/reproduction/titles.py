"""What tasks, systems and costs are called in tables and figures; unknown ones keep their names."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

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

SYSTEMS: Mapping[str, str] = MappingProxyType(
    {
        "bert-plain": "BERT, fine-tuned with one exit",
        "bert-cloud": "BERT in the cloud",
        "bert-mobile": "BERT on the mobile",
        "random": "Random",
        "deebert": "DeeBERT",
        "pabee": "PABEE",
        "adaee": "AdaEE",
        "splitee": "SplitEE",
        "splitee-s": "SplitEE-S",
        "i-splitee": "I-SplitEE",
        "uee-ucb": "UEE-UCB",
        "lee": "LEE",
        "dee": "DEE",
        "ceebert": "CeeBERT",
        "dimee": "DIMEE",
        "max-softmax": "Max-softmax early exit",
        "max-softmax-tiers": "Max-softmax early exit over the tiers",
        "neurosurgeon-latency": "Neurosurgeon, latency",
        "neurosurgeon-energy": "Neurosurgeon, energy",
        "bottlenet++": "BottleNet++",
        "bottlefit": "BottleFit",
        "dimec-fixed": "Ours-F",
        "dimec-adaptive": "Ours-D",
        "dimec-fixed-paper": "Ours-F, paper's grid",
        "dimec-adaptive-paper": "Ours-D, paper's grid",
        "dimec-fixed-quantile": "Ours-F, quantile grid",
        "dimec-adaptive-quantile": "Ours-D, quantile grid",
        "oracle": "Oracle (sees the labels)",
    }
)

# The training that a system's own paper prescribes, where it is not the joint one.
OWN_RECIPES = frozenset({("deebert", "two-stage"), ("pabee", "depth")})

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
    if policy in SYSTEMS:
        return SYSTEMS[policy]
    base, at, rest = policy.partition("@")
    if at and base == "random":
        return f"Random, shares of {system_title(rest)}"
    if at and (base, rest) in OWN_RECIPES:
        return f"{system_title(base)}, own recipe"
    if at:
        return f"{system_title(base)}, {rest}"
    return policy


def cost_title(cost: str) -> str:
    """``"mobile_layer"`` → ``"λ_m, a layer on the mobile"``."""
    return COSTS.get(cost, cost)


def is_dimec(policy: str) -> bool:
    """Whether the row is dimec itself: Ours-F or Ours-D, by whatever grid."""
    return policy.startswith(("dimec-fixed", "dimec-adaptive"))


def is_reference(policy: str) -> bool:
    """Whether the row is none that could be deployed in another's place: the oracle, random@X."""
    return policy == "oracle" or policy.startswith("random@")
