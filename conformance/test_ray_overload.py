"""A replica that is busy: deadlines, clients that go away and a full queue, as without Ray."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ray_served import RayCluster
from serving.test_app import INPUTS, Busy
from support.served import INFER, Background, Server, expected, inputs_of, message, raw_request


@pytest.fixture(scope="module")
def narrow(
    ray: RayCluster, tier: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One replica with room for two rows."""
    limits = ("--max-batch", "2", "--queue", "2", "--max-replicas", "1")
    with ray.serving(tier, tmp_path_factory.mktemp("narrow") / "log", *limits) as running:
        yield running


def test_overload_deadlines_and_vanished_clients(narrow: Server) -> None:
    busy = Busy(narrow)
    late = narrow.infer(INPUTS, timeout=0.02)
    assert late.status == 504
    assert late.error == "the deadline has passed before there was an answer"
    with narrow.socket() as sock:
        sock.sendall(raw_request(INFER, *message(inputs_of([1], [2]))))
        narrow.wait_for("dimec_queue_rows", 2)
        refused = narrow.infer(INPUTS)
        assert refused.status == 503
        assert refused.error.startswith("the queue is full")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
    # Ray tells the replica that the client has gone, and its rows make room.
    narrow.wait_for("dimec_requests_total", 1, outcome="cancelled")
    assert narrow.metric("dimec_queue_rows") == 0
    patient = Background(narrow.infer, INPUTS, timeout=600.0)
    narrow.wait_for("dimec_queue_rows", 1)
    busy.end()
    found = patient.result().decoded().outputs["probabilities"]
    np.testing.assert_allclose(found, expected(INPUTS), atol=1e-6)
    for outcome, status in (("deadline", "504"), ("overloaded", "503"), ("cancelled", "499")):
        assert narrow.metric("dimec_requests_total", outcome=outcome, status=status) == 1
