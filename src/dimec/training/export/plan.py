"""What an export is to be: tiers, precisions, versions, and where the first tier is cut."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dimec.base.errors import ConfigError, CorruptArtefactError, option
from dimec.base.storage import file_sha256
from dimec.bundle.exit0 import EXIT0, Exit0
from dimec.bundle.manifest import BundleManifest, Precision, TierRecord, tier_version
from dimec.policies.kinds import StoredPolicy
from dimec.policies.reach import served_steps
from dimec.policies.step import Site, Steps
from dimec.runs.workspace import RunDirectory, fitted_deployment
from dimec.tiers.deployment import Deployment
from dimec.tiers.names import check_tier_names
from dimec.tiers.tier import Tier
from dimec.training.exit0.run import exit0_of
from dimec.training.finish import model_fingerprint


@dataclass(frozen=True)
class Export:
    """What decides on the content of a bundle, apart from the model itself.

    Attributes:
        run: whose model is exported.
        training: what training wrote down of it.
        stored: the fitted policy.
        deployment: the tiers that it was fitted for.
        segments: tier → the layers after which it is cut; none where it runs as a whole.
        precisions: tier → of its weights.
        versions: tier → version of the function that it computes.
        exit0: the classifier on the embedding layer alone; None where the run has none.
    """

    run: RunDirectory
    training: Mapping[str, Any]
    stored: StoredPolicy
    deployment: Deployment
    segments: Mapping[str, tuple[int, ...]]
    precisions: Mapping[str, Precision]
    versions: dict[Any, str]
    exit0: Exit0 | None = None

    @classmethod
    def of(cls, run: RunDirectory, int8: Collection[str], looks: Collection[int] | None) -> Export:
        """What a run's export is to be; see :func:`dimec.training.export.bundles.export_run`.

        Raises:
            ConfigError: an unknown tier, a look where the first has no exit, a policy that cannot
                be served or takes steps that the tiers do not have, or tiers of several models.
            ArtefactError: the run is not fitted, or damaged.
        """
        training, stored = run.training(), run.stored_policy()
        if not run.model_path.exists() or model_fingerprint(run.model_path) != training["model"]:
            raise CorruptArtefactError(
                f"the model in {run.model_path} is missing or altered since it was trained; "
                f"train again with: dimec train --out {run.typed} --overwrite"
            )
        deployment = fitted_deployment(stored)
        if len(set(deployment.sources)) > 1:
            raise ConfigError(
                f"an export cuts the one model of a run into tiers; the fitted policy in "
                f"{run.path} is for tiers of several: {', '.join(deployment.sources)}"
            )
        names = deployment.names
        check_tier_names(int8, "int8", names)
        precisions: dict[str, Precision] = {
            tier: "int8" if tier in int8 else "fp32" for tier in names
        }
        versions_ = {
            tier.name: tier_version(training["model"], tier.layer, precisions[tier.name])
            for tier in deployment.tiers
        }
        segments: dict[str, tuple[int, ...]] = dict.fromkeys(names, ())
        segments[names[0]] = _segments(training["exits"], deployment.tiers[0], looks)
        exit0 = exit0_of(run)
        export = cls(run, training, stored, deployment, segments, precisions, versions_, exit0)
        stops = (*export.free, *segments[names[0]])
        served_steps(stored.policy, export.site, stops)
        return export

    @property
    def first(self) -> str:
        """The name of the device's tier."""
        return self.deployment.names[0]

    @property
    def free(self) -> tuple[int, ...]:
        """Layer 0, where there is an exit 0."""
        return () if self.exit0 is None else (0,)

    @property
    def site(self) -> Site:
        """The tiers, and every exit of the trained model, as in a replay."""
        return Site(self.deployment, (*self.free, *self.training["exits"]))

    def has_exit0_of(self, manifest: BundleManifest) -> bool:
        """Whether a bundle holds this run's exit 0, or none where the run has none."""
        record = manifest.files.get(f"{self.first}/{EXIT0}")
        if record is None or self.exit0 is None:
            return record is None and self.exit0 is None
        return record.sha256 == file_sha256(self.run.exit0_path)

    def steps(self) -> Steps:
        """The policy at work on its tiers."""
        return self.stored.policy.steps(self.site)

    def records(self) -> tuple[TierRecord, ...]:
        """The tiers as a manifest has them."""
        return tuple(
            TierRecord(**asdict(tier), version=self.versions[tier.name])
            for tier in self.deployment.tiers
        )


def _segments(exits: Sequence[int], first: Tier, looks: Collection[int] | None) -> tuple[int, ...]:
    """Where the first tier's layers are cut: after the exits that may be looked at, and its own.

    Raises:
        ConfigError: a look where the model has no exit before the tier's own.
    """
    last = first.layer
    before = [layer for layer in exits if layer < last]
    for layer in () if looks is None else looks:
        if layer not in (*before, last):
            raise ConfigError(
                f"{option('looks')}: the {first.name} can stop at the exits "
                f"{', '.join(map(str, (*before, last)))} of this run, got {layer}"
            )
    return (*(layer for layer in before if looks is None or layer in looks), last)
