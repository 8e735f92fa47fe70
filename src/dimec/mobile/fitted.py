"""A mobile's fitted policy: read from its bundle, checked against it, and at work on its tiers."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from dimec.base.errors import (
    ConfigError,
    CorruptArtefactError,
    DataError,
    MismatchError,
    option,
)
from dimec.bundle.exit0 import EXIT0
from dimec.bundle.folders import TierBundle
from dimec.bundle.manifest import TierManifest
from dimec.policies.base import Adaptable, Policy
from dimec.policies.kinds import ARRAYS, POLICY, StoredPolicy
from dimec.policies.reach import served_steps
from dimec.policies.step import Site, Steps


def policy_of(bundle: TierBundle) -> StoredPolicy:
    """The policy that was exported with the first tier.

    Raises:
        ArtefactError: missing, altered, or fitted on another model.
    """
    path = bundle.file(POLICY)
    stored = StoredPolicy.load(bundle.path)
    for name in (POLICY, ARRAYS):
        if name in bundle.manifest.files:
            bundle.read(name)  # it is still the file that was checked
    fitted_on, model = stored.fitted_on.get("model"), bundle.manifest.provenance.get("model")
    if fitted_on is not None and model is not None and fitted_on != model:
        raise MismatchError(
            f"{path} was fitted on another model than the one in {bundle.path}; make the bundle "
            "again with: dimec export"
        )
    return stored


def adapted(policy: Policy, adaptive: bool | None) -> Policy:
    """The policy that learns, or does not, as was asked for; None for what was fitted.

    Raises:
        ConfigError: it is to learn, and cannot.
    """
    if adaptive is None or adaptive == policy.learns_online:
        return policy
    if isinstance(policy, Adaptable):
        return policy.adapted(adaptive)
    if adaptive:
        raise ConfigError(
            f"the policy {policy.name} has nothing to learn from inputs; leave "
            f"{option('adaptive')} out"
        )
    return policy


def steps_of(policy: Policy, bundle: TierBundle) -> Steps:
    """A policy at work on a bundle's tiers, as in a replay of the trained model.

    Args:
        policy: what is to run.
        bundle: the first tier's.

    Raises:
        ConfigError: it has steps that cannot be taken on these tiers.
        CorruptArtefactError: it is of other tiers or other embeddings.
    """
    manifest = bundle.manifest
    stops = (*((0,) if manifest.exit0 else ()), *manifest.segments)
    try:
        classes = len(manifest.labels)
        return served_steps(policy, _site_of(manifest), stops, manifest.width, classes)
    except (DataError, TypeError) as error:
        raise CorruptArtefactError(
            f"{bundle.file(POLICY)} does not go with this bundle: {error}; make the bundle again "
            "with: dimec export"
        ) from None


def _site_of(manifest: TierManifest) -> Site:
    """The tiers, and every exit of the models behind them, as in a replay.

    Raises:
        DataError, TypeError: the manifest tells of no exits like that.
    """
    free = (0,) if manifest.exit0 else ()
    # Where nobody says, what can be had here is all.
    told: Any = manifest.provenance.get("exits") or sorted({*manifest.segments, *manifest.exits})
    exits = (*free, *told)
    if "sources" not in manifest.provenance:
        return Site(manifest.deployment, exits)
    own: Any = manifest.provenance["sources"]
    sources = (*manifest.deployment.sources[: len(free)], *own)
    if len(sources) != len(exits):
        raise DataError(f"{len(exits)} exits, and the models of {len(sources)}")
    return Site(manifest.deployment, exits, sources)


def state_identity(bundle: TierBundle) -> str:
    """What a state goes with: the model that embeds, and the policy that was fitted."""
    files = bundle.manifest.files
    policy = [files[name].sha256 for name in (POLICY, ARRAYS, EXIT0) if name in files]
    parts = [bundle.manifest.version, *policy]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
