"""What tiers are called: the paper's three names, and names of one's own."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from dimec.base.errors import ConfigError, option
from dimec.tiers.tier import check_tier_name

MOBILE, EDGE, CLOUD = 0, 1, 2
TIER_NAMES = ("mobile", "edge", "cloud")


def tier_names(count: int) -> tuple[str, ...]:
    """What tiers are called that nobody named: the paper's names, two are mobile and cloud.

    Raises:
        ConfigError: more than three have to be named.
    """
    called = {1: TIER_NAMES[:1], 2: (TIER_NAMES[MOBILE], TIER_NAMES[CLOUD]), 3: TIER_NAMES}
    if count not in called:
        raise ConfigError(
            f"{count} tiers need names of their own; give them as "
            f"{option('tiers')} phone=1,gateway=2,box=3,dc=6"
        )
    return called[count]


def check_names(names: Sequence[str], count: int) -> tuple[str, ...]:
    """``names`` as a tuple, if they are the different names of so many tiers.

    Raises:
        ConfigError: not so many, one twice, or one that no tier can have.
    """
    checked = tuple(check_tier_name(name) for name in names)
    if len(checked) != count or len(set(checked)) != count:
        raise ConfigError(
            f"expected a name of its own for each of {count} tiers, got {', '.join(checked)}"
        )
    return checked


def check_tier_names(names: Collection[str], purpose: str, tiers: Sequence[str]) -> None:
    """Refuse what is the name of none of these tiers.

    Raises:
        ConfigError: names the first, and what it was given for.
    """
    if unknown := set(names) - set(tiers):
        raise ConfigError(
            f"expected the tiers {', '.join(tiers)} for {purpose}, got {min(unknown)!r}"
        )
