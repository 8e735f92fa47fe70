"""What a call costs besides the inference: the messages, and the client around them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bundles import read_texts, scene
from benchmarks.harness import in_fresh_process, seconds
from benchmarks.load import closed_loop
from benchmarks.results import Figure, Result
from benchmarks.serving import TIER, messages, our_server, requests_of

_TOKENS = 26  # of the message whose making is timed: about the mean of real reviews
_CALLS = 500  # of each function, in each repeat


@dataclass(frozen=True)
class Sizes:
    """``run``: see :func:`benchmarks.bundles.scene`; ``texts`` asked in each of ``repeats``."""

    run: str = ""
    texts: int = 200
    repeats: int = 5


def run(sizes: Sizes, seed: int) -> Result:
    """Time the functions, then the client against plain sockets on the same server, by turns."""
    found = scene(sizes.run, seed)
    functions = in_fresh_process(measure_functions, repeats=sizes.repeats).value
    calls = in_fresh_process(
        measure_client,
        bundle=found.bundle("int8"),
        texts_from=found.bundle("fp32"),
        texts=sizes.texts,
        repeats=sizes.repeats,
    ).value
    figures = [Figure.of(name, values) for name, values in functions.items()]
    figures += [Figure.of(f"{TIER}, int8: {name}, p50", values) for name, values in calls.items()]
    notes = (
        f"messages of one text of {_TOKENS} tokens, binary tensors, medians of {_CALLS} calls",
        f"{found.note}; our {TIER} server with one thread, one client; plain sockets send messages "
        "that are made beforehand and do not look at the answers",
    )
    return Result(tuple(figures), notes, {"functions": functions, "calls": calls})


def measure_functions(repeats: int) -> dict[str, list[float]]:
    """Seconds of one call of each function, by repeat."""
    from dimec.protocol import (
        BINARY_HEADER,
        InferRequest,
        InferResponse,
        content_digest,
        decode_request,
        decode_response,
        encode_request,
        encode_response,
    )

    ids = np.arange(_TOKENS, dtype=np.int64)[None]
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    request = InferRequest(inputs, id="1", outputs=("probabilities",), binary=True)
    outputs = {"probabilities": np.array([[0.25, 0.75]], np.float32)}
    response = InferResponse(TIER, "1", "1", outputs)
    sent = encode_request(request, binary=True)
    came = encode_response(response, binary=True)
    calls: dict[str, Callable[[], object]] = {
        "encode a request": lambda: encode_request(request, binary=True),
        "encode a request, JSON": lambda: encode_request(request, binary=False),
        "decode a request": lambda: decode_request(sent.body, sent.headers[BINARY_HEADER]),
        "encode a response": lambda: encode_response(response, binary=True),
        "decode a response": lambda: decode_response(came.body, came.headers[BINARY_HEADER]),
        "digest of a request": lambda: content_digest(sent.body),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            times[name].append(_median_seconds(call, _CALLS))
    return times


def _median_seconds(call: Callable[[], object], count: int) -> float:
    return float(np.median([seconds(call) for _ in range(count)]))


def measure_client(
    bundle: str, texts_from: str, texts: int, repeats: int
) -> dict[str, list[float]]:
    """Median seconds of an answer by our client, by plain sockets, and by the graph alone."""
    from dimec.bundle.folders import TierBundle
    from dimec.bundle.graphs import Graph
    from dimec.client.endpoint import Endpoint
    from dimec.client.tier_client import TierClient

    tier = TierBundle.open(Path(bundle) / TIER, TIER)
    inputs = _inputs(bundle, read_texts(texts_from, texts))
    graph = Graph(tier.file("model.onnx"))
    times: dict[str, list[float]] = {"TierClient": [], "plain sockets": [], "graph alone": []}
    with our_server(bundle, threads=1) as (url, _):
        endpoint = Endpoint(TIER, url, tier.manifest.version, len(tier.manifest.labels), timeout=30)
        requests = requests_of(url, messages(bundle, texts_from, texts))
        with TierClient(endpoint) as client:
            for repeat in range(repeats + 1):
                answers, _ = closed_loop(url, requests, 1)
                taken = {
                    "TierClient": [seconds(partial(client.infer, row, id="1")) for row in inputs],
                    "plain sockets": [answer.seconds for answer in answers],
                    "graph alone": [seconds(partial(graph, **row)) for row in inputs],
                }
                if repeat:  # the first round warms up
                    for name, values in taken.items():
                        times[name].append(float(np.median(values)))
    return times


def _inputs(bundle: str, texts: list[str]) -> list[dict[str, Any]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(bundle) / "mobile" / "tokenizer.json"))
    rows = []
    for text in texts:
        ids = np.array([tokenizer.encode(text).ids], np.int64)
        rows.append({"input_ids": ids, "attention_mask": np.ones_like(ids)})
    return rows
