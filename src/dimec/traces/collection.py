"""The trace collection: what models said of known tasks, by name, for anyone to replay.

A collection is a folder of ``TASK/MODEL-RECIPE/SEED/``, each with ``validation.safetensors`` and
``test.safetensors`` in their compact form and ``card.json`` (:class:`dimec.traces.card.Card`).
``TASK/MODEL-RECIPE/SEED`` is the name of such traces, and with ``/validation`` or ``/test`` behind
it that of one trace. The text of the samples is not there.

Where it is: the folder or the address in ``DIMEC_TRACES``, else ``traces/`` of the checkout that
dimec runs from. What comes from an address is checked against ``index.json``, which has the digest
of every card as a card has those of its files, and kept in the cache.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

from dimec.base.errors import (
    ConfigError,
    CorruptArtefactError,
    MismatchError,
    MissingArtefactError,
    quoted,
    shown,
)
from dimec.base.storage import expanded, file_sha256, read_json, write_json
from dimec.traces.card import FILE, SPLITS, Card, exit_name
from dimec.traces.compact import load_compact, save_compact
from dimec.traces.trace import Trace

VARIABLE = "DIMEC_TRACES"
INDEX = "index.json"
MADE_BY = "dimec reproduce traces"
CHECKOUT = Path(__file__).resolve().parents[3] / "traces"


class Source(Protocol):
    """Where the files of a collection come from."""

    @property
    def told(self) -> str:
        """What a reader calls it."""

    def names(self) -> tuple[str, ...]:
        """Of all traces in it, in alphabetical order."""

    def folder(self, name: str) -> Path:
        """The folder with the card of the traces of a name that is in :meth:`names`."""

    def file(self, folder: Path, name: str, sha256: str) -> Path:
        """A file of that folder; whether it has the digest, the caller checks."""


@dataclass(frozen=True)
class Folder:
    """A collection in a folder."""

    path: Path

    @property
    def told(self) -> str:
        return str(self.path)

    def names(self) -> tuple[str, ...]:
        cards = self.path.glob(f"*/*/*/{FILE}")
        return tuple(sorted(card.parent.relative_to(self.path).as_posix() for card in cards))

    def folder(self, name: str) -> Path:
        return self.path / name

    def file(self, folder: Path, name: str, sha256: str) -> Path:
        return folder / name


@dataclass(frozen=True, eq=False)
class Entry:
    """The traces of one training: of its validation and its test split.

    Attributes:
        name: in the collection; of a folder outside it, its path.
        folder: with the card.
        card: what made them.
        source: where files come from.
    """

    name: str
    folder: Path
    card: Card
    source: Source

    def trace(self, split: str) -> Trace:
        """The trace of ``validation`` or ``test``, checked against the card.

        Raises:
            ConfigError: another split.
            ArtefactError: missing, altered, or of another model or other tiers than the card's.
        """
        if split not in SPLITS:
            raise ConfigError(
                f"{self.name} has the traces {' and '.join(SPLITS)}, got {quoted(split)}"
            )
        name = f"{split}.safetensors"
        digest = self.card.sha256.get(name)
        if digest is None:
            raise CorruptArtefactError(f"the card of {self.name} has no digest of {name}")
        path = self.source.file(self.folder, name, digest)
        if not path.is_file():
            raise MissingArtefactError(f"{path} does not exist; bring it back, or: {MADE_BY}")
        if file_sha256(path) != digest:
            raise CorruptArtefactError(
                f"{path} is not what its card says (its digest differs); bring back the file"
            )
        trace = load_compact(path)
        trace.require_model(self.card.model, f"the card of {self.name}")
        tiers = [(tier.layer, tier.source) for tier in self.card.tiers]
        if list(zip(trace.tiers, trace.tier_sources, strict=True)) != tiers:
            raise MismatchError(
                f"the card of {self.name} names other tiers than its trace {name} has; bring back "
                "the card"
            )
        return trace


class Collection:
    """Traces by name.

    Args:
        source: where they are.

    Example:
        >>> len(Collection.open(CHECKOUT).names()) > 3
        True
    """

    def __init__(self, source: Source) -> None:
        self.source = source

    @classmethod
    def open(cls, where: str | Path | None = None) -> Self:
        """The collection at a place; by default that of ``DIMEC_TRACES``, or of the checkout.

        Args:
            where: a folder, or an address that begins with ``http://`` or ``https://``.

        Raises:
            MissingArtefactError: there is none.
        """
        place = str(where or os.environ.get(VARIABLE) or CHECKOUT)
        if place.startswith(("http://", "https://")):
            from dimec.traces.remote import Remote

            return cls(Remote(place.rstrip("/")))
        folder = expanded(place)
        if not folder.is_dir():
            raise MissingArtefactError(
                f"there is no trace collection at {folder}: it comes with a checkout of dimec and "
                f"not with its wheel; set {VARIABLE} to the folder traces of one, or to an address"
            )
        return cls(Folder(folder))

    def names(self) -> tuple[str, ...]:
        """Of all traces in it, in alphabetical order."""
        return self._names

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return self.source.names()

    def entry(self, name: str) -> Entry:
        """The traces of a name, without reading them.

        Args:
            name: ``TASK/MODEL-RECIPE/SEED``.

        Raises:
            MissingArtefactError: there are none of that name; says which are like it.
            CorruptArtefactError: their card is damaged.
        """
        if name not in self._names:
            near = difflib.get_close_matches(name, self._names, 3, 0.5)
            like = f"; there are {', '.join(near)}" if near else ""
            raise MissingArtefactError(
                f"the collection at {self.source.told} has no traces {quoted(shown(name, 80), 90)}"
                f"{like}; see dimec traces list"
            )
        folder = self.source.folder(name)
        return Entry(name, folder, Card.load(folder, MADE_BY), self.source)


def find(name: str, collection: Collection | None = None) -> Entry:
    """Traces by their name in the collection, or in any folder of the same form by its path.

    Args:
        name: ``TASK/MODEL-RECIPE/SEED``, or a path, which is taken first where it has a card.
        collection: by default that of :meth:`Collection.open`.

    Raises:
        ArtefactError: no such traces, or their card is damaged.
    """
    folder = expanded(name)
    if _has_card(folder):
        return Entry(name, folder, Card.load(folder, "dimec trace import"), Folder(folder))
    return (collection or Collection.open()).entry(name)


def _has_card(folder: Path) -> bool:
    try:
        return (folder / FILE).is_file()
    except OSError:  # no name that a file could have
        return False


def load_trace(name: str) -> Trace:
    """A trace of the collection.

    Args:
        name: ``TASK/MODEL-RECIPE/SEED/SPLIT``, such as ``"sst2/minilm-own/0/test"``, or the path of
            a folder that ``dimec trace import`` made, with ``/validation`` or ``/test``.

    Raises:
        ArtefactError: no such traces, or damaged ones.
        ConfigError: a name without a split.
    """
    entry, slash, split = name.rpartition("/")
    if not slash or split not in SPLITS:
        raise ConfigError(
            f"expected the name of a trace that ends in /{' or /'.join(SPLITS)}, such as "
            f"sst2/minilm-own/0/test, got {quoted(name, 80)}"
        )
    return find(entry).trace(split)


def write_entry(folder: Path, card: Card, validation: Trace, test: Trace) -> Card:
    """Write traces with their card into a folder, the card last.

    Args:
        folder: of the traces; those that are there are replaced.
        card: whose digests and accuracies are filled in, as the files have them.
        validation, test: the traces, in their compact form from then on.

    Returns:
        The card as it is written.
    """
    digests = {}
    (folder / FILE).unlink(missing_ok=True)  # it must not stand beside other traces
    for split, trace in zip(SPLITS, (validation, test), strict=True):
        file = folder / f"{split}.safetensors"
        save_compact(trace, file)
        digests[file.name] = file_sha256(file)
    kept = load_compact(folder / f"{SPLITS[1]}.safetensors")
    names = map(exit_name, kept.exits, kept.sources)
    shares = dict(zip(names, kept.correct.mean(axis=0).round(4).tolist(), strict=True))
    whole = card.model_copy(update={"sha256": digests, "test_accuracy": shares})
    whole.save(folder)
    return whole


def write_index(folder: Path) -> Path:
    """Write the digests of a collection's cards, for those who read it from an address."""
    source, path = Folder(folder), folder / INDEX
    cards = {name: file_sha256(folder / name / FILE) for name in source.names()}
    write_json(path, {"version": 1, "cards": cards})
    return path


def read_index(path: Path) -> dict[str, str]:
    """Name → digest of the card, as :func:`write_index` wrote them.

    Raises:
        ArtefactError: missing, or no index.
    """
    return cards_of(read_json(path, MADE_BY), path)


def cards_of(index: Any, where: Path | str) -> dict[str, str]:
    """The same of an index that is read already; errors name where it comes from.

    Raises:
        CorruptArtefactError: no index, or a name in it that leads out of the collection.
    """
    cards = index.get("cards") if isinstance(index, dict) and index.get("version") == 1 else None
    if not isinstance(cards, dict) or not all(
        isinstance(name, str) and isinstance(digest, str) and _is_name(name)
        for name, digest in cards.items()
    ):
        raise CorruptArtefactError(f"{where} is no index of a trace collection of version 1")
    return cards


def _is_name(name: str) -> bool:
    """Whether it names a folder within the collection, and nothing outside."""
    parts = name.split("/")
    return len(parts) == 3 and all(part and part.strip(".") and "\\" not in part for part in parts)
