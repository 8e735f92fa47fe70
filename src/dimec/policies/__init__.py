"""Policies: where an input goes, step by step; replayed on traces, stored, and served."""

from dimec.policies.base import Outcome, Policy, tier_outcome
from dimec.policies.chance import RandomPolicy
from dimec.policies.registry import FitInputs, Fitted, System, register, system, systems, tagged
from dimec.policies.routed import OraclePolicy, RouterPolicy
from dimec.policies.step import Answer, Go, Signal, Site, Step, Walk
from dimec.policies.written import WrittenPolicy

__all__ = [
    "Answer",
    "FitInputs",
    "Fitted",
    "Go",
    "OraclePolicy",
    "Outcome",
    "Policy",
    "RandomPolicy",
    "RouterPolicy",
    "Signal",
    "Site",
    "Step",
    "System",
    "Walk",
    "WrittenPolicy",
    "register",
    "system",
    "systems",
    "tagged",
    "tier_outcome",
]
