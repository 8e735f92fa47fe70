"""Settings of a compressed model, and what is refused of them."""

from __future__ import annotations

from typing import Any

import pytest

from dimec.base.errors import ConfigError
from dimec.runs.compression import CompressionSettings


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "gzip"}, "method must be one of magnitude, heads, int8, student, got 'gzip'"),
        ({"method": "student"}, "name that run with student"),
        ({"sparsity": 1.0}, "sparsity must lie between 0 and 1, got 1.0"),
        ({"sparsity": float("nan")}, "sparsity must lie between 0 and 1, got nan"),
        ({"learning_rate": 0.0}, "learning_rate must lie between 0 and 1, got 0.0"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"prunings": 0}, "prunings must be at least 1, got 0"),
        ({"rows": 0}, "rows must be at least 1, got 0"),
        ({"max_train_rows": 0}, "max_train_rows must be at least 1, got 0"),
        ({"layer": 0}, "layer must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
    ],
)
def test_a_setting_out_of_range_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        CompressionSettings(**wrong)
    assert message in str(error.value)


def test_what_is_left_open_comes_from_the_run() -> None:
    settings = CompressionSettings().for_run((2, 3, 6), 6, 5e-5)
    assert (settings.layer, settings.learning_rate, settings.sparsity) == (2, 5e-5, None)
    given = CompressionSettings(layer=3, learning_rate=1e-3).for_run((2, 3, 6), 6, 5e-5)
    assert (given.layer, given.learning_rate) == (3, 1e-3)
    with pytest.raises(ConfigError, match="layer from 1 to 6, the model's last, got 7"):
        CompressionSettings(layer=7).for_run((2, 3, 6), 6, 5e-5)
    with pytest.raises(ConfigError, match="leave the layer open"):
        CompressionSettings().fitted_layer  # noqa: B018
