"""The hub's own client, with its errors as a user can act on them, and with bounds."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dimec.base.errors import (
    CorruptArtefactError,
    HubError,
    HubUnreachableError,
    MissingExtraError,
    shown,
)
from dimec.base.storage import file_sha256, storage_errors
from dimec.hub.names import HubName, is_commit

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_AT_ONCE = 100  # paths asked about in one request
_TRIES = 4  # of a connection that brings nothing
_PAUSE = 1.0  # seconds before the next of them


@dataclass(frozen=True)
class Announced:
    """What the hub says of a file before it is fetched.

    Attributes:
        bytes: its size.
        sha256: of a large file; None for one that git itself keeps.
        blob: git's own hash of the file; of a large one it is that of a pointer.
    """

    bytes: int
    sha256: str | None
    blob: str


class Hub:
    """What is asked of the hub that ``HF_ENDPOINT`` names, by its own client.

    Args:
        token: in place of the one in ``HF_TOKEN`` or of the client's own login.

    Raises:
        MissingExtraError: the client is not installed.
    """

    def __init__(self, token: str | None = None) -> None:
        try:
            import huggingface_hub
        except ImportError:
            raise MissingExtraError("huggingface_hub", "hub", "the hub") from None
        self.endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
        self.token = token
        self.api: HfApi = huggingface_hub.HfApi(
            endpoint=self.endpoint, token=token, library_name="dimec"
        )

    def commit(self, name: HubName) -> str:
        """The commit that its revision stands for now.

        Raises:
            HubError: there is none, it is private, or the hub does not answer.
        """
        with hub_errors(name, self.endpoint):
            found = self.api.repo_info(name.repo, revision=name.wanted, repo_type=name.kind)
        commit = str(found.sha)
        if not is_commit(commit):
            raise HubError(f"{self.endpoint} names no commit of {name}; is it a hub?")
        return commit

    def announced(self, name: HubName, commit: str, paths: Sequence[str]) -> dict[str, Announced]:
        """Of those of these files that there are at a commit: size and hash.

        Raises:
            HubError: as :meth:`commit`.
        """
        told: dict[str, Announced] = {}
        for start in range(0, len(paths), _AT_ONCE):
            some = list(paths[start : start + _AT_ONCE])
            with hub_errors(name, self.endpoint):
                found: Any = self.api.get_paths_info(
                    name.repo, some, revision=commit, repo_type=name.kind
                )
            for one in found:
                if hasattr(one, "blob_id"):
                    sha256 = None if one.lfs is None else one.lfs.sha256
                    told[one.path] = Announced(int(one.size), sha256, one.blob_id)
        return told

    def fetch(
        self,
        name: HubName,
        commit: str,
        file: str,
        target: Path,
        said: Announced,
        advance: Callable[[int], None],
    ) -> None:
        """Fetch a file, going on behind what is there of it, and check it.

        Args:
            name, commit, file: which.
            target: where it goes once it is whole and right; until then it is ``target.part``.
            said: what it must be.
            advance: told of bytes as they come, those that are there already among them.

        Raises:
            HubError: the hub does not answer; what has come stays, to go on from.
            CorruptArtefactError: more bytes than announced, or others.
            StorageError: the disk is full.
        """
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers

        if target.is_file() and not target.is_symlink() and _is_right(target, said):
            advance(said.bytes)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.part")
        if part.is_symlink() or (part.exists() and part.stat().st_size > said.bytes):
            part.unlink()
        url = hf_hub_url(
            name.repo, file, repo_type=name.kind, revision=commit, endpoint=self.endpoint
        )
        headers = build_hf_headers(token=self.token, library_name="dimec")
        # A compressed answer could not be gone on with, and would have another length.
        headers["Accept-Encoding"] = "identity"
        with (
            storage_errors(target),
            _Bounded.open(part, said.bytes, file, advance) as stream,
            hub_errors(name, self.endpoint),
        ):
            _stream_to(stream, url, headers, said.bytes)
        if not _is_right(part, said):
            part.unlink()
            raise CorruptArtefactError(
                f"{file} of {name} is not what the hub announces (its hash differs); nothing of it "
                "was kept: pull it again, and if that does not help, have it pushed again"
            )
        part.replace(target)


class _Bounded:
    """A file that takes no more bytes than were announced, and writes them at once.

    The client's own downloads begin anew after a kill, and take what a server sends.
    """

    def __init__(self, stream: Any, most: int, name: str, advance: Callable[[int], None]) -> None:
        self._stream, self._most, self._name, self._advance = stream, most, name, advance

    @classmethod
    @contextmanager
    def open(
        cls, path: Path, most: int, name: str, advance: Callable[[int], None]
    ) -> Iterator[_Bounded]:
        # Unbuffered: what has come is there after a kill.
        with path.open("ab", buffering=0) as stream:
            advance(stream.tell())
            yield cls(stream, most, name, advance)

    def tell(self) -> int:
        return int(self._stream.tell())

    def seek(self, place: int) -> int:
        return int(self._stream.seek(place))

    def truncate(self) -> int:
        """From here on it comes again: the server did not go on where it was asked to."""
        return int(self._stream.truncate(self.tell()))

    def write(self, chunk: bytes) -> int:
        if self.tell() + len(chunk) > self._most:
            raise CorruptArtefactError(
                f"the hub sends more of {self._name} than the {self._most:,} bytes it announces; "
                "nothing of it is used"
            )
        view = memoryview(chunk)
        while view:
            view = view[self._stream.write(view) :]
        self._advance(len(chunk))
        return len(chunk)


def _stream_to(stream: _Bounded, url: str, headers: Mapping[str, str], size: int) -> None:
    """Write what an address has behind what is there; a broken connection is taken up again.

    Not by the client's own function, which writes 10 MB at a time: what is less is lost in a kill.
    """
    import httpx2
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import hf_raise_for_status

    tries = _TRIES
    while (start := stream.tell()) < size:
        asked = {**headers, "Range": f"bytes={start}-"} if start else dict(headers)
        wait = constants.HF_HUB_DOWNLOAD_TIMEOUT
        try:
            with get_session().stream(
                "GET", url, headers=asked, timeout=wait, follow_redirects=True
            ) as response:
                hf_raise_for_status(response)
                if start and response.status_code != httpx2.codes.PARTIAL_CONTENT:
                    stream.seek(0)  # it knows no ranges
                    stream.truncate()
                for chunk in response.iter_bytes():
                    stream.write(chunk)
            if stream.tell() <= start:
                raise httpx2.RemoteProtocolError("nothing came")
        except (httpx2.TransportError, httpx2.StreamError):
            tries = _TRIES if stream.tell() > start else tries - 1
            if not tries:
                raise
            if tries < _TRIES:
                time.sleep(_PAUSE)


def _is_right(path: Path, said: Announced) -> bool:
    if path.stat().st_size != said.bytes:
        return False
    if said.sha256 is not None:
        return file_sha256(path) == said.sha256
    head = f"blob {said.bytes}\0".encode()
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, lambda: hashlib.sha1(head, usedforsecurity=False))
    return found.hexdigest() == said.blob


@contextmanager
def hub_errors(name: HubName, endpoint: str, *, sending: bool = False) -> Iterator[None]:
    """Turn the client's errors into errors that a user can act on; ``sending`` those of a push."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError:
        raise HubError(
            f"{name} asks for consent first: give it on its page at {endpoint}, and set HF_TOKEN"
        ) from None
    except errors.RepositoryNotFoundError:
        raise HubError(
            f"{endpoint} has no {name.kind} {name.repo} for you: check its name, and where it is "
            "private set HF_TOKEN to a token that may read it, or for dimec pull and push name a "
            "file with one by --token-file; traces are under datasets/ORG/NAME"
        ) from None
    except errors.RevisionNotFoundError:
        raise HubError(f"{name.repo} has no revision {name.wanted!r} at {endpoint}") from None
    except errors.OfflineModeIsEnabled:
        raise HubUnreachableError(
            f"HF_HUB_OFFLINE is set, and {name} is not on this machine; unset it, or pull it where "
            "there is a network"
        ) from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        told = f"{endpoint} answers {status} for {name}"
        if status in (401, 403):
            raise HubError(f"{told}: the token, if any, may not do this; set HF_TOKEN") from None
        if status >= 500 or status == 429:
            raise HubUnreachableError(f"{told}; try again later") from None
        raise HubError(f"{told} ({shown(str(error), 160)})") from None
    except Exception as error:
        if not _is_of_the_network(error):
            raise
        told = shown(" ".join(str(error).split()) or type(error).__name__, 120)
        kept = "What has come is kept: the same command goes on from there"
        if sending:
            kept = (
                "Set HF_HUB_DISABLE_XET=1 where the hub is another than huggingface.co and has no "
                "Xet. What it has got is not sent again by the same command"
            )
        raise HubUnreachableError(
            f"{endpoint} does not answer for {name} ({told}); check the network and HF_ENDPOINT. "
            f"{kept}"
        ) from None


def _is_of_the_network(error: BaseException) -> bool:
    """Whether it, or what it came of, is of a connection: the client wraps some of them."""
    seen: BaseException | None = error
    while seen is not None:
        module = type(seen).__module__.partition(".")[0]
        if module.startswith(("httpx", "httpcore")) or isinstance(seen, ConnectionError):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
