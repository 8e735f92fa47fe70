"""Tiers of a bundle without sockets, and a router that gives each of them a part of the texts."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2
import numpy as np
import numpy.typing as npt

from dimec.bundle.folders import TierBundle, file_records, write_manifest
from dimec.bundle.graphs import Graph
from dimec.mobile import Mobile, Prediction
from dimec.mobile.core import Core, Text
from dimec.protocol import (
    BINARY_HEADER,
    TEXT,
    InferRequest,
    InferResponse,
    decode_request,
    encode_error,
    encode_response,
)
from dimec.routing import CentroidRouter
from dimec.tiers.names import TIER_NAMES
from support.stored import store_router, stored_router
from support.tiny import reviews

# What a tier does with a request; None: answers it.
Behaviour = Callable[[httpx2.Request], httpx2.Response | None]


def balanced(bundle: Path, folder: Path, inputs: Sequence[Text] = ()) -> Path:
    """A copy of a bundle whose router sends about a third of the reviews to each tier.

    Args:
        bundle: of three tiers.
        folder: where the copy goes.
        inputs: others to be split so, such as pairs.
    """
    shutil.copytree(bundle, folder)
    path = folder / "mobile"
    tier = TierBundle.open(path)
    core = Core(tier)
    x = np.stack([core.embed(core.tokenise(text)).pooled for text in inputs or texts(300)])
    # Thirds along the direction in which the embeddings differ most.
    direction = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][0]
    pools = np.empty(len(x), np.int64)
    pools[np.argsort(x @ direction)] = np.arange(len(x)) * 3 // len(x)
    router = CentroidRouter().fit(x, pools)
    store_router(router, path, {"model": tier.manifest.provenance["model"]})
    write_manifest(path, tier.manifest.model_copy(update={"files": file_records(path)}))
    return folder


def one_pool_bundle(bundle: Path, folder: Path) -> Path:
    """A copy of the mobile tier whose router knows the edge only."""
    shutil.copytree(bundle / "mobile", folder)
    manifest = TierBundle.open(folder).manifest
    router = CentroidRouter().fit(np.zeros((2, manifest.width)), np.array([1, 1]))
    store_router(router, folder)
    write_manifest(folder, manifest.model_copy(update={"files": file_records(folder)}))
    return folder


def renamed(bundle: Path, folder: Path, *names: str) -> Path:
    """A copy of a bundle whose tiers have other names."""
    old = TierBundle.open(next(bundle.glob("*/embed.onnx")).parent).manifest
    tiers = tuple(
        record.model_copy(update={"name": name})
        for record, name in zip(old.tiers, names, strict=True)
    )
    for before, name in zip(old.names, names, strict=True):
        shutil.copytree(bundle / before, folder / name)
        manifest = TierBundle.open(folder / name).manifest
        write_manifest(folder / name, manifest.model_copy(update={"tier": name, "tiers": tiers}))
    return folder


def texts(number: int, seed: int = 100) -> list[str]:
    """Reviews."""
    return [text for text, _ in reviews(number, seed)]


def by_route(mobile: Mobile, some: Sequence[str]) -> dict[str, list[str]]:
    """Route → the texts that a fixed router sends there; each route gets some."""
    routes: dict[str, list[str]] = {"mobile": [], "edge": [], "cloud": []}
    for text in some:
        routes[mobile.decide(text).tier_name].append(text)
    assert all(routes.values())
    return routes


class Tier:
    """The edge or the cloud of a bundle behind a transport: right answers, or what is wished for.

    Attributes:
        behaviour: what it does with a request in place of answering, if anything.
        requests: all that it was asked, in order.
        rows: number of rows of each of them.
    """

    def __init__(self, bundle: Path, tier: str) -> None:
        self._bundle = TierBundle.open(bundle / tier, tier)
        self.graph = Graph(self._bundle.file("model.onnx"))
        self.texts = self._bundle.manifest.takes == "text"
        self.behaviour: Behaviour | None = None
        self.requests: list[httpx2.Request] = []
        self.rows: list[int] = []
        self._mutex = threading.Lock()

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        asked = decode_request(request.content, request.headers.get(BINARY_HEADER))
        with self._mutex:
            self.requests.append(request)
            self.rows.append(len(asked.inputs[TEXT if self.texts else "input_ids"]))
        if self.behaviour is not None and (response := self.behaviour(request)) is not None:
            return response
        return self.answer(asked)

    def answer(self, asked: InferRequest) -> httpx2.Response:
        """The right answer."""
        if self.texts:
            columns = [asked.inputs[name][:, 0].tolist() for name in asked.inputs]
            probabilities = np.concatenate(
                [self._of_text(*row) for row in zip(*columns, strict=True)]
            )
        else:
            (probabilities,) = self.graph(**asked.inputs)
        manifest = self._bundle.manifest
        outputs = {"probabilities": probabilities}
        response = InferResponse(manifest.tier, manifest.version, asked.id, outputs)
        message = encode_response(response, binary=True)
        headers = {**message.headers, "X-Request-Id": asked.id, "Server": "dimec/0"}
        return httpx2.Response(200, headers=headers, content=message.body)

    def _of_text(self, *parts: bytes) -> npt.NDArray[np.float32]:
        """(1, C) of a text or a pair, by the tokenizer of its folder."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self._bundle.file("tokenizer.json")))
        text, pair = (*(part.decode() for part in parts), None)[:2]
        encoding = tokenizer.encode(text or "", pair)
        columns = {
            "input_ids": encoding.ids,
            "attention_mask": encoding.attention_mask,
            "token_type_ids": encoding.type_ids,
        }
        return self.graph(**{name: np.array([values]) for name, values in columns.items()})[0]

    def transport(self) -> httpx2.MockTransport:
        """It, as a client reaches it."""
        return httpx2.MockTransport(self)

    def async_transport(self) -> httpx2.MockTransport:
        """It, as an asynchronous client reaches it."""

        async def handle(request: httpx2.Request) -> httpx2.Response:
            return await asyncio.to_thread(self, request)

        return httpx2.MockTransport(handle)


def failing(status: int) -> Behaviour:
    """Answers with an error."""
    return lambda request: httpx2.Response(status, content=encode_error("not today"))


def unreachable(request: httpx2.Request) -> httpx2.Response:
    """Takes no connection."""
    raise httpx2.ConnectError("connection refused", request=request)


def cut_off(request: httpx2.Request) -> httpx2.Response:
    """Takes the request, and no longer than the deadline to say nothing."""
    raise httpx2.ReadTimeout("the deadline has passed", request=request)


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """No file of this process can grow beyond ``limit`` bytes."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def offline_routes(bundle: Path, mobile: Mobile, some: list[str], adaptive: bool) -> list[str]:
    """What the router says to all of a stream at once."""
    core = mobile.engine.core
    router = stored_router(bundle / "mobile").copy(adaptive)
    x = np.stack([core.embed(core.tokenise(text)).pooled for text in some])
    return [TIER_NAMES[tier] for tier in router.route(x)]


def timeless(predictions: list[Prediction]) -> list[Prediction]:
    """Without what differs from one time to the next."""
    return [dataclasses.replace(p, milliseconds=0.0, id="") for p in predictions]


def pools(mobile: Mobile) -> list[int]:
    """How many embeddings are in each pool of a router that learns."""
    counts: list[int] = mobile.engine.memory()["counts"].tolist()
    return counts


def assert_pools_fit(mobile: Mobile) -> None:
    """Fitted counts and recorded answers make the pools, in the file and in memory."""
    ledger = mobile.ledger()
    assert ledger.learnt == ledger.answers
    fitted = stored_router(mobile.engine.bundle.path).counts
    expected = [fitted[n] + ledger.routes[t] for n, t in enumerate(TIER_NAMES)]
    assert pools(mobile) == expected
    learnt = mobile.engine.state.arrays
    assert (learnt["counts"].tolist() if learnt else fitted.tolist()) == expected
