"""A tier that takes texts, at a real Triton: the answers of our own server, and its refusals."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.http as triton

from asked import BATCHES, CLOSE, endpoint
from dimec.base.errors import TierError
from dimec.bundle.triton import write_triton_repository
from dimec.client.tier_client import AsyncTierClient, TierClient
from dimec.protocol import LARGEST_TEXT
from support.served import Server
from support.texts import column, let_tier_take_texts
from support.tiers import texts
from support.tiny import command
from triton_server import TritonServer


class Served(NamedTuple):
    """The same tier, served by Triton and by dimec."""

    bundle: Path
    theirs: str
    own: str


@pytest.fixture(scope="module")
def served(
    exported: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """The cloud of the tiny run, which is sent texts."""
    folder = tmp_path_factory.mktemp("texts")
    bundle = shutil.copytree(exported[0], folder / "bundle")
    let_tier_take_texts(bundle, "cloud")
    models = write_triton_repository(bundle, folder / "models", backend="python")
    words = command("serve", bundle / "cloud", "--port", "0")
    with TritonServer(models) as theirs, Server.by(words, folder / "log") as own:
        yield Served(bundle, theirs.url, own.url)


def asked(batch: int) -> dict[str, npt.NDArray[Any]]:
    return {"text": column(*texts(batch))}


@pytest.mark.parametrize("batch", BATCHES)
def test_both_clients_get_from_triton_what_our_server_gives(served: Served, batch: int) -> None:
    place = endpoint(served.bundle, "cloud", served.theirs)

    async def at_once() -> npt.NDArray[np.float32]:
        async with AsyncTierClient(place) as client:
            return (await client.infer(asked(batch), id="a")).probabilities

    with (
        TierClient(place) as theirs,
        TierClient(endpoint(served.bundle, "cloud", served.own)) as own,
    ):
        expected = own.infer(asked(batch), id="b").probabilities
        found = theirs.infer(asked(batch), id="b").probabilities
    np.testing.assert_allclose(found, expected, atol=CLOSE)
    np.testing.assert_allclose(asyncio.run(at_once()), expected, atol=CLOSE)


@pytest.mark.parametrize("binary", [True, False])
def test_tritons_own_client_gets_the_same_of_both(served: Served, binary: bool) -> None:
    tensor = triton.InferInput("text", [3, 1], "BYTES")
    tensor.set_data_from_numpy(column("", "a moving film", "ein Süßer"), binary_data=binary)
    found = []
    for url in (served.theirs, served.own):
        with triton.InferenceServerClient(url.removeprefix("http://")) as client:
            found.append(client.infer("cloud", [tensor]).as_numpy("probabilities"))
            (said,) = client.get_model_metadata("cloud")["inputs"]
            assert said == {"name": "text", "datatype": "BYTES", "shape": [-1, 1]}
    np.testing.assert_allclose(found[0], found[1], atol=CLOSE)


def test_a_text_that_is_too_long_is_refused_and_the_next_answered(served: Served) -> None:
    long = {"text": column("x" * (LARGEST_TEXT + 1))}
    with TierClient(endpoint(served.bundle, "cloud", served.theirs)) as client:
        client.infer(asked(1), id="1")
        with pytest.raises(TierError) as caught:
            client.infer(long, id="2")
        assert caught.value.reason in ("refused", "server error")
        assert client.infer(asked(1), id="3").probabilities.shape == (1, 2)
