"""Whether a bundle on the disk is still the one that is served."""

from __future__ import annotations

from pathlib import Path

from dimec.base.errors import DimecError
from dimec.bundle.folders import TierBundle
from dimec.bundle.manifest import MANIFEST

LOOK = 1.0  # seconds between two looks at the files

Stamps = dict[str, tuple[int, ...] | None]


def stamps(bundle: TierBundle) -> Stamps:
    """What tells whether a file of a bundle was written to or replaced."""

    def stamp(path: Path) -> tuple[int, ...] | None:
        try:
            told = path.stat()
        except OSError:
            return None
        return told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns

    return {name: stamp(bundle.path / name) for name in (MANIFEST, *bundle.manifest.files)}


def difference(bundle: TierBundle) -> str | None:
    """What is different on the disk; None where nothing is."""
    try:
        there = TierBundle.open(bundle.path, bundle.manifest.tier)
    except DimecError as error:
        return str(error)
    if there.manifest == bundle.manifest:
        return None
    return f"version {there.manifest.version} is there; SIGHUP takes it"
