"""How many replicas there are: what is refused, and the same in Ray Serve's words."""

from __future__ import annotations

from typing import Any

import pytest

from dimec.base.errors import ConfigError
from dimec.serving.scaling import Scaling


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"min_replicas": 0}, "min_replicas: "),
        ({"min_replicas": 5}, "max_replicas: expected min_replicas 5 or more, got 4"),
        ({"target_requests": 0}, "target_requests: "),
        ({"upscale_delay": -1}, "upscale_delay: "),
        ({"replica_cpus": float("inf")}, "replica_cpus: "),
        ({"ray_address": ""}, "ray_address: "),
    ],
)
def test_what_cannot_be_is_refused_by_name(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        Scaling.of(**values)


@pytest.mark.parametrize("delay", [0, 1, 10, 300])
def test_load_is_told_often_enough_for_the_delay(delay: float) -> None:
    said = Scaling(upscale_delay=delay, max_replicas=9).autoscaling()
    assert said["max_replicas"] == 9
    assert said["upscale_delay_s"] == delay
    assert 0.5 <= said["metrics_interval_s"] <= max(0.5, delay / 2)
    assert said["look_back_period_s"] > said["metrics_interval_s"]


@pytest.mark.parametrize(("cores", "threads"), [(0.5, 1), (1, 1), (2.9, 2), (4, 4)])
def test_a_replica_has_as_many_threads_as_whole_cores(cores: float, threads: int) -> None:
    assert Scaling(replica_cpus=cores).replica_threads == threads
