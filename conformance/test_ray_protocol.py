"""Through Ray's proxies the protocol is as without them: the server's own tests, asked there."""

# ruff: noqa: F401
# What is imported is what is run; the fixtures that it asks for are below.

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ray_served import RayCluster
from serving.test_app import test_health_is_open
from serving.test_infer import (
    test_a_body_that_is_too_large_is_413,
    test_a_chunked_body_is_as_good_as_another,
    test_bodies_that_are_encoded_are_415,
    test_bodies_that_are_no_requests_are_400,
    test_json_and_binary_both_ways,
    test_many_clients_get_their_own_answers,
    test_padding_on_the_wire_changes_nothing,
    test_requests_that_follow_each_other_closely_are_answered_in_order,
    test_the_answer_names_the_body_that_it_answers,
    test_the_digest_of_a_request_is_checked_where_it_is_given,
    test_wrong_requests_are_400,
)
from serving.test_routes import (
    test_configuration_and_repository,
    test_every_answer_carries_server_id_and_digest,
    test_head_has_no_body,
    test_health_and_readiness,
    test_inference_elsewhere_is_404,
    test_metadata_of_server_and_model,
    test_what_is_not_there_is_404,
    test_wrong_methods_are_405,
)
from support.served import Server, expected, inputs_of


@pytest.fixture(scope="module")
def server(
    ray: RayCluster, tier: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """With the limits that those tests know."""
    limits = ("--max-batch", "8", "--queue", "16", "--max-body", "16384")
    with ray.serving(tier, tmp_path_factory.mktemp("server") / "log", *limits) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(server: Server) -> Server:
    """For the test of what is open, which is so without a token too."""
    return server


def test_every_row_of_a_large_body_is_answered(server: Server) -> None:
    inputs = inputs_of(*([n] * 40 for n in range(1, 9)))
    answer = server.infer(inputs, binary=False)
    found = answer.decoded().outputs["probabilities"]
    np.testing.assert_allclose(found, expected(inputs), atol=1e-6)


def test_metrics_name_the_replica_that_answers(server: Server) -> None:
    lines = server.get("/metrics").body.decode().splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    assert samples
    assert all('replica="' in line for line in samples)
