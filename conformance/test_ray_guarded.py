"""A tier with a token on a cluster of Ray: who shows none is told nothing by any replica."""

# ruff: noqa: F401
# What is imported is what is run; the fixture that it asks for is below.

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ray_served import RayCluster
from serving.test_app import TOKEN, test_health_is_open, test_without_the_token_nothing_is_told
from support.served import INFER, Server, expected, inputs_of, message


@pytest.fixture(scope="module")
def guarded(
    ray: RayCluster, tier: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A tier that wants a token."""
    log = tmp_path_factory.mktemp("guarded") / "log"
    with ray.serving(tier, log, DIMEC_TOKEN=TOKEN) as running:
        yield running
        assert TOKEN not in running.said()


def test_with_the_token_it_answers(guarded: Server) -> None:
    inputs = inputs_of([1, 2, 3])
    headers, body = message(inputs)
    answer = guarded.ask("POST", INFER, {**headers, "Authorization": f"Bearer {TOKEN}"}, body)
    found = answer.decoded().outputs["probabilities"]
    np.testing.assert_allclose(found, expected(inputs), atol=1e-6)
