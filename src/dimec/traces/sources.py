"""Sources: the models behind the exits of a trace, by name."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from numbers import Integral

from dimec.base.errors import ConfigError, quoted, shown

_NAME = re.compile(r"[\w.-]{0,64}")


def joint_model(models: Mapping[str, str]) -> str:
    """What stands for the models of several sources: one digest of their names and fingerprints.

    The order counts, because the embeddings of a joined trace are those of its first source.

    Args:
        models: source → fingerprint of its model, in order.

    Returns:
        A SHA-256 in hexadecimal.

    Example:
        >>> joint_model({"phone": "a" * 64, "dc": "b" * 64})[:12]
        '884f82efefd7'
    """
    return hashlib.sha256(json.dumps(list(models.items())).encode()).hexdigest()


def check_source(name: object) -> str:
    """The name of a source, checked: letters, digits, ``_``, ``.`` and ``-``, or nothing.

    Raises:
        ConfigError: another text, one of more than 64 characters, or no text.
    """
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise ConfigError(
            "the name of a source must be at most 64 letters, digits, '_', '.' and '-', "
            f"got {quoted(name)}"
        )
    return name


def names_of(given: Iterable[object], size: int, what: str) -> tuple[str, ...]:
    """The source of each of ``size`` exits or tiers; one name, however often, is that of all.

    Raises:
        ConfigError: no name of a source, or not as many as needed.
    """
    names = tuple(map(check_source, given)) or ("",)
    if len(set(names)) == 1:
        return names[:1] * size
    if len(names) != size:
        raise ConfigError(f"expected a source for each {what}, {size} in all, got {len(names)}")
    return names


def layers_of(given: Iterable[object], what: str) -> tuple[int, ...]:
    """Layers as plain whole numbers.

    Raises:
        ConfigError: none, or one that is no whole number from 0 up.
    """
    values = tuple(given)
    layers = tuple(int(value) for value in values if isinstance(value, Integral))
    if not layers or len(layers) != len(values) or min(layers) < 0:
        raise ConfigError(
            f"{what} must be one or more whole numbers from 0 up, got "
            f"{shown(repr(list(values)), 80)}"
        )
    return layers


def listed(names: Iterable[str]) -> str:
    """Names of sources, for a message."""
    return ", ".join(map(quoted, names)) or "none"
