"""What a data set holds, counted before anything is trained on it: :func:`survey`."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dimec.base.errors import ConfigError, option, quoted
from dimec.data.dataset import SPLITS, Dataset, Splits

# Texts and their second texts, or None → the number of tokens of each, special ones included.
Counter = Callable[[Sequence[str], Sequence[str] | None], Sequence[int]]
_Row = tuple[str, str | None]

_BUDGET = 10_000_000  # characters that are tokenised: seconds on one core
_CLIP = 100_000  # characters of one text
_BATCH = 1000
_LISTED = 10  # classes that are named; of more, the largest few are
_LARGEST = 5
_SHOWN = 60  # characters of an example


@dataclass(frozen=True)
class Lengths:
    """Lengths in tokens, special ones included, as they are before the limit cuts.

    Attributes:
        texts: how many were measured.
        median: the least length that half of them do not exceed.
        most: the least length that 95 of 100 do not exceed.
        longest: of all; a lower bound where ``clipped``.
        limit: the longest that training takes; what goes beyond is cut off.
        cut: how many of the measured texts are longer than the limit.
        clipped: whether a text was too long to be measured to its end.
    """

    texts: int
    median: int
    most: int
    longest: int
    limit: int
    cut: int
    clipped: bool = False


@dataclass(frozen=True)
class Doubles:
    """Texts (or pairs) that occur more than once in a way that hurts.

    Attributes:
        texts: how many different ones.
        rows: how many rows have them.
        example: one of them; empty where there is none.
    """

    texts: int
    rows: int
    example: str


@dataclass(frozen=True)
class Survey:
    """What training is given.

    Attributes:
        task: where the rows come from.
        rows: per split how many.
        left_out: rows of the source that no split has.
        classes: name → rows in all splits, in the order of the codes.
        variants: classes whose names differ in case or white space only, the most frequent first.
        conflicts: the same text under two labels.
        shared: texts of validation or test that training has too, or that both have.
        lengths: in tokens; None where they have not been measured.
    """

    task: str
    rows: Mapping[str, int]
    left_out: int
    classes: Mapping[str, int]
    variants: tuple[tuple[str, ...], ...]
    conflicts: Doubles
    shared: Doubles
    lengths: Lengths | None = None


def survey(splits: Splits, source: int | None = None) -> Survey:
    """Count what the splits hold; :func:`measure` adds the lengths.

    Args:
        splits: as training takes them.
        source: how many rows they were made of; as many as they have by default.
    """
    parts = _parts(splits)
    rows = {name: len(part) for name, part in parts.items()}
    names = splits.train.label_names
    sizes = np.bincount(np.concatenate([p.labels for p in parts.values()]), minlength=len(names))
    classes = dict(zip(names, sizes.tolist(), strict=True))
    conflicts, shared = _doubles(splits)
    return Survey(
        task=splits.train.task,
        rows=rows,
        left_out=0 if source is None else source - sum(rows.values()),
        classes=classes,
        variants=label_variants(classes),
        conflicts=conflicts,
        shared=shared,
    )


def label_variants(classes: Mapping[str, int]) -> tuple[tuple[str, ...], ...]:
    """Groups of names that differ in case, white space or Unicode spelling only.

    Args:
        classes: name → rows; the most frequent name of a group comes first.
    """
    groups: dict[str, list[str]] = {}
    for name in classes:
        plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
        groups.setdefault("".join(plain.split()), []).append(name)
    return tuple(
        tuple(sorted(group, key=lambda name: (-classes[name], name)))
        for group in groups.values()
        if len(group) > 1
    )


def merge_labels(dataset: Dataset) -> Dataset:
    """The data set with one class for each group of :func:`label_variants`; its most frequent name.

    Raises:
        ConfigError: there is no such group.
    """
    names = dataset.label_names
    sizes = np.bincount(dataset.labels, minlength=len(names)).tolist()
    variants = label_variants(dict(zip(names, sizes, strict=True)))
    if not variants:
        raise ConfigError(
            f"{option('merge_labels')}: no two labels of {dataset.task} differ in case or spaces "
            "only; leave it out"
        )
    spelling = {name: group[0] for group in variants for name in group}
    kept = tuple(name for name in names if spelling.get(name, name) == name)
    codes = np.array([kept.index(spelling.get(name, name)) for name in names], np.int64)
    return replace(dataset, labels=codes[dataset.labels], label_names=kept)


def measure(
    splits: Splits, count: Counter, limit: int, *, budget: int = _BUDGET, clip: int = _CLIP
) -> Lengths:
    """The lengths of the splits' texts (or pairs) in tokens.

    Where they are longer together than ``budget`` characters, texts at even distances are measured,
    about as many as the budget allows.

    Args:
        splits: at least one row.
        count: how many tokens some texts have.
        limit: the longest that training takes.
        budget: characters, in all.
        clip: characters of one text that are looked at.
    """
    size = sum(min(len(text), clip) + min(len(pair or ""), clip) for text, pair in _rows(splits))
    step = max(1, -(-size // budget))
    found: list[int] = []
    clipped = False
    for batch in _batches(itertools.islice(_rows(splits), 0, None, step)):
        clipped |= any(max(len(text), len(pair or "")) > clip for text, pair in batch)
        pairs = [pair[:clip] for _, pair in batch if pair is not None]
        found += count([text[:clip] for text, _ in batch], pairs or None)
    lengths = np.array(found)
    median, most = np.percentile(lengths, (50, 95), method="inverted_cdf").tolist()
    return Lengths(
        texts=len(lengths),
        median=int(median),
        most=int(most),
        longest=int(lengths.max()),
        limit=limit,
        cut=int((lengths > limit).sum()),
        clipped=clipped,
    )


def describe(found: Survey) -> list[str]:
    """What was read, in lines for a person; what looks wrong begins with ``warning:``."""
    total = sum(found.rows.values())
    left_out = f", {found.left_out:,} left out" if found.left_out else ""
    lines = [
        f"read {total:,} rows of {found.task}{left_out}: "
        + ", ".join(f"{name} {rows:,}" for name, rows in found.rows.items()),
        _classes(found.classes),
    ]
    if found.lengths is not None:
        lines.append(describe_lengths(found.lengths, total))
    return lines + [f"warning: {warning}" for warning in _warnings(found)]


def describe_lengths(lengths: Lengths, total: int) -> str:
    """The line about lengths of a description, for ``total`` texts."""
    sample = "" if lengths.texts == total else f", measured on {lengths.texts:,} of {total:,}"
    over = "over " if lengths.clipped else ""
    if lengths.cut:
        share = 100 * lengths.cut / lengths.texts
        few = "under 0.1" if share < 0.1 else f"{share:.1f}"
        cut = (
            f"cut at {lengths.limit} tokens are {lengths.cut:,} of {lengths.texts:,} texts "
            f"({few} %; the limit is {option('max_tokens')})"
        )
    else:
        cut = f"none is cut at the limit of {lengths.limit} ({option('max_tokens')})"
    return (
        f"tokens a text: median {lengths.median:,}, 95 of 100 have at most {lengths.most:,}, "
        f"longest {over}{lengths.longest:,}{sample}; {cut}"
    )


def _classes(classes: Mapping[str, int]) -> str:
    ranked = sorted(classes.items(), key=lambda item: -item[1])
    few = ranked if len(ranked) <= _LISTED else ranked[:_LARGEST]
    listed = ", ".join(f"{_quoted(name)} {rows:,}" for name, rows in few)
    if few is ranked:
        return f"{len(classes)} classes: {listed}"
    last, rows = ranked[-1]
    return f"{len(classes)} classes, the largest {listed}; the smallest {_quoted(last)} {rows:,}"


def _warnings(found: Survey) -> Iterator[str]:
    if found.variants:
        groups = [
            " and ".join(f"{_quoted(name)} ({found.classes[name]:,})" for name in group)
            for group in found.variants
        ]
        more = f", and {len(groups) - 2} more such groups" if len(groups) > 2 else ""
        yield (
            f"{sum(map(len, found.variants))} of the {len(found.classes)} classes differ from "
            f"another in case or spaces only: {'; '.join(groups[:2])}{more}; make them one with "
            f"{option('merge_labels')}, or in the data"
        )
    if (doubles := found.conflicts).texts:
        yield (
            f"{_texts(doubles)} under more than one label, such as {_quoted(doubles.example)}; no "
            "classifier can get all of them right: correct the labels, or remove the rows"
        )
    if (doubles := found.shared).texts:
        yield (
            f"{_texts(doubles)} in more than one split, such as {_quoted(doubles.example)}; scores "
            "will look better than they are: remove the doubles"
        )


def _texts(doubles: Doubles) -> str:
    if doubles.texts == 1:
        return f"one text ({doubles.rows:,} rows) is"
    return f"{doubles.texts:,} texts ({doubles.rows:,} rows) are"


def _quoted(text: str) -> str:
    """On one line, without characters that a terminal obeys."""
    return quoted(" ".join(text[: 4 * _SHOWN].split()), _SHOWN + 2)


def _parts(splits: Splits) -> dict[str, Dataset]:
    return {name: getattr(splits, name) for name in SPLITS}


def _rows_of(part: Dataset) -> Iterator[_Row]:
    return zip(part.texts, part.pairs or itertools.repeat(None, len(part)), strict=True)


def _rows(splits: Splits) -> Iterator[_Row]:
    return itertools.chain.from_iterable(map(_rows_of, _parts(splits).values()))


def _batches(rows: Iterator[_Row]) -> Iterator[list[_Row]]:
    while batch := list(itertools.islice(rows, _BATCH)):
        yield batch


def _doubles(splits: Splits) -> tuple[Doubles, Doubles]:
    """The same text under two labels, and the same text in two splits."""
    # A number a row first: nearly all rows occur once, and a table of them all would be large.
    keys = np.fromiter(map(hash, _rows(splits)), np.int64)
    values, counts = np.unique(keys, return_counts=True)
    likely = set(values[counts > 1].tolist())
    labels: dict[_Row, list[int]] = {}
    places: dict[_Row, list[str]] = {}
    for split, part in _parts(splits).items():
        for row, label in zip(_rows_of(part), part.labels.tolist(), strict=True):
            if hash(row) in likely:
                labels.setdefault(row, []).append(label)
                places.setdefault(row, []).append(split)
    return _several(labels), _several(places)


def _several(values: Mapping[_Row, Sequence[object]]) -> Doubles:
    """The texts that have more than one value."""
    found = {row: len(of_row) for row, of_row in values.items() if len(set(of_row)) > 1}
    example = " | ".join(part for part in next(iter(found), ("",)) if part is not None)
    return Doubles(len(found), sum(found.values()), example)
