"""What was opened by its hub name before: kept in the cache, and used without asking again.

``CACHE/hub/ORG--NAME/COMMIT`` holds what was pulled, and ``refs/REVISION`` beside it the commit
that a branch or tag stood for when it was last asked for. A name that is pinned to a commit is
asked for once; where the hub cannot be reached, any other means what it meant then.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from dimec.base.cache import cache_folder
from dimec.base.errors import ConfigError, HubUnreachableError
from dimec.base.storage import atomic_write
from dimec.hub.asking import Hub
from dimec.hub.listing import ORIGIN
from dimec.hub.names import PREFIX, HubName, is_commit
from dimec.hub.pulling import pull


def local_folder(place: Path | str) -> Path:
    """The folder of what a path or ``hub:ORG/NAME[/TIER][@REVISION]`` names.

    Args:
        place: of a path nothing is asked and nothing is looked at.

    Raises:
        DimecError: the name is none, or cannot be had; see :func:`dimec.hub.pull`.

    Example:
        >>> str(local_folder("bundles/mine"))
        'bundles/mine'
    """
    text = place.as_posix() if isinstance(place, Path) else place
    if not text.startswith(PREFIX):
        return Path(place)
    name = HubName.parse(text)
    folder = _have(name)
    if name.inside and not (folder / name.inside).is_dir():
        raise ConfigError(f"{name.repo} has no folder {name.inside}")
    return folder / name.inside if name.inside else folder


def _have(name: HubName) -> Path:
    """The folder in the cache, filled where it is not there yet."""
    kind = "datasets--" if name.dataset else ""
    home = cache_folder() / "hub" / f"{kind}{name.repo.replace('/', '--')}"
    if name.commit is not None and (home / name.commit / ORIGIN).is_file():
        return home / name.commit
    ref = home / "refs" / quote(name.wanted, safe="")
    try:
        commit = Hub().commit(name)
    except HubUnreachableError:
        commit = ref.read_text("utf-8").strip() if ref.is_file() else ""
        if not is_commit(commit) or not (home / commit / ORIGIN).is_file():
            raise
        return home / commit
    folder = home / commit
    if not (folder / ORIGIN).is_file():
        pull(HubName(name.repo, commit, name.dataset), folder)
    atomic_write(ref, f"{commit}\n")
    return folder
