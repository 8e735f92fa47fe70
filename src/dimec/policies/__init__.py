"""Policies: where an input goes, step by step; replayed on traces, stored, and served."""

from dimec.policies.base import Outcome, Policy, tier_outcome
from dimec.policies.chance import RandomPolicy
from dimec.policies.registry import FitInputs, Fitted, System, register, system, systems, tagged
from dimec.policies.routed import OraclePolicy, RouterPolicy

__all__ = [
    "FitInputs",
    "Fitted",
    "OraclePolicy",
    "Outcome",
    "Policy",
    "RandomPolicy",
    "RouterPolicy",
    "System",
    "register",
    "system",
    "systems",
    "tagged",
    "tier_outcome",
]
