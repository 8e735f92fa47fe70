"""``dimec export``: a fitted run to a bundle, one folder a tier."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from dimec.base.errors import ArtefactError, ConfigError
from dimec.base.progress import NoProgress, Progress
from dimec.base.storage import file_sha256
from dimec.base.storage_folders import atomic_folder
from dimec.bundle.folders import verify_bundle
from dimec.bundle.footprint import Footprint, measure_footprint
from dimec.bundle.manifest import (
    GOLDEN,
    MANIFEST,
    BundleManifest,
    Precision,
    TierManifest,
)
from dimec.bundle.triton import Backend, check_repository, check_served, write_triton_repository
from dimec.policies.kinds import POLICY
from dimec.runs.workspace import RunDirectory
from dimec.training.export.graphs import require_exporter
from dimec.training.export.phone.writing import (
    PhoneReport,
    check_phone,
    check_precision,
    write_phone,
)
from dimec.training.export.plan import Export
from dimec.training.export.verdict import Parity
from dimec.training.export.writing import packages, write_bundle


@dataclass(frozen=True)
class TierReport:
    """One tier of an exported bundle, and what it takes on this machine.

    ``segments``: the layers after which its layers are cut; none where they run as a whole.
    """

    tier: str
    exit: int
    segments: tuple[int, ...]
    precision: Precision
    version: str
    disk_bytes: int
    parity: Parity
    footprint: Footprint


@dataclass(frozen=True)
class ExportReport:
    """What an export made.

    Attributes:
        path: the bundle.
        tiers: from the device on.
        reused: whether the bundle stood already, of the same run and settings.
        triton: the Triton model repository, if one was asked for.
        phone: the first tier's programs for a phone, if they were asked for.
    """

    path: Path
    tiers: tuple[TierReport, ...]
    reused: bool
    triton: Path | None = None
    phone: PhoneReport | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        record = asdict(self)
        phone = self.phone and self.phone.to_dict()
        places = {"path": str(self.path), "triton": self.triton and str(self.triton)}
        return record | places | {"phone": phone}


def export_run(
    run: RunDirectory,
    out: Path | str,
    *,
    int8: Collection[str] = (),
    looks: Collection[int] | None = None,
    triton: Path | str | None = None,
    triton_backend: Backend = "onnxruntime",
    triton_instances: int = 1,
    executorch: Path | str | None = None,
    force: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ExportReport:
    """Export a fitted run to a bundle, after its graphs have answered as the trained model does.

    The bundle takes its place all at once, at the end. One that stands there already is taken as
    it is if it is of the same run, fit and precision; any other is replaced only with
    ``overwrite``.

    Args:
        run: trained and fitted.
        out: the folder to write: it must not exist, be empty, or hold a bundle.
        int8: tiers with 8-bit weights; the others get fp32.
        looks: exits before the first tier's own at which a policy may stop, and at which its
            layers are cut; all of the model's by default.
        triton: where to write a Triton model repository of every tier but the first as well.
        triton_backend, triton_instances: see :func:`dimec.bundle.triton.write_triton_repository`.
        executorch: where to write the first tier's programs for a phone as well, see
            :mod:`dimec.bundle.phone`.
        force: take an int8 tier also where it is not shown to agree, see :func:`require_parity`.
        overwrite: replace the bundle, the repository, and the phone's folder, that are there.
        progress: where to report to.

    Raises:
        ConfigError: an unknown tier, a look where the first has no exit, a policy that cannot be
            served, tiers of models that the run lacks, models of other classes, an encoder or a
            tokenizer that cannot be exported, a repository of no tier, or a folder that holds
            something else.
        ArtefactError: the run is not fitted, or damaged.
        DataError, MismatchError: a run of an earlier version, whose data is gone or has changed.
        ParityError: a graph does not answer as the trained model does.
        MissingExtraError: onnx, onnxscript or, for a phone, executorch is not installed.
        RunBusyError: another process works in the run, or writes the same bundle.
        StorageError: the disk is full or refuses to write; what was there is left as it was.
    """
    progress, out = progress or NoProgress(), Path(out)
    if triton is not None:
        check_repository(
            triton, backend=triton_backend, instances=triton_instances, overwrite=overwrite
        )
    require_exporter()
    if executorch is not None:
        check_phone(Path(executorch), out)
    with run.locked():
        export = Export.of(run, int8, looks)
        if executorch is not None:
            check_precision(export)
        if triton is not None:
            check_served(export.deployment.names)
        reused = _claim(out, export, overwrite)
        if reused:
            progress.say(f"{out} is exported already, using it as it is")
        else:
            with atomic_folder(out) as folder:
                write_bundle(export, folder, force, progress)
        phone = None
        if executorch is not None:
            phone = write_phone(
                export, out, Path(executorch), overwrite=overwrite, progress=progress
            )
    made = None
    if triton is not None:
        made = write_triton_repository(
            out,
            triton,
            backend=triton_backend,
            instances=triton_instances,
            overwrite=overwrite,
        )
    return ExportReport(out, _tier_reports(out, progress), reused, made, phone)


def _claim(out: Path, export: Export, overwrite: bool) -> bool:
    """Whether ``out`` holds this very bundle already.

    Raises:
        ConfigError: it holds something that is not to be replaced.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    names = {path.name for path in out.iterdir()} if out.is_dir() else {out.name}
    folders = names - {MANIFEST, GOLDEN}
    if MANIFEST not in names or not all((out / name / MANIFEST).exists() for name in folders):
        raise ConfigError(f"{out} holds something that is no bundle; name another folder")
    if overwrite:
        return False
    try:
        manifest, tiers = verify_bundle(out)
    except ArtefactError as error:
        raise ConfigError(f"{error}; replace it with --overwrite") from None
    same = (
        export.is_of(manifest.tiers)
        and {name: tier.manifest.segments for name, tier in tiers.items()} == export.segments
        and manifest.files[f"{export.first}/{POLICY}"].sha256 == file_sha256(export.run.policy_path)
        and export.has_exit0_of(manifest)
        and manifest.provenance.get("packages") == packages()
        and GOLDEN in manifest.files
        and _recorded_parity(manifest).keys() == set(export.versions)
    )
    if not same:
        raise ConfigError(
            f"{out} holds another bundle (of another run, fit, precision, looks or version of a "
            "package); name another folder, or replace it with --overwrite"
        )
    return True


def _recorded_parity(manifest: BundleManifest | TierManifest) -> dict[str, Parity]:
    """What was measured when the bundle was made; nothing where that is not to be read."""
    try:
        return TypeAdapter(dict[str, Parity]).validate_python(manifest.provenance.get("parity"))
    except ValidationError:
        return {}


def _tier_reports(out: Path, progress: Progress) -> tuple[TierReport, ...]:
    """Every tier as it stands in its folder, loaded once in a process of its own."""
    tiers = verify_bundle(out)[1]
    progress.start("loading each tier in a new process", len(tiers))
    reports = []
    for tier, bundle in tiers.items():
        manifest = bundle.manifest
        reports.append(
            TierReport(
                tier,
                manifest.exit,
                manifest.segments,
                manifest.precision,
                manifest.version,
                bundle.size,
                _recorded_parity(manifest)[tier],
                measure_footprint(bundle.path),
            )
        )
        progress.advance(1)
    progress.end()
    return tuple(reports)
