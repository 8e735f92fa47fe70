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
from dimec.base.progress import Progress
from dimec.base.storage import atomic_write
from dimec.hub.asking import Hub
from dimec.hub.listing import ORIGIN
from dimec.hub.names import PREFIX, HubName, is_commit
from dimec.hub.pulling import pull


def is_on_hub(place: Path | str) -> bool:
    """Whether it is a name on the hub, and no path.

    Example:
        >>> is_on_hub("hub:me/reviews"), is_on_hub("bundles/mine")
        (True, False)
    """
    return _text(place).startswith(PREFIX)


def local_folder(place: Path | str, progress: Progress | None = None) -> Path:
    """The folder of what a path or ``hub:ORG/NAME[/TIER][@REVISION]`` names.

    Args:
        place: of a path nothing is asked and nothing is looked at.
        progress: where a pull reports to.

    Raises:
        DimecError: the name is none, or cannot be had; see :func:`dimec.hub.pull`.

    Example:
        >>> str(local_folder("bundles/mine"))
        'bundles/mine'
    """
    if not is_on_hub(place):
        return Path(place)
    name = HubName.parse(_text(place))
    folder = _have(name, progress)
    if name.inside and not (folder / name.inside).is_dir():
        there = sorted(one.name for one in folder.iterdir() if one.is_dir())
        raise ConfigError(
            f"{name.repo} has no folder {name.inside}; name one of {', '.join(there)}, or none"
        )
    return folder / name.inside if name.inside else folder


def _text(place: Path | str) -> str:
    return place.as_posix() if isinstance(place, Path) else place


def _have(name: HubName, progress: Progress | None) -> Path:
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
        pull(HubName(name.repo, commit, name.dataset), folder, progress=progress)
    atomic_write(ref, f"{commit}\n")
    return folder
