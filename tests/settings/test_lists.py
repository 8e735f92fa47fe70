"""Lists as they are typed."""

from __future__ import annotations

import pytest

from dimec.base.errors import ConfigError
from dimec.settings.lists import layers_of, numbers_of, prices_of, tiers_of


def test_layers_between_commas_or_all_of_them() -> None:
    assert layers_of("--exits", "4,6,12") == (4, 6, 12)
    assert layers_of("--exits", "all") == "all"
    assert layers_of("--exits", None) is None


def test_numbers_between_commas() -> None:
    assert numbers_of("--betas", "1,2.5e-1") == (1.0, 0.25)
    assert numbers_of("--betas", None) is None


@pytest.mark.parametrize("text", ["", "1,", "1;2", "1.5", "every"])
def test_what_are_no_layers_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--exits: expected layers such as 4,6,12, got"):
        layers_of("--exits", text)


def test_what_are_no_numbers_is_refused_with_the_example_of_the_setting() -> None:
    with pytest.raises(ConfigError, match=r"^--loss-weights: .* such as 1,1,2, got 'one,two'"):
        numbers_of("--loss-weights", "one,two", "1,1,2")


def test_tiers_are_layers_or_names_with_layers() -> None:
    assert tiers_of("--tiers", "2,6") == (2, 6)
    assert tiers_of("--tiers", "6") == (6,)
    assert tiers_of("--tiers", "phone=1, dc=6") == {"phone": 1, "dc": 6}
    assert list(tiers_of("--tiers", "b=1,a=2") or ()) == ["b", "a"]
    assert tiers_of("--tiers", None) is None


@pytest.mark.parametrize("text", ["", "all", "phone=1,6", "phone=x,dc=6", "phone=,dc=6", "2;6"])
def test_what_are_no_tiers_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--tiers: expected layers such as 4,6,12, or all of"):
        tiers_of("--tiers", text)


def test_a_tier_is_named_once() -> None:
    with pytest.raises(ConfigError, match="a name of its own for each tier"):
        tiers_of("--tiers", "a=1,a=6")


def test_prices_of_tiers() -> None:
    assert prices_of("--tier-price", []) == {}
    told = prices_of("--tier-price", ["box=1,2.5,0", "dc=0,3,6"])
    assert told == {"box": (1.0, 2.5, 0.0), "dc": (0.0, 3.0, 6.0)}
    for text in ("box", "box=1,2", "box=1,2,3,4", "box=a,b,c"):
        with pytest.raises(ConfigError, match=r"such as box=1,2\.5,0, got"):
            prices_of("--tier-price", [text])
    with pytest.raises(ConfigError, match="'box' is there twice"):
        prices_of("--tier-price", ["box=1,2,3", "box=1,2,3"])
