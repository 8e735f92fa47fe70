"""Lists as they are typed."""

from __future__ import annotations

import pytest

from dimec.base.errors import ConfigError
from dimec.settings.lists import layers_of, numbers_of


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
