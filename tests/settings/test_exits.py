from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError
from dimec.settings.exits import named_tiers, resolve_exits


class TestResolveExits:
    @pytest.mark.parametrize(
        ("exits", "tiers", "layers", "heads", "chosen"),
        [
            # the paper's 12-layer encoder, and the demo's of 6 layers
            (None, None, 12, (4, 6, 12), (4, 6, 12)),
            (None, None, 6, (2, 3, 6), (2, 3, 6)),
            (None, None, 2, (1, 2), (1, 1, 2)),
            (None, None, 1, (1,), (1, 1, 1)),
            ((3, 3, 6), None, 6, (3, 6), (3, 3, 6)),
            ((6, 6, 6), None, 6, (6,), (6, 6, 6)),
            ((6,), None, 6, (6,), (6, 6, 6)),
            ("all", None, 6, (1, 2, 3, 4, 5, 6), (2, 3, 6)),
            ("all", (1, 4, 6), 6, (1, 2, 3, 4, 5, 6), (1, 4, 6)),
            (None, (1, 4, 6), 6, (1, 4, 6), (1, 4, 6)),
            ((1, 2, 3, 6), None, 6, (1, 2, 3, 6), (2, 3, 6)),
            ((1, 2, 4, 6), (1, 2, 6), 6, (1, 2, 4, 6), (1, 2, 6)),
            ((2, 6), (2, 2, 6), 6, (2, 6), (2, 2, 6)),
            # other numbers of tiers
            (None, (2, 6), 6, (2, 6), (2, 6)),
            ("all", (6,), 6, (1, 2, 3, 4, 5, 6), (6,)),
            ("all", (1, 2, 3, 6), 6, (1, 2, 3, 4, 5, 6), (1, 2, 3, 6)),
        ],
    )
    def test_heads_and_tiers(
        self, exits: Any, tiers: Any, layers: int, heads: Any, chosen: Any
    ) -> None:
        assert resolve_exits(exits, tiers, layers) == (heads, chosen)

    @pytest.mark.parametrize(
        ("exits", "tiers", "word"),
        [
            ((3, 2, 6), None, "shallow to deep"),
            ((), None, "got none"),
            ((2, 3, 7), None, "layers 1 to 6"),
            ((0, 3, 6), None, "layers 1 to 6"),
            ((2, 3, 5), None, "last layer, 6"),
            ((1, 6), None, "--tiers"),
            ((1, 2, 4, 6), None, "--tiers"),
            ((1, 2, 4, 6), (1, 3, 6), "exit at layer 3"),
            (None, (1, 2, 5), "last layer, 6"),
            ("all", (3, 2, 6), "3"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, exits: Any, tiers: Any, word: str) -> None:
        with pytest.raises(ConfigError, match=word):
            resolve_exits(exits, tiers, 6)

    @given(st.integers(1, 48), st.data())
    def test_any_three_layers_in_order_are_the_tiers(
        self, layers: int, data: st.DataObject
    ) -> None:
        n = data.draw(st.integers(1, layers))
        m = data.draw(st.integers(1, n))
        heads, tiers = resolve_exits((m, n, layers), None, layers)
        assert tiers == (m, n, layers)
        assert set(heads) == {m, n, layers}
        assert list(heads) == sorted(heads)

    @given(st.integers(1, 48))
    def test_the_default_fits_every_encoder(self, layers: int) -> None:
        heads, (m, n, l) = resolve_exits(None, None, layers)  # noqa: E741
        assert 1 <= m <= n <= l == layers
        assert {m, n, l} == set(heads)


def test_tiers_with_and_without_names() -> None:
    assert named_tiers((2, 6)) == (("mobile", "cloud"), (2, 6))
    assert named_tiers([2, 3, 6]) == (("mobile", "edge", "cloud"), (2, 3, 6))
    assert named_tiers({"a": 1, "b": 1, "c": 3, "d": 6}) == (("a", "b", "c", "d"), (1, 1, 3, 6))


@pytest.mark.parametrize(
    ("tiers", "word"),
    [
        ((1, 2, 3, 6), "4 tiers need names"),
        ({"a": 6, "b": 2}, "at least as deep"),
        ({"A": 2, "b": 6}, "a tier's name is"),
        ({}, "the tiers' exits"),
        ("2,6", "a table of names and exits, got '2,6'"),
        (7, "a table of names and exits, got 7"),
    ],
)
def test_tiers_that_are_none_are_refused(tiers: Any, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        named_tiers(tiers)
