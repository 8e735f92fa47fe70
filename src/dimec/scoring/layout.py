"""How texts lie in files, and what is written beside their answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dimec.base.errors import ConfigError, DataError, option, quoted

Kind = Literal["parquet", "jsonl", "text"]
Write = Literal["parquet", "jsonl", "safetensors"]

TEXTS, PAIRS = ("text", "sentence", "sentence1"), ("pair", "sentence2")
ALL = "all"  # columns to keep
# The columns of every answer, in order; "probabilities" where they are wanted.
ANSWERS = ("row", "label", "probability", "probabilities", "path", "tier", "cost", "sent_bytes")
_GIVEN = "given_"


@dataclass(frozen=True)
class Layout:
    """The options that decide on what is read and written.

    Attributes:
        text_column, pair_column: of Parquet and JSON lines; by default the usual names.
        keep: columns that are written again beside the answers; ``("all",)`` for every one but the
            texts. ``id`` is kept wherever it is there.
        write: ``parquet`` or ``jsonl``; None: Parquet for Parquet, else JSON lines.
        probabilities: whether those of every class are written.
        records: whether a trace is recorded, in place of all that: what every exit says.
    """

    text_column: str | None = None
    pair_column: str | None = None
    keep: tuple[str, ...] = ()
    write: Write | None = None
    probabilities: bool = False
    records: bool = False

    def __post_init__(self) -> None:
        if self.write not in (None, "parquet", "jsonl"):
            raise ConfigError(
                f"{option('write')}: expected parquet or jsonl, got {quoted(self.write)}"
            )

    def written_as(self, kind: Kind) -> Write:
        """What the answers to a file of a kind are written as."""
        if self.records:
            return "safetensors"
        return self.write or ("parquet" if kind == "parquet" else "jsonl")

    def texts(self, names: Sequence[str], where: str, pairs: bool) -> tuple[str, str | None]:
        """The columns of the texts among those that a file has.

        Args:
            names: of the file's columns.
            where: the file, for a message.
            pairs: whether an input is a pair of texts.

        Raises:
            DataError: there is none; says which there are.
        """
        text = _column(names, where, self.text_column, TEXTS, "text_column")
        if not pairs:
            return text, None
        return text, _column(names, where, self.pair_column, PAIRS, "pair_column")

    def kept(self, names: Sequence[str], where: str, texts: Sequence[str | None]) -> list[str]:
        """The columns to write again, ``id`` first.

        Raises:
            DataError: one that was named is not there.
        """
        if self.keep == (ALL,):
            return [name for name in names if name not in texts]
        if missing := [name for name in self.keep if name not in names]:
            raise DataError(
                f"{where}: expected a column {quoted(missing[0])} to keep, there are "
                f"{', '.join(map(quoted, names))}; leave it out of {option('keep')}"
            )
        own = ["id"] if "id" in names and "id" not in texts else []
        return list(dict.fromkeys([*own, *self.keep]))


def written_names(kept: Sequence[str]) -> dict[str, str]:
    """Kept column → its name among the answers' own: ``given_label`` for ``label``.

    Example:
        >>> written_names(["id", "label"])
        {'id': 'id', 'label': 'given_label'}
    """
    taken = {*ANSWERS, *(name for name in kept if name not in ANSWERS)}
    found = {}
    for name in kept:
        written = name
        while name in ANSWERS and written in taken:
            written = f"{_GIVEN}{written}"
        taken.add(written)
        found[name] = written
    return found


def _column(
    names: Sequence[str], where: str, named: str | None, usual: Sequence[str], keyword: str
) -> str:
    if named is not None and named in names:
        return named
    found = [name for name in usual if name in names]
    if named is None and found:
        return found[0]
    wanted = quoted(named) if named is not None else " or ".join(map(quoted, usual))
    raise DataError(
        f"{where}: expected a column {wanted} of texts, there are "
        f"{', '.join(map(quoted, names)) or 'none'}; name it with {option(keyword)}"
    )
