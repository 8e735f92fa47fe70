"""One private copy of a tier's folder, for all processes of a server.

All map the same files, so weights that they map are in memory once. A process that takes the place
of a dead one loads what the others have, whatever became of the bundle on the disk meanwhile.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Self

from dimec.base.errors import ConfigError, option
from dimec.base.held import Held, held_copy
from dimec.bundle.folders import TierBundle, write_manifest


class Copy:
    """A private copy of a tier's folder; its files go with :meth:`close`.

    Attributes:
        original: what it was made of.
        path: its folder.

    Args:
        bundle: of the tier.

    Raises:
        CorruptArtefactError: a file is no longer what the manifest says.
        ConfigError: no disk has room for it.
    """

    def __init__(self, bundle: TierBundle) -> None:
        self.original = bundle
        self._kept = ExitStack()
        digests = {name: record.sha256 for name, record in bundle.manifest.files.items()}
        held = self._kept.enter_context(held_copy(bundle.path, digests))
        if held.memory is not None:
            self._kept.close()
            raise ConfigError(
                f"several processes need a private copy of {bundle.path} ({bundle.size:,} bytes), "
                f"and neither the folder for temporary files nor /dev/shm has room; name another "
                f"by TMPDIR, or give {option('workers')} 1"
            )
        self.path = held.folder
        write_manifest(self.path, bundle.manifest)

    @classmethod
    def of_disk(cls, bundle: TierBundle) -> Self:
        """Of what is now where a bundle was read; it must be of the same tier.

        Raises:
            ArtefactError: what is there is not what it must be.
        """
        return cls(TierBundle.open(bundle.path, bundle.manifest.tier))

    def close(self) -> None:
        """Remove it; who has mapped its files keeps them."""
        self._kept.close()


class CopiedBundle(TierBundle):
    """A tier's bundle that is a private copy already."""

    def hold(self) -> AbstractContextManager[Held]:
        """The folder itself: nobody changes it."""
        return nullcontext(Held(Path(self.path)))
