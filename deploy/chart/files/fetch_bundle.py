"""Fetch an archive with a bundle, check its hash, and unpack it; what is there already stays.

``python fetch_bundle.py URL SHA256 FOLDER``, with ``BUNDLE_AUTHORIZATION`` as the header, if any.

It runs before the server does, and again whenever that failed, in the same volume: a download that
broke off goes on where it was, and an archive that was unpacked is not fetched again. Standard
library only; the archive is believed because of its hash, and unpacked as if it were not.
"""

import hashlib
import http.client
import os
import shutil
import sys
import tarfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import BinaryIO

CHUNK = 1 << 20
TOLD_EVERY = 64 << 20  # bytes


class Failed(Exception):
    """What to print; the next try may succeed."""


def main(url: str, sha256: str, folder: Path) -> None:
    """The bundle of that hash in FOLDER/bundle, whole or not at all.

    Raises:
        Failed: no archive, or another one.
    """
    bundle, part = folder / "bundle", folder / f"{sha256}.part"
    done = folder / f"{sha256}.done"
    if done.exists() and bundle.is_dir():
        print(f"fetch: the bundle {sha256[:12]} is there already", flush=True)
        return
    for path in (bundle, folder / "unpacking"):
        shutil.rmtree(path, ignore_errors=True)
    fetch(url, part)
    found = digest(part)
    if found != sha256:
        part.unlink()
        raise Failed(
            f"expected an archive with the SHA-256 {sha256}, got {found} from {url}; set "
            "bundle.archive.sha256 to the hash of the archive that you mean: sha256sum FILE"
        )
    unpack(part, folder / "unpacking")
    (folder / "unpacking").rename(bundle)
    done.touch()
    part.unlink()
    print(f"fetch: the bundle {sha256[:12]} is unpacked", flush=True)


def fetch(url: str, part: Path) -> None:
    """Download to ``part``, behind what is there.

    Raises:
        Failed: the server does not give it.
    """
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    if authorization := os.environ.get("BUNDLE_AUTHORIZATION"):
        headers["Authorization"] = authorization
    request = urllib.request.Request(url, headers=headers)
    try:
        with (
            urllib.request.urlopen(request, timeout=60) as answer,
            # A server that knows no ranges sends all of it.
            part.open("ab" if answer.status == 206 else "wb") as file,
        ):
            copy(answer, file)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:
            return  # nothing is left to fetch; the hash tells whether it is the archive
        raise Failed(f"{url} answered {error.code} {error.reason}; expected the archive") from None
    except (urllib.error.URLError, OSError) as error:
        raise Failed(f"{url} could not be fetched: {error}") from None


def copy(source: http.client.HTTPResponse, target: BinaryIO) -> None:
    """All of it, with a line now and then."""
    told = target.tell()
    while block := source.read(CHUNK):
        target.write(block)
        if target.tell() - told >= TOLD_EVERY:
            told = target.tell()
            print(f"fetch: {told >> 20} MiB", flush=True)
    # http.client calls a body that was cut short whole.
    if source.length:
        raise OSError(f"the connection closed {source.length} bytes before the end")


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack(archive: Path, folder: Path) -> None:
    """Plain files and folders of an archive, below ``folder`` and nowhere else.

    Raises:
        Failed: it is no archive, or holds something else.
    """
    try:
        with tarfile.open(archive) as opened:
            opened.extractall(folder, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise Failed(f"the archive cannot be unpacked: {error}; make it with: tar -czf") from None


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
    except Failed as error:
        sys.exit(f"fetch: {error}")
