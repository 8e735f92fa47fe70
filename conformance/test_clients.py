"""Our clients against a real Triton: the same answers as from our own servers, the same faults."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx2
import numpy as np
import numpy.typing as npt
import pytest

from asked import BATCHES, CLOSE, TIERS, endpoint, inputs
from dimec.base.errors import TierError
from dimec.bundle.folders import TierBundle
from dimec.client.tier_client import AsyncTierClient, TierClient
from dimec.protocol import BINARY_HEADER
from triton_server import TritonServer


class NoBinary(httpx2.BaseTransport):
    """A way to a server on which binary tensors are refused."""

    def __init__(self) -> None:
        self.refused = self.passed = 0
        self._inner = httpx2.HTTPTransport()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        if BINARY_HEADER in request.headers:
            self.refused += 1
            return httpx2.Response(400, json={"error": "binary tensors are not supported"})
        self.passed += 1
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("batch", BATCHES)
def test_both_clients_get_from_triton_what_our_server_gives(
    bundle: Path, triton: TritonServer, ours: dict[str, str], tier: str, batch: int
) -> None:
    asked = inputs(bundle, batch)

    async def at_once() -> npt.NDArray[np.float32]:
        async with AsyncTierClient(endpoint(bundle, tier, triton.url)) as client:
            return (await client.infer(asked, id="a")).probabilities

    with (
        TierClient(endpoint(bundle, tier, triton.url)) as theirs,
        TierClient(endpoint(bundle, tier, ours[tier])) as own,
    ):
        expected = own.infer(asked, id="b").probabilities
        found = theirs.infer(asked, id="b").probabilities
    assert found.shape == (batch, 2)
    np.testing.assert_allclose(found, expected, atol=CLOSE)
    np.testing.assert_allclose(asyncio.run(at_once()), expected, atol=CLOSE)


@pytest.mark.parametrize("batch", [1, 7])
def test_json_gets_the_same_answers_as_binary(
    bundle: Path, triton: TritonServer, batch: int
) -> None:
    asked, way = inputs(bundle, batch), NoBinary()
    with (
        TierClient(endpoint(bundle, "edge", triton.url)) as binary,
        TierClient(endpoint(bundle, "edge", triton.url), transport=way) as plain,
    ):
        expected = binary.infer(asked, id="1").probabilities
        for _ in range(3):
            found = plain.infer(asked, id="1").probabilities
            np.testing.assert_allclose(found, expected, atol=CLOSE)
    assert (way.refused, way.passed) == (1, 3)  # learnt once, for good


def test_a_version_that_triton_does_not_have_is_a_wrong_version(
    bundle: Path, triton: TritonServer
) -> None:
    with (
        TierClient(endpoint(bundle, "edge", triton.url, version="7")) as client,
        pytest.raises(TierError) as caught,
    ):
        client.infer(inputs(bundle, 1), id="1")
    assert caught.value.reason == "wrong version"


def test_what_triton_refuses_is_refused_for_good(bundle: Path, triton: TritonServer) -> None:
    asked = inputs(bundle, 1)
    too_wide = {name: np.concatenate([values] * 100) for name, values in asked.items()}
    with TierClient(endpoint(bundle, "edge", triton.url)) as client:
        with pytest.raises(TierError) as caught:
            client.infer(too_wide, id="1")
        assert caught.value.reason == "refused"
        assert caught.value.sent
        assert client.infer(asked, id="2").probabilities.shape == (1, 2)


def test_token_ids_outside_the_vocabulary_are_refused(bundle: Path, triton: TritonServer) -> None:
    asked = inputs(bundle, 1)
    vocabulary = TierBundle.open(bundle / "edge").manifest.vocabulary
    wrong = asked | {"input_ids": asked["input_ids"] + vocabulary}
    with (
        TierClient(endpoint(bundle, "edge", triton.url)) as client,
        pytest.raises(TierError) as caught,
    ):
        client.infer(wrong, id="1")
    assert caught.value.reason in ("refused", "server error")


def test_a_killed_triton_is_unreachable_until_it_is_back(
    bundle: Path, own_triton: TritonServer
) -> None:
    asked = inputs(bundle, 1)
    with TierClient(endpoint(bundle, "edge", own_triton.url)) as client:
        expected = client.infer(asked, id="1").probabilities
        assert client.ready()
        own_triton.kill()
        assert not client.ready()
        with pytest.raises(TierError) as caught:
            client.infer(asked, id="2")
        assert caught.value.reason == "unreachable"
        own_triton.start()
        assert client.ready()
        np.testing.assert_allclose(client.infer(asked, id="3").probabilities, expected, atol=0)


def test_triton_names_the_model_as_the_bundle_does(bundle: Path, triton: TritonServer) -> None:
    for tier in TIERS:
        manifest = TierBundle.open(bundle / tier).manifest
        said = json.loads(httpx2.get(f"{triton.url}/v2/models/{tier}", trust_env=False).text)
        assert said["name"] == tier
        assert said["versions"] == [manifest.version]
        assert {value["name"] for value in said["inputs"]} == set(manifest.inputs)
