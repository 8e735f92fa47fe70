"""Push: one commit with all files of a parcel, its listing and its card."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dimec.__about__ import __version__
from dimec.base.errors import ArtefactError, ConfigError, HubError
from dimec.base.progress import NoProgress, Progress
from dimec.base.storage import atomic_write, file_sha256
from dimec.hub.asking import Hub, hub_errors
from dimec.hub.listing import CARD, LARGEST_LISTING, LISTING, Listing, Record
from dimec.hub.names import HubName, is_commit
from dimec.publishing.card import FIGURE, CardOptions, Written, write_card
from dimec.publishing.parcel import Parcel, packed


@dataclass(frozen=True)
class Prepared:
    """What is ready to be pushed.

    Attributes:
        name: where to; a data set of the hub for traces.
        listing: what ``dimec.json`` says.
        files: name on the hub → the file here, listing and card among them.
        card: as it is written.
    """

    name: HubName
    listing: Listing
    files: dict[str, Path]
    card: Written

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.files.values())


@dataclass(frozen=True)
class Pushed:
    """What was pushed: to which name, at the commit that it is now; and whether all may read it."""

    name: HubName
    commit: str
    url: str
    private: bool
    files: int
    bytes: int


@contextmanager
def prepared(
    folder: Path, name: HubName, *, texts: bool = False, card: CardOptions | None = None
) -> Iterator[Prepared]:
    """All that a push would send, while the block lasts; nobody is asked.

    Args:
        folder: a run directory, a bundle, or traces.
        name: where to; its revision, if any, is a branch.
        texts: see :func:`dimec.publishing.packed`.
        card: what the card says that no file knows.

    Raises:
        ConfigError: nothing that can be pushed, or a name that nothing can be pushed to.
        ArtefactError: it is damaged.
    """
    if name.inside:
        raise ConfigError(f"push takes ORG/NAME, without a folder in it, got {name}")
    if name.commit is not None:
        raise ConfigError(f"push to a branch, such as {name.repo}@main, and not to a commit")
    with tempfile.TemporaryDirectory(prefix="dimec-push-") as made:
        workspace = Path(made)
        parcel = packed(folder, workspace / "files", texts=texts)
        target = HubName(name.repo, name.revision, parcel.holds == "traces")
        if name.dataset and not target.dataset:
            raise ConfigError(f"datasets/ is for traces, and {folder} is a {parcel.holds}")
        yield _prepared(parcel, target, workspace, card or CardOptions())


def _prepared(parcel: Parcel, name: HubName, workspace: Path, options: CardOptions) -> Prepared:
    files = dict(parcel.files)
    card = write_card(parcel, name, options)
    if card.figure is not None:
        atomic_write(workspace / FIGURE, card.figure)
        files[FIGURE] = workspace / FIGURE
    records = {
        file: Record(sha256=file_sha256(path), bytes=path.stat().st_size)
        for file, path in sorted(files.items())
    }
    listing = Listing(
        holds=parcel.holds, dimec=__version__, files=records, left_out=parcel.left_out
    )
    text = listing.model_dump_json(indent=1) + "\n"
    # By the very rules that whoever pulls it holds it to.
    Listing.read(text.encode(), f"the listing of {parcel.folder}")
    atomic_write(workspace / LISTING, text)
    atomic_write(workspace / CARD, card.text)
    files |= {LISTING: workspace / LISTING, CARD: workspace / CARD}
    return Prepared(name, listing, files, card)


def push(
    ready: Prepared,
    *,
    private: bool = False,
    token: str | None = None,
    message: str | None = None,
    progress: Progress | None = None,
) -> Pushed:
    """Push what was prepared: one commit, which is there as a whole or not at all.

    Large files that the hub has already, of an earlier push or of one that was broken off, are not
    sent again. Files of an earlier push that are no more are removed.

    Args:
        ready: of :func:`prepared`.
        private: make the repository a private one; one that is there and public is refused.
        token: in place of ``HF_TOKEN`` or of the client's login.
        message: of the commit.
        progress: where to report to.

    Raises:
        HubError: the hub refuses, or does not answer.
        MissingExtraError: the hub's client is not installed.
    """
    progress = progress or NoProgress()
    hub, name = Hub(token), ready.name
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    with hub_errors(name, hub.endpoint):
        # None where it is not asked for: one that is there stays as it is.
        hub.api.create_repo(name.repo, private=private or None, repo_type=name.kind, exist_ok=True)
        found = hub.api.repo_info(name.repo, repo_type=name.kind)
        if private and not found.private:
            raise HubError(
                f"{name.repo} is there already and public, so nothing was pushed; make it private "
                "in its settings, or choose another name"
            )
        if name.revision is not None:
            hub.api.create_branch(
                name.repo, branch=name.revision, repo_type=name.kind, exist_ok=True
            )
    gone = sorted(_files_before(hub, name) - ready.files.keys())
    operations: list[Any] = [CommitOperationDelete(path_in_repo=file) for file in gone]
    operations += [
        CommitOperationAdd(path_in_repo=file, path_or_fileobj=path)
        for file, path in ready.files.items()
    ]
    progress.say(f"pushing {len(ready.files)} files, {ready.size / 1e6:,.1f} MB, to {name}")
    with hub_errors(name, hub.endpoint, sending=True), _bars_for_terminals():
        done = hub.api.create_commit(
            name.repo,
            operations,
            commit_message=message or f"Push a {ready.listing.holds} of dimec {__version__}",
            repo_type=name.kind,
            revision=name.wanted,
        )
    if not is_commit(str(done.oid)):
        raise HubError(f"{hub.endpoint} names no commit of {name}; is it a hub?")
    where = "datasets/" if name.dataset else ""
    url = f"{hub.endpoint}/{where}{name.repo}"
    return Pushed(
        name.at(done.oid), done.oid, url, bool(found.private), len(ready.files), ready.size
    )


@contextmanager
def _bars_for_terminals() -> Iterator[None]:
    """The client's bars of what it sends, on a terminal only."""
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if sys.stderr.isatty() or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _files_before(hub: Hub, name: HubName) -> set[str]:
    """Those of an earlier push that are there; what else is there is not dimec's to remove."""
    commit = hub.commit(name)
    said = hub.announced(name, commit, [LISTING]).get(LISTING)
    if said is None or said.bytes > LARGEST_LISTING:
        return set()
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / LISTING
        hub.fetch(name, commit, LISTING, path, said, lambda some: None)
        try:
            listing = Listing.read(path.read_bytes(), str(path))
        except ArtefactError:  # of another version: its files stay
            return set()
    return set(hub.announced(name, commit, list(listing.files)))
