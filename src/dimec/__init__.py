"""dimec: decide where a text is classified before spending a single layer on it.

The names below load on first use, so that ``import dimec`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dimec.__about__ import __version__

if TYPE_CHECKING:
    from dimec.base.errors import DimecError
    from dimec.cartography import DataMap, TrainingDynamics, build_pools
    from dimec.cartography.thresholds import search_thresholds
    from dimec.data import load_task
    from dimec.evaluation.evaluate import evaluate
    from dimec.evaluation.ledger import Ledger
    from dimec.mobile import AsyncMobile, Mobile, Prediction
    from dimec.routing import CentroidRouter
    from dimec.runs.run import Run
    from dimec.runs.train import track, train
    from dimec.tiers.costs import CostModel
    from dimec.tiers.deployment import Deployment
    from dimec.traces.collection import Collection, load_trace
    from dimec.traces.trace import Trace
    from dimec.training import MultiExitClassifier

_HOMES = {
    "AsyncMobile": "dimec.mobile",
    "CentroidRouter": "dimec.routing",
    "Collection": "dimec.traces.collection",
    "CostModel": "dimec.tiers.costs",
    "DataMap": "dimec.cartography",
    "Deployment": "dimec.tiers.deployment",
    "DimecError": "dimec.base.errors",
    "Ledger": "dimec.evaluation.ledger",
    "Mobile": "dimec.mobile",
    "MultiExitClassifier": "dimec.training",
    "Prediction": "dimec.mobile",
    "Run": "dimec.runs.run",
    "Trace": "dimec.traces.trace",
    "TrainingDynamics": "dimec.cartography",
    "build_pools": "dimec.cartography",
    "evaluate": "dimec.evaluation.evaluate",
    "load_task": "dimec.data",
    "load_trace": "dimec.traces.collection",
    "search_thresholds": "dimec.cartography.thresholds",
    "track": "dimec.runs.train",
    "train": "dimec.runs.train",
}

__all__ = [
    "AsyncMobile",
    "CentroidRouter",
    "Collection",
    "CostModel",
    "DataMap",
    "Deployment",
    "DimecError",
    "Ledger",
    "Mobile",
    "MultiExitClassifier",
    "Prediction",
    "Run",
    "Trace",
    "TrainingDynamics",
    "__version__",
    "build_pools",
    "evaluate",
    "load_task",
    "load_trace",
    "search_thresholds",
    "track",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'dimec' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
