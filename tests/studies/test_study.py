"""Results as they are written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec_studies.study import folded

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(VALUES, st.integers(0, 5))
def test_what_is_folded_reads_the_same(value: Any, depth: int) -> None:
    assert json.loads(folded(value, depth)) == value


@given(VALUES)
def test_to_the_very_depth_it_is_indented_as_everywhere(value: Any) -> None:
    assert folded(value, 1000) == json.dumps(value, indent=2, ensure_ascii=False)


def test_from_a_depth_on_it_is_a_line() -> None:
    assert folded({"a": [{"b": 1}, 2], "c": {}}, 2).splitlines() == [
        "{",
        '  "a": [',
        '    {"b": 1},',
        "    2",
        "  ],",
        '  "c": {}',
        "}",
    ]


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        folded([float("nan")], 1)
