"""Routers: they choose a tier from an embedding, before any layer has run."""

from dimec.routing.base import FixedRouter, Route, Router
from dimec.routing.centroid import CentroidRouter
from dimec.routing.reference import OracleRouter, RandomRouter, SingleTierRouter

__all__ = [
    "CentroidRouter",
    "FixedRouter",
    "OracleRouter",
    "RandomRouter",
    "Route",
    "Router",
    "SingleTierRouter",
]
