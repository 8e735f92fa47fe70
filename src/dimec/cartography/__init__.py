"""Data cartography: training dynamics, the data map, pools, and the thresholds between them."""

from dimec.cartography.data_map import (
    EASY,
    HARD,
    MEDIUM,
    POOL_NAMES,
    DataMap,
    betas_of,
    build_pools,
    pool_names,
    pool_sizes,
)
from dimec.cartography.dynamics import TrainingDynamics, softmax

__all__ = [
    "EASY",
    "HARD",
    "MEDIUM",
    "POOL_NAMES",
    "DataMap",
    "TrainingDynamics",
    "betas_of",
    "build_pools",
    "pool_names",
    "pool_sizes",
    "softmax",
]
