"""A tier that takes texts, at a real Triton: the answers of our own server, and its refusals."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def both(exported: Path, folder: Path, *, pairs: bool) -> Iterator[Served]:
    """The cloud of the tiny run, which is sent texts or pairs of texts."""
    bundle = shutil.copytree(exported, folder / "bundle")
    let_tier_take_texts(bundle, "cloud", pairs=pairs)
    models = write_triton_repository(bundle, folder / "models", backend="python")
    words = command("serve", bundle / "cloud", "--port", "0")
    with TritonServer(models) as theirs, Server.by(words, folder / "log") as own:
        yield Served(bundle, theirs.url, own.url)


@pytest.fixture(scope="module")
def served(
    exported: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with both(exported[0], tmp_path_factory.mktemp("texts"), pairs=False) as servers:
        yield servers


@pytest.fixture(scope="module")
def served_pairs(
    exported: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with both(exported[0], tmp_path_factory.mktemp("pairs"), pairs=True) as servers:
        yield servers


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


def asked_pairs(batch: int) -> dict[str, npt.NDArray[Any]]:
    return {"text": column(*texts(batch)), "pair": column(*texts(batch, seed=7))}


class TestPairs:
    @pytest.mark.parametrize("batch", BATCHES)
    def test_our_client_gets_from_triton_what_our_server_gives(
        self, served_pairs: Served, batch: int
    ) -> None:
        asked = asked_pairs(batch)
        with (
            TierClient(endpoint(served_pairs.bundle, "cloud", served_pairs.theirs)) as theirs,
            TierClient(endpoint(served_pairs.bundle, "cloud", served_pairs.own)) as own,
        ):
            expected = own.infer(asked, id="b").probabilities
            found = theirs.infer(asked, id="b").probabilities
            turned = own.infer({"text": asked["pair"], "pair": asked["text"]}, id="c")
        np.testing.assert_allclose(found, expected, atol=CLOSE)
        # Which text is which does make a difference.
        assert np.abs(turned.probabilities - expected).max() > 100 * CLOSE

    @pytest.mark.parametrize("binary", [True, False])
    def test_tritons_own_client_gets_the_same_of_both(
        self, served_pairs: Served, binary: bool
    ) -> None:
        first, second = column("", "a moving film"), column("ein Süßer", "")
        tensors = []
        for name, values in (("text", first), ("pair", second)):
            tensors.append(triton.InferInput(name, [2, 1], "BYTES"))
            tensors[-1].set_data_from_numpy(values, binary_data=binary)
        found = []
        for url in (served_pairs.theirs, served_pairs.own):
            with triton.InferenceServerClient(url.removeprefix("http://")) as client:
                found.append(client.infer("cloud", tensors).as_numpy("probabilities"))
                said = client.get_model_metadata("cloud")["inputs"]
                assert [each["name"] for each in said] == ["text", "pair"]
        np.testing.assert_allclose(found[0], found[1], atol=CLOSE)

    def test_one_text_alone_is_refused_and_the_next_pair_answered(
        self, served_pairs: Served
    ) -> None:
        for url in (served_pairs.theirs, served_pairs.own):
            with TierClient(endpoint(served_pairs.bundle, "cloud", url)) as client:
                with pytest.raises(TierError) as caught:
                    client.infer(asked(1), id="1")
                assert caught.value.reason in ("refused", "server error")
                answer = client.infer(asked_pairs(1), id="2")
                assert answer.probabilities.shape == (1, 2)
