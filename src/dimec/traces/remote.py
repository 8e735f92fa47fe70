"""A trace collection at an address: fetched file by file, checked, and kept in the cache."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from dimec.base.cache import cache_folder
from dimec.base.errors import CorruptArtefactError, MissingArtefactError, shown
from dimec.base.storage import atomic_write, file_sha256, parse_json
from dimec.traces.card import FILE
from dimec.traces.collection import INDEX, MADE_BY, cards_of, read_index

_PATIENCE = 30.0  # seconds for an answer to begin, and between its parts
_MOST = 64 * 2**20  # bytes of a file


@dataclass(frozen=True)
class Remote:
    """A collection that a web server has: the folder as it is, with its index.

    The index is asked for once by each collection that is opened; where the address does not
    answer, the one that was fetched last serves. What is in the cache and has the right digest is
    not fetched again.

    Attributes:
        address: of the folder, without a slash at the end.
    """

    address: str

    @property
    def told(self) -> str:
        return self.address

    @cached_property
    def cache(self) -> Path:
        """Where fetched files are kept."""
        key = hashlib.sha256(self.address.encode()).hexdigest()[:16]
        return cache_folder() / "traces" / key

    @cached_property
    def _cards(self) -> dict[str, str]:
        path = self.cache / INDEX
        try:
            content = fetch(f"{self.address}/{INDEX}")
        except MissingArtefactError:
            if not path.is_file():
                raise
            return read_index(path)
        # Held against its form first: what is no index must not replace the one that serves.
        where = f"{self.address}/{INDEX}"
        cards = cards_of(parse_json(content, where, MADE_BY), where)
        atomic_write(path, content)
        return cards

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._cards))

    def folder(self, name: str) -> Path:
        self._have(f"{name}/{FILE}", self._cards[name])
        return self.cache / name

    def file(self, folder: Path, name: str, sha256: str) -> Path:
        return self._have(f"{folder.relative_to(self.cache).as_posix()}/{name}", sha256)

    def _have(self, name: str, sha256: str) -> Path:
        path = self.cache / name
        if path.is_file() and file_sha256(path) == sha256:
            return path
        content = fetch(f"{self.address}/{quote(name)}")
        if hashlib.sha256(content).hexdigest() != sha256:
            raise CorruptArtefactError(
                f"{self.address}/{name} is not what the collection says (its digest differs); ask "
                "whoever keeps it, or take another copy"
            )
        atomic_write(path, content)
        return path


def fetch(address: str) -> bytes:
    """What a web server has at an address.

    Raises:
        MissingArtefactError: it does not answer, or has no such file.
        CorruptArtefactError: more than 64 MiB.
    """
    import httpx2

    content = bytearray()
    try:
        with httpx2.stream("GET", address, timeout=_PATIENCE, follow_redirects=True) as answer:
            if answer.status_code != httpx2.codes.OK:
                raise MissingArtefactError(f"{address} answers with {answer.status_code}")
            for part in answer.iter_bytes():
                content += part
                if len(content) > _MOST:
                    raise CorruptArtefactError(f"{address} has more than {_MOST >> 20} MiB")
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        reason = shown(str(error) or type(error).__name__, 120)
        raise MissingArtefactError(
            f"{address} cannot be read ({reason}); check the address and the network"
        ) from None
    return bytes(content)
