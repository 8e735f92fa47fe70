"""``dimec export``: a fitted run to a bundle, one folder a tier."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from dimec.base.errors import ArtefactError, ConfigError
from dimec.base.progress import NoProgress, Progress
from dimec.base.storage import atomic_write, file_sha256
from dimec.base.storage_folders import atomic_folder
from dimec.bundle.exit0 import EXIT0
from dimec.bundle.folders import file_records, verify_bundle, write_manifest
from dimec.bundle.footprint import Footprint, measure_footprint
from dimec.bundle.graphs import MASK
from dimec.bundle.manifest import (
    MANIFEST,
    BundleManifest,
    FileRecord,
    Precision,
    TierManifest,
    graph_names,
)
from dimec.bundle.tokens import check_rules
from dimec.bundle.triton import Backend, check_repository, check_served, write_triton_repository
from dimec.policies.kinds import POLICY
from dimec.runs.workspace import RunDirectory
from dimec.training.checks import check_vocabulary
from dimec.training.encoders import token_limit
from dimec.training.export.cuts import (
    cut_embeddings,
    cut_segments,
    cut_tier,
    save_graph,
    save_graphs,
)
from dimec.training.export.graphs import require_exporter, trace_graph
from dimec.training.export.parity import Reference, check_tier, check_tokenizer, make_reference
from dimec.training.export.parity_rows import load_rows
from dimec.training.export.plan import Export
from dimec.training.export.quantise import quantise_graph
from dimec.training.export.verdict import Parity, require_parity
from dimec.training.finish import versions
from dimec.training.prepare import load_tokenizer
from dimec.training.ready import load_model

# What a bundle tells of its training: the exits, because a policy may ask for any of them.
_TRAINED = ("model", "task", "source", "backbone", "exits")
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


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
    """

    path: Path
    tiers: tuple[TierReport, ...]
    reused: bool
    triton: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        record = asdict(self)
        return record | {"path": str(self.path), "triton": self.triton and str(self.triton)}


def export_run(
    run: RunDirectory,
    out: Path | str,
    *,
    int8: Collection[str] = (),
    looks: Collection[int] | None = None,
    triton: Path | str | None = None,
    triton_backend: Backend = "onnxruntime",
    triton_instances: int = 1,
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
        force: take an int8 tier also where it is not shown to agree, see :func:`require_parity`.
        overwrite: replace the bundle, and the repository, that is there.
        progress: where to report to.

    Raises:
        ConfigError: an unknown tier, a look where the first has no exit, a policy that cannot be
            served, tiers of several models, an encoder or a tokenizer that cannot be exported, a
            repository of no tier, or a folder that holds something else.
        ArtefactError: the run is not fitted, or damaged.
        DataError, MismatchError: a run of an earlier version, whose data is gone or has changed.
        ParityError: a graph does not answer as the trained model does.
        MissingExtraError: onnx or onnxscript is not installed.
        RunBusyError: another process works in the run, or writes the same bundle.
        StorageError: the disk is full or refuses to write; what was there is left as it was.
    """
    progress, out = progress or NoProgress(), Path(out)
    if triton is not None:
        check_repository(
            triton, backend=triton_backend, instances=triton_instances, overwrite=overwrite
        )
    require_exporter()
    with run.locked():
        export = Export.of(run, int8, looks)
        if triton is not None:
            check_served(export.deployment.names)
        reused = _claim(out, export, overwrite)
        if reused:
            progress.say(f"{out} is exported already, using it as it is")
        else:
            with atomic_folder(out) as folder:
                _write_bundle(export, folder, force, progress)
    made = None
    if triton is not None:
        made = write_triton_repository(
            out,
            triton,
            backend=triton_backend,
            instances=triton_instances,
            overwrite=overwrite,
        )
    return ExportReport(out, _tier_reports(out, progress), reused, made)


def _claim(out: Path, export: Export, overwrite: bool) -> bool:
    """Whether ``out`` holds this very bundle already.

    Raises:
        ConfigError: it holds something that is not to be replaced.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    names = {path.name for path in out.iterdir()} if out.is_dir() else {out.name}
    folders = names - {MANIFEST}
    if MANIFEST not in names or not all((out / name / MANIFEST).exists() for name in folders):
        raise ConfigError(f"{out} holds something that is no bundle; name another folder")
    if overwrite:
        return False
    try:
        manifest, tiers = verify_bundle(out)
    except ArtefactError as error:
        raise ConfigError(f"{error}; replace it with --overwrite") from None
    same = (
        manifest.tiers == export.records()
        and {name: tier.manifest.segments for name, tier in tiers.items()} == export.segments
        and manifest.files[f"{export.first}/{POLICY}"].sha256 == file_sha256(export.run.policy_path)
        and export.has_exit0_of(manifest)
        and manifest.provenance.get("packages") == _packages()
        and _recorded_parity(manifest).keys() == set(export.versions)
    )
    if not same:
        raise ConfigError(
            f"{out} holds another bundle (of another run, fit, precision, looks or version of a "
            "package); name another folder, or replace it with --overwrite"
        )
    return True


def _write_bundle(export: Export, folder: Path, force: bool, progress: Progress) -> None:
    """Graphs, tokenizer, policy and manifests, checked against the trained model."""
    run = export.run
    wanted = run.settings().model.max_tokens
    rows = load_rows(run, wanted)
    tokenizer = load_tokenizer(str(run.model_path))
    model = load_model(run.model_path, attn_implementation="eager").eval()
    check_vocabulary(model, tokenizer)
    # Training's limit, or the encoder's, if that is less.
    max_tokens = token_limit(model.encoder, wanted)
    reference = make_reference(
        model, tokenizer, rows, max_tokens, export.steps(), progress, export.exit0
    )
    inputs = _inputs(reference, rows.pairs is not None)
    shape = {
        "labels": model.label_names,
        "vocabulary": model.encoder.get_input_embeddings().num_embeddings,
        "width": model.config.encoder.hidden_size,
        "max_tokens": max_tokens,
        "padding": tokenizer.pad_token_id,
        "pairs": rows.pairs is not None,
        "inputs": inputs,
    }
    progress.say("exporting the graphs")
    _write_graphs(export, folder, trace_graph(model, inputs, max_tokens), inputs)
    first = folder / export.first
    _write_tokenizer(tokenizer, max_tokens, first / "tokenizer.json")
    check_tokenizer(first / "tokenizer.json", reference)
    export.stored.save(first)
    if export.exit0 is not None:
        shutil.copyfile(run.exit0_path, first / EXIT0)
    parities = {}
    for tier, exit_ in zip(export.deployment.names, export.deployment.exits, strict=True):
        precision, segments = export.precisions[tier], export.segments[tier]
        parities[tier] = check_tier(folder / tier, exit_, segments, precision, reference, progress)
        require_parity(tier, precision, parities[tier], force)
    _write_manifests(export, folder, shape, parities)


def _inputs(reference: Reference, pairs: bool) -> list[str]:
    """Names of the graphs' inputs; token types only where they say something."""
    types = reference.encoded.columns.get("token_type_ids")
    told = types is not None and (pairs or bool(types.any()))
    return ["input_ids", MASK, *(["token_type_ids"] if told else [])]


def _write_graphs(export: Export, folder: Path, whole: Any, inputs: list[str]) -> None:
    for tier, exit_ in zip(export.deployment.names, export.deployment.exits, strict=True):
        place, segments = folder / tier, export.segments[tier]
        parts = (
            [cut_embeddings(whole, inputs), *cut_segments(whole, segments).values()]
            if segments
            else [cut_tier(whole, inputs, exit_)]
        )
        if export.precisions[tier] == "int8":
            for part in parts:
                quantise_graph(part)
        place.mkdir(exist_ok=True)
        first, *others = (place / name for name in graph_names(segments))
        save_graph(parts[0], first)
        save_graphs(dict(zip(others, parts[1:], strict=True)), place / "layers.onnx.data")


def _write_tokenizer(tokenizer: Any, max_tokens: int, path: Path) -> None:
    """The tokenizer as one file, set to cut texts as training does.

    Raises:
        ConfigError: it is of the kind that runs in Python only, or has rules that a device refuses.
    """
    from tokenizers import Tokenizer

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise ConfigError(
            f"{type(tokenizer).__name__} is a tokenizer in Python only, and a device needs a "
            "tokenizer.json; train with the encoder's fast tokenizer"
        )
    copy = Tokenizer.from_str(backend.to_str())
    copy.enable_truncation(
        max_tokens, strategy="longest_first", direction=tokenizer.truncation_side
    )
    check_rules(copy)
    copy.no_padding()
    atomic_write(path, copy.to_str(pretty=True))


def _write_manifests(
    export: Export, folder: Path, shape: Mapping[str, Any], parities: Mapping[str, Parity]
) -> None:
    common: dict[str, Any] = {
        "tiers": export.records(),
        "labels": shape["labels"],
        "provenance": {
            **{name: export.training[name] for name in _TRAINED},
            "parity": {tier: parity.to_dict() for tier, parity in parities.items()},
            "packages": _packages(),
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        },
    }
    files: dict[str, FileRecord] = {}
    for tier in export.deployment.names:
        place = folder / tier
        records = file_records(place)
        manifest = TierManifest(
            tier=tier,
            segments=export.segments[tier],
            precision=export.precisions[tier],
            files=records,
            **{**common, **shape},
        )
        write_manifest(place, manifest)
        records = file_records(place, manifest=True)
        files |= {f"{tier}/{name}": record for name, record in records.items()}
    write_manifest(folder, BundleManifest(files=files, **common))


def _packages() -> dict[str, str]:
    return versions() | {name: version(name) for name in _PACKAGES}


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
