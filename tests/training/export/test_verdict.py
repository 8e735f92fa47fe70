"""Which differences from the trained model a tier may have."""

from __future__ import annotations

from typing import Any

import pytest

from dimec.base.errors import ParityError
from dimec.training.export.verdict import Parity, require_parity

GOOD = Parity(rows=1000, difference=1e-6, agreement=1.0, routes=1.0, embedding=1e-7)


@pytest.mark.parametrize(
    ("precision", "change", "passes"),
    [
        ("fp32", {"difference": 9.9e-5}, True),
        ("fp32", {"difference": 1.1e-4}, False),
        ("fp32", {"embedding": 1.1e-4}, False),
        ("fp32", {"routes": 0.999}, False),
        ("fp32", {"difference": float("nan")}, False),
        ("int8", {"difference": 0.3}, True),
        ("int8", {"agreement": 0.99, "routes": 0.99}, True),
        ("int8", {"agreement": 0.989}, False),
        ("int8", {"routes": 0.989}, False),
        # So many rows show 98 % where all of them agree; where a few do not, more are needed.
        ("int8", {"rows": 133}, True),
        ("int8", {"rows": 132}, False),
        ("int8", {"rows": 41}, False),
        ("int8", {"rows": 400, "agreement": 0.99}, False),
        ("int8", {"rows": 400, "agreement": 0.9975}, True),
        ("fp32", {"rows": 5}, True),
        ("int8", {"embedding": float("inf")}, False),
    ],
)
def test_where_the_lines_are_drawn(precision: Any, change: dict[str, float], passes: bool) -> None:
    parity = Parity(**{**vars(GOOD), **change})
    if passes:
        require_parity("mobile", precision, parity, force=False)
    else:
        with pytest.raises(ParityError) as caught:
            require_parity("mobile", precision, parity, force=False)
        assert "\n" not in str(caught.value)
