"""Policies: anything that replays a trace and says which exit answers each sample, at what cost."""

# Each of these modules registers its system; the order is that of the tables.
from dimec.policies import bert, dimec
from dimec.policies.base import Outcome, Policy, tier_outcome
from dimec.policies.registry import FitInputs, Fitted, System, register, system, systems
from dimec.policies.routed import OraclePolicy, RandomPolicy, RouterPolicy

__all__ = [
    "FitInputs",
    "Fitted",
    "OraclePolicy",
    "Outcome",
    "Policy",
    "RandomPolicy",
    "RouterPolicy",
    "System",
    "bert",
    "dimec",
    "register",
    "system",
    "systems",
    "tier_outcome",
]
