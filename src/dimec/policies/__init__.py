"""Policies: anything that replays a trace and says which exit answers each sample, at what cost."""

# Each of these modules registers its system; the order is that of the tables.
# isort: off
from dimec.policies.literature import bert  # bert-cloud, bert-mobile
from dimec.policies import chance  # random
from dimec.policies.literature import deebert
from dimec.policies.literature import pabee
from dimec.policies.literature import adaee
from dimec.policies.literature import splitee
from dimec.policies.literature import splitee_s
from dimec.policies.literature import i_splitee
from dimec.policies.literature import uee_ucb
from dimec.policies.literature import lee
from dimec.policies.literature import dee
from dimec.policies.literature import ceebert
from dimec.policies.literature import dimee  # max-softmax and max-softmax-tiers too
from dimec.policies.literature import neurosurgeon  # by latency and by energy
from dimec.policies.literature import bottleneck  # BottleNet++ and BottleFit
from dimec.policies import dimec  # Ours-F and Ours-D, with both grids

# isort: on
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
    "adaee",
    "bert",
    "bottleneck",
    "ceebert",
    "chance",
    "dee",
    "deebert",
    "dimec",
    "dimee",
    "i_splitee",
    "lee",
    "neurosurgeon",
    "pabee",
    "register",
    "splitee",
    "splitee_s",
    "system",
    "systems",
    "tagged",
    "tier_outcome",
    "uee_ucb",
]
