"""Routers as fitted policies in folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dimec.policies.kinds import StoredPolicy
from dimec.policies.routed import RouterPolicy
from dimec.routing import CentroidRouter


def store_router(
    router: CentroidRouter, folder: Path, fitted_on: Mapping[str, Any] | None = None
) -> None:
    """Write a router as the policy of a run or of a device's tier."""
    StoredPolicy(RouterPolicy("dimec", router), dict(fitted_on or {})).save(folder)


def stored_router(folder: Path) -> CentroidRouter:
    """The router of a stored policy."""
    policy = StoredPolicy.load(folder).policy
    assert isinstance(policy, RouterPolicy)
    assert isinstance(policy.router, CentroidRouter)
    return policy.router


def fitted_on(folder: Path) -> dict[str, Any]:
    """What a stored policy was fitted on."""
    return dict(StoredPolicy.load(folder).fitted_on)
