"""What a stranger may do to a bundle, and how the commands are asked about it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dimec.base.errors import DimecError
from dimec.bundle.folders import file_records
from dimec.bundle.manifest import MANIFEST
from support.tiny import Said, command, environment

Cli = Callable[..., Said]


def change(folder: Path, **fields: Any) -> None:
    """Change fields of a manifest."""
    path = folder / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def sign(folder: Path) -> None:
    """Make the manifest's records fit the files as they are."""
    records = {name: record.model_dump() for name, record in file_records(folder).items()}
    change(folder, files=records)


def rename_file(folder: Path, old: str, new: str) -> None:
    """Let the manifest call a file by another name."""
    files = json.loads((folder / MANIFEST).read_text())["files"]
    files[new] = files.pop(old)
    change(folder, files=files)


def started(*words: str | Path) -> Said:
    """A command of its own, which must end by itself: a server that starts would not."""
    done = subprocess.run(
        command(*words),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        stdin=subprocess.DEVNULL,
        env=environment(),
    )
    return Said(done.returncode, done.stdout, done.stderr)


def predict(folder: Path) -> list[str | Path]:
    return ["predict", folder, "a text", "--state", folder.parent / "state.sqlite"]


def serve(folder: Path) -> list[str | Path]:
    return ["serve", folder, "--port", "0", "--stop-with-stdin"]


def climb(folder: Path, name: str) -> None:
    """A file outside, named by a path, its hash right."""
    shutil.copy(folder / name, folder.parent.parent / name)
    rename_file(folder, name, f"../../{name}")


def absolute(folder: Path, name: str) -> None:
    rename_file(folder, name, str((folder / name).resolve()))


def backslash(folder: Path, name: str) -> None:
    rename_file(folder, name, f"..\\{name}")


def link(folder: Path, name: str) -> None:
    """A link to the very file that the manifest wants."""
    outside = folder.parent / f"outside-{name}"
    (folder / name).rename(outside)
    (folder / name).symlink_to(outside)


def device(folder: Path, name: str) -> None:
    """Nothing that ends."""
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")


def pipe(folder: Path, name: str) -> None:
    """Opening it would wait for ever."""
    (folder / name).unlink()
    os.mkfifo(folder / name)


def a_folder(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()


def missing(folder: Path, name: str) -> None:
    (folder / name).unlink()


def altered(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(bytes(content))


def truncated_and_signed(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    sign(folder)


def empty_and_signed(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"")
    sign(folder)


def noise_and_signed(folder: Path, name: str) -> None:
    (folder / name).write_bytes(np.random.default_rng(0).bytes(20_000))
    sign(folder)


TAMPERINGS = (
    climb,
    absolute,
    backslash,
    link,
    device,
    pipe,
    a_folder,
    missing,
    altered,
    truncated_and_signed,
    empty_and_signed,
    noise_and_signed,
)


def assert_printable(text: str) -> None:
    assert all(line.isprintable() for line in text.split("\n")), text


def assert_one_line(error: DimecError) -> None:
    assert_printable(str(error))
    assert "\n" not in str(error)
    assert len(str(error)) < 500, str(error)
