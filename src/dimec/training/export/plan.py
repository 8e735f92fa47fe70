"""What an export is to be: models, tiers, precisions, versions, and where the first tier is cut."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dimec.base.errors import ConfigError, CorruptArtefactError, option
from dimec.base.storage import file_sha256
from dimec.bundle.exit0 import EXIT0, Exit0
from dimec.bundle.manifest import BundleManifest, Precision, Takes, TierRecord, tier_version
from dimec.policies.kinds import StoredPolicy
from dimec.policies.reach import served_steps
from dimec.policies.step import Site, Steps
from dimec.runs.workspace import RunDirectory, fitted_deployment
from dimec.tiers.deployment import Deployment
from dimec.tiers.names import check_tier_names
from dimec.tiers.tier import Tier
from dimec.traces.sources import joint_model
from dimec.training.exit0.run import exit0_of
from dimec.training.finish import model_fingerprint

# What a bundle tells of its training: the exits, because a policy may ask for any of them.
_TOLD = ("model", "task", "source", "backbone", "exits")


@dataclass(frozen=True)
class Part:
    """A trained model, and the tiers that it answers at.

    Attributes:
        run: the directory that it is in: the run itself, or that of a tier with a model of its own.
        training: what its training wrote down.
        tiers: of the deployment, those that it answers at.
    """

    run: RunDirectory
    training: Mapping[str, Any]
    tiers: tuple[Tier, ...]


@dataclass(frozen=True)
class Export:
    """What decides on the content of a bundle, apart from the models themselves.

    Attributes:
        run: what is exported.
        training: what training wrote down of it.
        stored: the fitted policy.
        deployment: the tiers that it was fitted for.
        parts: the models behind the tiers, the first tier's first; one where they share it.
        segments: tier → the layers after which it is cut; none where it runs as a whole.
        precisions: tier → of its weights.
        versions: tier → version of the function that it computes.
        exit0: the classifier on the embedding layer alone; None where the run has none.
    """

    run: RunDirectory
    training: Mapping[str, Any]
    stored: StoredPolicy
    deployment: Deployment
    parts: tuple[Part, ...]
    segments: Mapping[str, tuple[int, ...]]
    precisions: Mapping[str, Precision]
    versions: dict[Any, str] = field(default_factory=dict)
    exit0: Exit0 | None = None

    @classmethod
    def of(cls, run: RunDirectory, int8: Collection[str], looks: Collection[int] | None) -> Export:
        """What a run's export is to be; see :func:`dimec.training.export.bundles.export_run`.

        Raises:
            ConfigError: an unknown tier, a look where the first has no exit, a policy that cannot
                be served or takes steps that the tiers do not have, or tiers of models that the
                run does not have.
            ArtefactError: the run is not fitted, or damaged.
        """
        training, stored = run.training(), run.stored_policy()
        deployment = fitted_deployment(stored)
        parts = parts_of(run, training, deployment)
        names = deployment.names
        check_tier_names(int8, option("int8"), names)
        precisions: dict[str, Precision] = {
            tier: "int8" if tier in int8 else "fp32" for tier in names
        }
        versions = {
            tier.name: tier_version(part.training["model"], tier.layer, precisions[tier.name])
            for part in parts
            for tier in part.tiers
        }
        segments: dict[str, tuple[int, ...]] = dict.fromkeys(names, ())
        segments[names[0]] = _segments(parts[0].training["exits"], deployment.tiers[0], looks)
        exit0 = exit0_of(parts[0].run)
        export = cls(
            run, training, stored, deployment, parts, segments, precisions, versions, exit0
        )
        stops = (*export.free, *segments[names[0]])
        served_steps(stored.policy, export.site, stops)
        return export

    @property
    def first(self) -> str:
        """The name of the device's tier."""
        return self.deployment.names[0]

    @property
    def own(self) -> bool:
        """Whether tiers have models of their own."""
        return "models" in self.training

    @property
    def exit0_path(self) -> Path:
        """Where the run keeps its exit 0, which is of the first tier's model."""
        return self.parts[0].run.exit0_path

    @property
    def free(self) -> tuple[int, ...]:
        """Layer 0, where there is an exit 0."""
        return () if self.exit0 is None else (0,)

    @property
    def site(self) -> Site:
        """The tiers, and every exit of the trained models, as in a replay."""
        exits = (*self.free, *self.training["exits"])
        if not self.own:
            return Site(self.deployment, exits)
        free = (self.deployment.sources[0] for _ in self.free)
        return Site(self.deployment, exits, (*free, *self.training["sources"]))

    def has_exit0_of(self, manifest: BundleManifest) -> bool:
        """Whether a bundle holds this run's exit 0, or none where the run has none."""
        record = manifest.files.get(f"{self.first}/{EXIT0}")
        if record is None or self.exit0 is None:
            return record is None and self.exit0 is None
        return record.sha256 == file_sha256(self.exit0_path)

    def steps(self) -> Steps:
        """The policy at work on its tiers."""
        return self.stored.policy.steps(self.site)

    def records(self, takes: Mapping[str, Takes]) -> tuple[TierRecord, ...]:
        """The tiers as a manifest has them.

        Args:
            takes: tier → what it is sent.
        """
        return tuple(
            TierRecord(**asdict(tier), version=self.versions[tier.name], takes=takes[tier.name])
            for tier in self.deployment.tiers
        )

    def is_of(self, records: Sequence[TierRecord]) -> bool:
        """Whether a bundle's tiers are these; what they are sent follows from their models."""
        same = [record.name for record in records] == list(self.deployment.names)
        return same and tuple(records) == self.records({one.name: one.takes for one in records})

    def provenance(self) -> dict[str, Any]:
        """What a bundle tells of the training of its models."""
        told = {name: self.training[name] for name in _TOLD}
        if self.own:
            told |= {name: self.training[name] for name in ("sources", "models")}
            told["backbones"] = {
                part.tiers[0].source: part.training["backbone"] for part in self.parts
            }
        return told


def parts_of(
    run: RunDirectory, training: Mapping[str, Any], deployment: Deployment
) -> tuple[Part, ...]:
    """The models behind the tiers, each checked to be the one that was trained.

    Raises:
        ConfigError: the policy is for tiers of models that the run does not have, or decides on
            the embeddings of another model than the first tier's.
        CorruptArtefactError: a model is missing or altered.
    """
    runs, sources = run.tier_runs(), tuple(dict.fromkeys(deployment.sources))
    if not runs:
        if len(sources) > 1:
            raise ConfigError(
                f"an export cuts the one model of a run into tiers; the fitted policy in "
                f"{run.path} is for tiers of several: {', '.join(deployment.sources)}"
            )
        _check_model(run, run, training["model"])
        return (Part(run, training, deployment.tiers),)
    models = _models(run, training, tuple(runs))
    if unknown := [source for source in sources if source not in runs]:
        raise ConfigError(
            f"the fitted policy in {run.path} is for a tier of the model {unknown[0]!r}, and the "
            f"run has those of {', '.join(runs)}; fit it again with: dimec fit {run.typed}"
        )
    if sources[0] != next(iter(runs)):
        raise ConfigError(
            f"the fitted policy in {run.path} begins at the tier {deployment.names[0]}, and "
            f"decides on the embeddings of the model of {next(iter(runs))}; fit it to tiers that "
            "begin there"
        )
    parts = []
    for source in sources:
        _check_model(runs[source], run, models[source])
        tiers = tuple(tier for tier in deployment.tiers if tier.source == source)
        parts.append(Part(runs[source], _training_of(runs[source], run, models[source]), tiers))
    return tuple(parts)


def _models(run: RunDirectory, training: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    """The fingerprint of each tier's model, as the run's digest vouches for them."""
    models: Any = training.get("models")
    named = isinstance(models, dict) and tuple(models) == tuple(names)
    if not named or joint_model(models) != training["model"]:
        raise CorruptArtefactError(
            f"{run.training_path} does not name the models of the tiers {', '.join(names)}; train "
            f"again with: dimec train --out {run.typed} --overwrite"
        )
    return dict(models)


def _check_model(folder: RunDirectory, run: RunDirectory, fingerprint: str) -> None:
    """Refuse a model that is not the one that was trained.

    Args:
        folder: the directory that the model is in.
        run: that is to be trained again then.
        fingerprint: of the model that was trained.
    """
    if not folder.model_path.exists() or model_fingerprint(folder.model_path) != fingerprint:
        raise CorruptArtefactError(
            f"the model in {folder.model_path} is missing or altered since it was trained; "
            f"train again with: dimec train --out {run.typed} --overwrite"
        )


def _training_of(folder: RunDirectory, run: RunDirectory, fingerprint: str) -> dict[str, Any]:
    """What training wrote down of a tier's model; arguments as of :func:`_check_model`."""
    if folder.training_path.exists():
        training = folder.training()
        if training["model"] == fingerprint:
            return training
    raise CorruptArtefactError(
        f"{folder.training_path} is missing, or of another model than the tier's; train again "
        f"with: dimec train --out {run.typed} --overwrite"
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
