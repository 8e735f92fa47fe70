"""Policies: anything that replays a trace and says which exit answers each sample, at what cost."""

from dimec.policies.base import Outcome, Policy, tier_outcome
from dimec.policies.routed import OraclePolicy, RandomPolicy, RouterPolicy

__all__ = ["OraclePolicy", "Outcome", "Policy", "RandomPolicy", "RouterPolicy", "tier_outcome"]
