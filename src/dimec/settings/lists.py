"""Lists as they are typed: ``4,6,12`` and ``0.6,0.7``."""

from __future__ import annotations

from dimec.base.errors import ConfigError


def layers_of(
    option: str, text: str | None, example: str = "4,6,12"
) -> tuple[int, ...] | str | None:
    """``(4, 6, 12)`` for ``4,6,12``; ``all`` and None stay as they are.

    Raises:
        ConfigError: no whole numbers.
    """
    if text is None or text == "all":
        return text
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"{option}: expected layers such as {example}, got {text!r}") from None


def numbers_of(option: str, text: str | None, example: str = "0.6,0.7") -> tuple[float, ...] | None:
    """``(0.6, 0.7)`` for ``0.6,0.7``; None stays as it is.

    Raises:
        ConfigError: no numbers.
    """
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"{option}: expected numbers such as {example}, got {text!r}") from None
