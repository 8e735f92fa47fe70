"""A tier on a cluster of Ray that loses a node under load: no input stays unanswered."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dimec.base.errors import TierError
from dimec.client.endpoint import Endpoint
from dimec.client.tier_client import TierClient
from ray_served import RayCluster
from support.served import VERSION, Server, expected, inputs_of

CLIENTS = 8
AFTER = 25  # answers that each client has to get once something has happened
WORK = 1040  # a row with this id takes some tens of milliseconds


class Load:
    """Clients that ask one after the other until the block ends; every answer has to be right.

    Args:
        url: of the tier.
    """

    def __init__(self, url: str) -> None:
        self._endpoint = Endpoint("edge", url, VERSION, 2, timeout=60)
        self._more = threading.Condition()
        self._answers = [0] * CLIENTS
        self._faults: list[BaseException] = []
        self._ended = False
        self._threads = [
            threading.Thread(target=self._ask, args=(number,), daemon=True)
            for number in range(CLIENTS)
        ]

    def _ask(self, number: int) -> None:
        try:
            with TierClient(self._endpoint) as client:
                for turn in itertools.count():
                    if self._ended:
                        return
                    inputs = inputs_of([WORK, number, turn % 900 + 1])
                    answer = client.infer(inputs, id=f"{number}-{turn}").probabilities
                    np.testing.assert_allclose(answer, expected(inputs), atol=1e-6)
                    with self._more:
                        self._answers[number] += 1
                        self._more.notify_all()
        except (TierError, AssertionError) as error:
            with self._more:
                self._faults.append(error)
                self._more.notify_all()

    def go_on(self) -> None:
        """Wait until each client has got some more answers."""
        with self._more:
            wanted = [count + AFTER for count in self._answers]
            assert self._more.wait_for(lambda: self._faults or self._have(wanted), timeout=240)
            assert not self._faults

    def _have(self, wanted: list[int]) -> bool:
        return all(have >= want for have, want in zip(self._answers, wanted, strict=True))

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        for thread in self._threads:
            thread.join(120)
        assert not self._faults
        assert not any(thread.is_alive() for thread in self._threads)


@pytest.fixture
def served(own_ray: RayCluster, tier: Path, tmp_path: Path) -> Iterator[Server]:
    """A tier that grows from one replica to four as soon as there is load."""
    options = ("--max-replicas", "4", "--target-requests", "2")
    quick = ("--upscale-delay", "1", "--downscale-delay", "2")
    with own_ray.serving(tier, tmp_path / "log", *options, *quick) as running:
        yield running


@pytest.mark.timeout(900)
def test_a_node_is_lost_under_load_and_every_input_is_answered(
    own_ray: RayCluster, served: Server
) -> None:
    assert own_ray.wait(1, 1) == 1
    with Load(served.url) as load:
        load.go_on()
        assert own_ray.wait(2, 4) >= 2  # load brings replicas
        load.go_on()
        assert own_ray.lose_a_node() >= 1
        load.go_on()
        assert own_ray.wait(2, 2) == 2  # what the other node has room for
        load.go_on()
    assert own_ray.wait(1, 1) == 1  # without load they go again
    assert served.get("/v2/health/ready").status == 200
