"""The files that are named: by themselves, by their folder, or by a pattern."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dimec.base.errors import ConfigError, DataError, option
from dimec.base.storage import expanded
from dimec.data.sources import kind_of
from dimec.scoring.layout import ALL, Kind, Layout

_ENDINGS = (".parquet", ".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz", ".txt", ".txt.gz")
_WILD = "*?["


@dataclass(frozen=True)
class Shard:
    """A file of texts.

    Attributes:
        path: absolute.
        kind: how it is read.
        output: where its answers go, relative to the folder of all, with slashes.
    """

    path: Path
    kind: Kind
    output: str


def find_shards(given: Sequence[str], layout: Layout, out: Path) -> list[Shard]:
    """The files behind words of a command line, in the order of their outputs.

    Of a folder it takes all files in it and below with the endings of Parquet, JSON lines and
    text, but for hidden ones, and for those in ``out``; in a pattern ``**`` stands for any folders.

    Raises:
        DataError: nothing of that name, a folder without such a file, or a kind that is not read.
        ConfigError: the answers to two files would have one name, or take the place of a file.
    """
    found: dict[str, Shard] = {}
    own = out.absolute()
    for word in given:
        for path, name in _files(word):
            full = path.absolute()
            if own in full.parents:
                continue
            shard = _shard(full, name, layout)
            other = found.setdefault(shard.output, shard)
            if other.path != shard.path:
                raise ConfigError(
                    f"the answers to {other.path} and {shard.path} would both be "
                    f"{out / shard.output}; rename one, or score them into two folders"
                )
    if not found:
        raise DataError(f"{', '.join(given)}: no file of texts but those in {out} itself")
    return [found[output] for output in sorted(found)]


def _files(word: str) -> Iterator[tuple[Path, PurePosixPath]]:
    """Each file, and its name below the folder that was named or stands before the pattern."""
    path = expanded(word)
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if _is_text(file, path)]
        if not files:
            raise DataError(
                f"{path} has no file that ends in {', '.join(_ENDINGS)}; name files of other "
                "endings one by one, or by a pattern"
            )
        yield from ((file, PurePosixPath(file.relative_to(path).as_posix())) for file in files)
    elif path.is_file():
        yield path, PurePosixPath(path.name)
    elif any(sign in word for sign in _WILD):
        root = _fixed(path)
        files = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207
        files = [file for file in files if file.is_file()]
        if not files:
            raise DataError(f"no file matches {word}; check the pattern")
        yield from ((file, PurePosixPath(file.relative_to(root).as_posix())) for file in files)
    else:
        problem = "is no regular file" if path.exists() else "does not exist"
        raise DataError(f"{path} {problem}; name files, folders, or a pattern such as 'in/*.jsonl'")


def _is_text(file: Path, root: Path) -> bool:
    below = file.relative_to(root).parts
    hidden = any(part.startswith(".") for part in below)
    return not hidden and file.name.lower().endswith(_ENDINGS) and file.is_file()


def _fixed(pattern: Path) -> Path:
    """The folder before the first part of a path that is a pattern."""
    parts = pattern.parts
    wild = next(i for i, part in enumerate(parts) if any(sign in part for sign in _WILD))
    return Path(*parts[:wild])


def _shard(path: Path, name: PurePosixPath, layout: Layout) -> Shard:
    known = kind_of(path)
    if known in ("csv", "tsv", "json", "arrow"):
        raise DataError(
            f"{path}: {known} is not read here, since it cannot be cut into parts safely; write it "
            "as Parquet or JSON lines, or answer it with: dimec predict --input"
        )
    kind: Kind = "parquet" if known == "parquet" else "jsonl" if known == "jsonl" else "text"
    _check(path, kind, layout)
    stem = name.name.removesuffix(".gz") if name.name.lower().endswith(".gz") else name.name
    base = PurePosixPath(stem).stem or stem
    return Shard(path, kind, str(name.with_name(f"{base}.{layout.written_as(kind)}")))


def _check(path: Path, kind: Kind, layout: Layout) -> None:
    """Refuse options of columns that a file of its kind cannot have.

    Raises:
        ConfigError: names the option and the file.
    """
    if kind == "text":
        for keyword in ("text_column", "pair_column", "keep"):
            if getattr(layout, keyword):
                raise ConfigError(
                    f"{option(keyword)} does nothing for {path}, which has a text a line and no "
                    "columns; leave it out, or score the files with columns by themselves"
                )
    if kind == "jsonl" and layout.keep == (ALL,) and layout.written_as(kind) == "parquet":
        raise ConfigError(
            f"{path}: JSON lines have no fixed columns, and Parquet needs them; name those to "
            f"{option('keep')}"
        )
