"""Lists as they are typed: ``4,6,12`` and ``0.6,0.7``."""

from __future__ import annotations

from collections.abc import Sequence

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


def tiers_of(
    option: str, text: str | None, example: str = "4,6,12"
) -> tuple[int, ...] | dict[str, int] | None:
    """``(4, 6, 12)`` for ``4,6,12``, ``{"phone": 1, "dc": 6}`` for ``phone=1,dc=6``.

    Raises:
        ConfigError: no whole numbers, names for some only, or one name twice.
    """
    if text is None:
        return None
    parts = text.split(",")
    pairs = [part.partition("=") for part in parts]
    names = [name.strip() for name, _, _ in pairs]
    try:
        if "=" not in text:
            return tuple(map(int, parts))
        named = {name.strip(): int(layer) for name, _, layer in pairs}
    except ValueError:
        raise ConfigError(
            f"{option}: expected layers such as {example}, or all of them with names such as "
            f"phone=1,box=3,dc=6, got {text!r}"
        ) from None
    if len(named) != len(names):
        raise ConfigError(f"{option}: expected a name of its own for each tier, got {text!r}")
    return named


def prices_of(option: str, texts: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    """``{"box": (1.0, 2.5, 0.0)}`` for ``box=1,2.5,0``: a layer, a sending, a visit.

    Raises:
        ConfigError: of another form, or a tier twice.
    """
    found: dict[str, tuple[float, float, float]] = {}
    for text in texts:
        name, _, rest = text.partition("=")
        try:
            layer, send, visit = (float(part) for part in rest.split(","))
        except ValueError:
            raise ConfigError(
                f"{option}: expected a tier with its prices of a layer, of sending and of a visit, "
                f"such as box=1,2.5,0, got {text!r}"
            ) from None
        if name in found:
            raise ConfigError(f"{option}: the tier {name!r} is there twice; give each once")
        found[name] = (layer, send, visit)
    return found


def pairs_of(option: str, texts: Sequence[str]) -> dict[str, str]:
    """``{"threshold": "0.9"}`` for ``threshold=0.9``.

    Raises:
        ConfigError: of another form, or a name twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise ConfigError(
                f"{option}: expected a name with a value such as threshold=0.9, got {text!r}"
            )
        if name in found:
            raise ConfigError(f"{option}: {name!r} is there twice; give each once")
        found[name] = value
    return found


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
