"""A Triton model repository of every tier of a bundle but the first, each a model of its name.

::

    edge/config.pbtxt
    edge/VERSION/model.onnx      and model.py, for the Python backend
    cloud/VERSION/model.onnx     and model.py and tokenizer.json, where the tier takes texts

The version folder is the tier's own version, so that a mobile asks Triton for exactly the model
that it was exported with.

A tier that takes texts always has the Python backend, which tokenises them as ``dimec serve`` does
and then runs the same graph; the Python environment of Triton needs ``tokenizers`` for it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Literal

from dimec.base.errors import ConfigError
from dimec.base.storage_folders import atomic_folder
from dimec.bundle.folders import TierBundle, verify_bundle
from dimec.bundle.manifest import TierManifest
from dimec.protocol import PAIR, TEXT

Backend = Literal["onnxruntime", "python"]
BACKENDS: tuple[Backend, ...] = ("onnxruntime", "python")
_LARGEST_BATCH = 64
_LIMITS = ("vocabulary", "max_tokens")  # the parameters of each model, which are ours alone


def write_triton_repository(
    bundle: Path | str,
    out: Path | str,
    *,
    backend: Backend = "onnxruntime",
    instances: int = 1,
    overwrite: bool = False,
) -> Path:
    """Write a model repository that Triton serves as it is; returns its path.

    It takes its place all at once, at the end.

    Args:
        bundle: a whole bundle.
        out: the folder to write: it must not exist, or be empty.
        backend: ``"onnxruntime"`` for Triton's usual builds. ``"python"`` runs the same graph by
            the onnxruntime of Triton's Python environment, for builds without that backend. A
            tier that takes texts has it in either case.
        instances: how many copies of each model run side by side. Texts differ in length, and a
            padded batch of them costs more than it saves on a processor: one instance a core
            serves best, and Triton is not asked to batch by itself.
        overwrite: replace the repository of a bundle that is there.

    Raises:
        ConfigError: an unknown backend, no instance, a bundle of the device alone, or ``out`` is
            not empty.
        ArtefactError: the bundle is not sound.
        StorageError: the disk is full or refuses to write.
    """
    out = Path(out)
    check_repository(out, backend=backend, instances=instances, overwrite=overwrite)
    manifest, tiers = verify_bundle(bundle)
    served = check_served(manifest.names)
    with atomic_folder(out) as folder:
        for name in served:
            _write_model(tiers[name], folder / name, backend, instances)
    return out


def check_repository(
    out: Path | str, *, backend: str, instances: int, overwrite: bool = False
) -> None:
    """Refuse what :func:`write_triton_repository` would refuse, before anything slow begins.

    Raises:
        ConfigError: see there.
    """
    out = Path(out)
    if backend not in BACKENDS:
        raise ConfigError(f"expected the backend {' or '.join(BACKENDS)}, got {backend!r}")
    if instances < 1:
        raise ConfigError(f"expected at least one instance, got {instances}")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not overwrite:
        raise ConfigError(
            f"{out} is not empty; name a new folder for the Triton repository, or replace the one "
            "that is there with --overwrite"
        )
    names = {path.name for path in out.iterdir()} if out.is_dir() else {out.name}
    if not all(_is_model(out / name) for name in names):
        raise ConfigError(
            f"{out} holds something that is no Triton repository of a bundle; name another folder"
        )


def check_served(names: Sequence[str]) -> tuple[str, ...]:
    """The tiers that servers run: all of these but the first, which is the device.

    Raises:
        ConfigError: there is no other.
    """
    if len(names) < 2:
        raise ConfigError(
            f"the bundle has one tier, {names[0]}, the device itself; there is no model to serve"
        )
    return tuple(names[1:])


def _is_model(folder: Path) -> bool:
    """Whether a folder is a model as :func:`write_triton_repository` writes them, of any tier."""
    try:
        config = (folder / "config.pbtxt").read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return f'name: "{folder.name}"' in config and all(f'key: "{key}"' in config for key in _LIMITS)


def model_config(manifest: TierManifest, backend: Backend, instances: int) -> str:
    """``config.pbtxt`` of a tier: Triton's ModelConfig in protocol buffer text form."""
    names: tuple[str, ...] = manifest.inputs
    type_, size = "TYPE_INT64", -1
    limits = {name: getattr(manifest, name) for name in _LIMITS}
    if manifest.takes == "text":
        names = (TEXT, PAIR) if manifest.pairs else (TEXT,)
        type_, size = "TYPE_STRING", 1
        limits["padding"] = manifest.padding
    inputs = ",\n".join(
        f'  {{ name: "{name}" data_type: {type_} dims: [ {size} ] }}' for name in names
    )
    parameters = "\n".join(
        f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}'
        for key, value in limits.items()
    )
    return f"""\
name: "{manifest.tier}"
backend: "{backend}"
max_batch_size: {_LARGEST_BATCH}
version_policy: {{ specific: {{ versions: [ {manifest.version} ] }} }}
input [
{inputs}
]
output [
  {{ name: "probabilities" data_type: TYPE_FP32 dims: [ {len(manifest.labels)} ] }}
]
instance_group [ {{ count: {instances} kind: KIND_CPU }} ]
{parameters}
"""


def _write_model(tier: TierBundle, folder: Path, backend: Backend, instances: int) -> None:
    if tier.manifest.takes == "text":
        backend = "python"
    place = folder / tier.manifest.version
    place.mkdir(parents=True)
    for name in tier.manifest.files:
        shutil.copyfile(tier.file(name), place / name)
    if backend == "python":
        source = files("dimec.bundle").joinpath("triton_model.py.txt").read_text("utf-8")
        (place / "model.py").write_text(source, "utf-8")
    # Last: without it Triton serves nothing.
    config = model_config(tier.manifest, backend, instances)
    (folder / "config.pbtxt").write_text(config, "utf-8")
