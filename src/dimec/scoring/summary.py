"""Tallies of answers: of a part, of a file, of all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SUMS = ("rows", "cost", "sent_bytes")
_COUNTS = ("labels", "tiers", "paths")


def empty_tally() -> dict[str, Any]:
    """Of no answers."""
    return {**dict.fromkeys(_SUMS, 0), **{name: {} for name in _COUNTS}}


def added(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Of the answers of both.

    Example:
        >>> one = {**empty_tally(), "rows": 2, "labels": {"a": 2}}
        >>> added(one, {**empty_tally(), "rows": 1, "labels": {"b": 1}})["labels"]
        {'a': 2, 'b': 1}
    """
    total: dict[str, Any] = {name: first[name] + second[name] for name in _SUMS}
    for name in _COUNTS:
        names = sorted({*first[name], *second[name]})
        total[name] = {key: first[name].get(key, 0) + second[name].get(key, 0) for key in names}
    return total
