"""What is pushed of a bundle: the same tiers, in manifests that name nothing of this machine."""

from __future__ import annotations

from pathlib import Path

from dimec.base.storage import file_sha256
from dimec.bundle.folders import verify_bundle, write_manifest
from dimec.bundle.manifest import GOLDEN, MANIFEST, FileRecord, TierManifest
from dimec.publishing.of_run import Files
from dimec.publishing.private import cleaned, without_paths

_VOCABULARY = "tokenizer.json"  # words; any of them may look like a path


def bundle_files(folder: Path, workspace: Path, texts: bool) -> Files:
    """Name on the hub → file, of a whole bundle that is checked; and what is left out.

    Args:
        folder: the bundle.
        workspace: where files go that are written anew.
        texts: whether to take along the golden vectors, whose inputs are texts of the user's rows.

    Raises:
        ArtefactError: the bundle is not whole or not sound.
    """
    manifest, tiers = verify_bundle(folder)
    files: dict[str, Path] = {}
    records = dict(manifest.files)
    for tier, bundle in tiers.items():
        own = dict(bundle.manifest.files)
        for name in own:
            path = bundle.file(name)
            new = path if name == _VOCABULARY else cleaned(path, workspace / tier / name, {})
            files[f"{tier}/{name}"] = new
            if new != path:
                own[name] = records[f"{tier}/{name}"] = _record(new)
        files[f"{tier}/{MANIFEST}"] = path = _manifest_of(bundle.manifest, own, workspace / tier)
        records[f"{tier}/{MANIFEST}"] = _record(path)
    left_out = {}
    if GOLDEN in records:
        if texts:
            files[GOLDEN] = folder / GOLDEN
        else:
            del records[GOLDEN]
            left_out[GOLDEN] = "holds texts of your rows; --texts takes it along"
    whole = manifest.model_copy(
        update={"files": records, "provenance": without_paths(manifest.provenance)}
    )
    write_manifest(workspace, whole)
    files[MANIFEST] = workspace / MANIFEST
    known = {name.partition("/")[0] for name in files} | left_out.keys()
    for path in sorted(folder.iterdir()):
        if path.name not in known and not path.name.startswith("."):
            left_out[path.name] = "its manifest does not name it"
    return files, left_out


def _record(path: Path) -> FileRecord:
    return FileRecord(sha256=file_sha256(path), bytes=path.stat().st_size)


def _manifest_of(manifest: TierManifest, files: dict[str, FileRecord], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    provenance = without_paths(manifest.provenance)
    write_manifest(folder, manifest.model_copy(update={"files": files, "provenance": provenance}))
    return folder / MANIFEST
