"""Writing a phone folder: programs made of the trained model, the rest taken from the bundle.

The programs are held against the trained model on real texts of the run, by ExecuTorch's runtime on
this machine, and against the bundle's golden vectors, which whoever reads the folder has.
"""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import JsonValue, TypeAdapter

from dimec.base.errors import ArtefactError, ConfigError, ParityError, option
from dimec.base.progress import Progress
from dimec.base.storage import atomic_write, write_json
from dimec.base.storage_folders import atomic_folder
from dimec.bundle.exit0 import EXIT0, Exit0
from dimec.bundle.folders import TierBundle, file_records
from dimec.bundle.golden import Golden, GoldenInput
from dimec.bundle.graphs import HIDDEN, HIDDEN_OUT, MASK
from dimec.bundle.manifest import GOLDEN, MANIFEST, FileRecord, TierManifest
from dimec.bundle.phone import (
    PhoneFolder,
    PhoneManifest,
    ProgramRecord,
    TensorRecord,
    app_folder,
)
from dimec.training.export.cuts import POOLED
from dimec.training.export.parity import Reference, compare, make_reference, parity_of
from dimec.training.export.parity_rows import ParityRows, load_rows
from dimec.training.export.phone.cutting import PhonePart, phone_parts
from dimec.training.export.phone.runtime import (
    PACKAGE,
    PhonePrograms,
    executorch_version,
    lower,
    require_executorch,
)
from dimec.training.export.plan import Export
from dimec.training.export.verdict import TOLERANCE, Parity, require_parity
from dimec.training.export.writing import packages
from dimec.training.model import MultiExitClassifier
from dimec.training.prepare import load_tokenizer
from dimec.training.ready import load_model

_ROWS = 200  # texts of the run: the bundle's graphs were held against the model on all of them


@dataclass(frozen=True)
class PhoneReport:
    """What was written for a phone.

    Attributes:
        path: the folder.
        app: its part that goes into an app.
        bytes: of that part.
        programs: name → bytes.
        parity: of the programs, as they ran on this machine.
        reused: whether the folder stood already, of the same run and settings.
    """

    path: Path
    app: Path
    bytes: int
    programs: Mapping[str, int]
    parity: Parity
    reused: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        whole = asdict(self) | {"parity": self.parity.to_dict()}
        return whole | {"path": str(self.path), "app": str(self.app)}


def check_phone(out: Path, bundle: Path) -> None:
    """Refuse what cannot become a phone folder, before minutes are spent on the bundle.

    Raises:
        ConfigError: the folder holds something else, or is a part of the bundle's.
        MissingExtraError: ExecuTorch is not installed.
    """
    require_executorch()
    if out.absolute() == bundle.absolute() or bundle.absolute() in out.absolute().parents:
        raise ConfigError(
            f"{option('executorch')} {out} lies in the bundle's folder; name a folder of its own"
        )
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise ConfigError(f"{out} is no folder; name another one for the phone")
    if out.is_dir() and any(out.iterdir()) and app_folder(out) is None:
        raise ConfigError(
            f"{out} is there already and is no phone folder of dimec's, so it is left alone; name "
            "another folder"
        )


def check_precision(export: Export) -> None:
    """Refuse weights that the programs would not have.

    Raises:
        ConfigError: the first tier is in int8.
    """
    if export.precisions[export.first] != "fp32":
        raise ConfigError(
            f"{option('executorch')}: a phone's programs are in fp32, and the {export.first} is "
            f"to be in int8; leave {export.first} out of {option('int8')}"
        )


def write_phone(
    export: Export, bundle: Path, out: Path, *, overwrite: bool, progress: Progress
) -> PhoneReport:
    """Write a phone folder, whole or not at all, or take the one that is there.

    Args:
        export: that the bundle is of.
        bundle: the bundle's folder, written.
        out: the folder, checked by :func:`check_phone`.
        overwrite: replace another phone folder that is there.
        progress: where to report to.

    Raises:
        ConfigError: ExecuTorch cannot take the encoder, or another phone folder is there.
        ParityError: a program does not answer as the trained model does.
        ArtefactError: the bundle or the run is damaged.
        StorageError: the disk is full or refuses to write; what was there is left as it was.
    """
    device = TierBundle.open(bundle / export.first, export.first)
    golden = file_records(bundle)[GOLDEN]
    if app_folder(out) is not None and not overwrite:
        return _report(_same(out, device, golden), True)
    with atomic_folder(out) as folder:
        app = folder / export.first
        app.mkdir()
        for name in _kept(device.manifest):
            atomic_write(app / name, device.read(name))
        shutil.copyfile(bundle / GOLDEN, folder / GOLDEN)
        _write_programs(export, device.manifest, golden, folder, progress)
    return _report(PhoneFolder.open(out), False)


def _kept(device: TierManifest) -> list[str]:
    """Files of the device's folder that a phone reads as they are: all but graphs."""
    return [name for name in device.files if name.endswith((".json", ".safetensors"))]


def _same(out: Path, device: TierBundle, golden: FileRecord) -> PhoneFolder:
    """The phone folder that is there.

    Raises:
        ConfigError: it is damaged, or of another bundle.
    """
    try:
        found = PhoneFolder.open(out)
    except ArtefactError as error:
        raise ConfigError(f"{error}; replace it with --overwrite") from None
    has, wanted = found.manifest, device.manifest
    told = ("tiers", "labels", "segments", "max_tokens", "pairs")
    same = (
        all(getattr(has, name) == getattr(wanted, name) for name in told)
        and all(has.files.get(name) == wanted.files[name] for name in _kept(wanted))
        and has.golden == golden
        and has.provenance.get("packages") == _packages()
    )
    if not same:
        raise ConfigError(
            f"{out} holds another phone folder (of another run, fit, looks or version of a "
            "package); name another folder, or replace it with --overwrite"
        )
    return found


def _packages() -> dict[str, JsonValue]:
    """Versions of what the bytes of a phone folder depend on."""
    return {**packages(), PACKAGE: executorch_version()}


def _report(folder: PhoneFolder, reused: bool) -> PhoneReport:
    manifest = folder.manifest
    programs = {one.file: manifest.files[one.file].bytes for one in manifest.programs}
    parity = TypeAdapter(Parity).validate_python(manifest.provenance["parity"])
    return PhoneReport(folder.path, folder.app, folder.bytes, programs, parity, reused)


def _write_programs(
    export: Export, device: TierManifest, golden: FileRecord, folder: Path, progress: Progress
) -> None:
    """Make the programs and the manifest, and hold them against the model and golden vectors."""
    app, part = folder / export.first, export.parts[0]
    rows = _some(load_rows(part.run, part.run.settings().model.max_tokens))
    tokenizer = load_tokenizer(str(part.run.model_path))
    model = load_model(part.run.model_path, attn_implementation="eager").eval()
    if not isinstance(model, MultiExitClassifier):
        raise ConfigError(
            "a classifier that is taken as it is cannot be a phone's; it has no exits"
        )
    exit0 = Exit0.load(app / EXIT0) if device.exit0 else None
    reference = make_reference(
        model, tokenizer, rows, device.max_tokens, export.steps(), progress, exit0
    )
    names = [name for name in device.inputs if name != MASK]
    parts = phone_parts(model, names, device.segments, device.max_tokens)
    progress.start(f"programs of the {export.first}", len(parts))
    programs = []
    for one in parts:
        content, operators = lower(one.program)
        atomic_write(app / one.file, content)
        programs.append(_record(one, operators, device))
        progress.advance(1)
    progress.end()
    manifest = _manifest(export, device, programs, golden, file_records(app))
    parity = _parity(PhonePrograms(app, manifest, exit0), reference, manifest, folder, progress)
    told = {**manifest.provenance, "parity": parity.to_dict()}
    write_json(
        app / MANIFEST, manifest.model_copy(update={"provenance": told}).model_dump(mode="json")
    )


def _some(rows: ParityRows) -> ParityRows:
    """At most so many rows, spread over all."""
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(_ROWS, len(rows))).astype(np.int64))
    pairs = rows.pairs
    return ParityRows([rows.texts[row] for row in chosen], pairs and [pairs[row] for row in chosen])


def _record(part: PhonePart, operators: Sequence[str], device: TierManifest) -> ProgramRecord:
    """What the manifest says of a program."""
    shapes: dict[str, tuple[Any, ...]] = dict.fromkeys(part.inputs, (1, "tokens"))
    shapes |= dict.fromkeys((HIDDEN, HIDDEN_OUT), (1, "tokens", device.width))
    shapes |= {POOLED: (1, device.width)}

    def tensor(name: str) -> TensorRecord:
        shape = shapes.get(name, (1, len(device.labels)))
        dtype: Any = "int64" if name in device.inputs else "float32"
        return TensorRecord(name=name, dtype=dtype, shape=shape)

    return ProgramRecord(
        file=part.file,
        start=part.start,
        stop=part.stop,
        inputs=tuple(map(tensor, part.inputs)),
        outputs=tuple(map(tensor, part.outputs)),
        operators=tuple(operators),
    )


def _manifest(
    export: Export,
    device: TierManifest,
    programs: Sequence[ProgramRecord],
    golden: FileRecord,
    files: Mapping[str, FileRecord],
) -> PhoneManifest:
    """The manifest, before its parity is known."""
    inputs: Any = tuple(name for name in device.inputs if name != MASK)
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    return PhoneManifest(
        runtime=executorch_version(),
        tier=export.first,
        tiers=device.tiers,
        labels=device.labels,
        inputs=inputs,
        vocabulary=device.vocabulary,
        max_tokens=device.max_tokens,
        pairs=device.pairs,
        width=device.width,
        segments=device.segments,
        programs=tuple(programs),
        provenance={**device.provenance, "packages": _packages(), "date": date},
        files=dict(files),
        golden=golden,
    )


def _parity(
    programs: PhonePrograms,
    reference: Reference,
    manifest: PhoneManifest,
    folder: Path,
    progress: Progress,
) -> Parity:
    """How far the programs are from the trained model, once that and golden vectors will do.

    Raises:
        ParityError: they are further than 1e-4.
    """
    golden, tier = Golden.load(folder), manifest.tier
    rows = [np.array([row]) for row in range(len(reference.encoded))]
    progress.start(f"parity of the {tier}'s programs", len(rows) + len(golden.inputs))
    parity = parity_of([compare(programs, reference, rows, progress)], reference)
    require_parity(f"{tier} (ExecuTorch)", "fp32", parity, False)
    for given in golden.inputs:
        if (worst := _from_golden(programs, given, tier)) > TOLERANCE or np.isnan(worst):
            raise ParityError(
                f"the programs of the {tier} differ by {worst:.1e} from the golden vector of kind "
                f"{given.of} with {len(given.input_ids)} tokens, expected at most "
                f"{TOLERANCE:.0e}; this is an error of the export, not of the run"
            )
        progress.advance(1)
    progress.end()
    return parity


def _from_golden(programs: PhonePrograms, given: GoldenInput, tier: str) -> float:
    """The largest difference from a golden vector: of the embedding, and at the tier's exits."""
    inputs = {"input_ids": np.array([given.input_ids], np.int64)}
    if given.token_type_ids is not None:
        inputs["token_type_ids"] = np.array([given.token_type_ids], np.int64)
    answers, pooled = programs(inputs)
    said = dict(zip(programs.exits, (row[0] for row in answers), strict=True))
    if programs.exit0 is not None:
        said[0] = programs.exit0.one(inputs["input_ids"][0], pooled[0])
    wanted = {each.layer: each.probabilities for each in given.exits if each.tier == tier}
    both = [(said[layer], row) for layer, row in wanted.items()]
    both.append((pooled[0], given.embedding))
    # numpy's, for which what is not a number is the largest.
    return float(np.max([np.abs(got - np.array(row, np.float32)).max() for got, row in both]))
