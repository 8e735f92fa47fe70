"""Whatever a body holds: never a 500, never a hang, and sound requests have the right answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimec.bundle.folders import TierBundle
from dimec.protocol import BINARY_HEADER, decode_request
from dimec.serving.app import TierApp, create_app
from dimec.serving.logs import JsonLog
from dimec.serving.settings import ServerSettings
from support.fuzzing import Sample, broken_messages
from support.served import INFER, LONGEST, VOCABULARY, Answer, expected, inputs_of, message
from support.texts import column, make_text_tier

REFUSED = {400, 413, 415}


@pytest.fixture(scope="module")
def app(tier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TierApp]:
    with (tmp_path_factory.mktemp("app") / "log").open("wb", buffering=0) as stream:
        log = JsonLog("info", stream)
        settings = ServerSettings.of(threads=1, max_batch=8, max_body=8192)
        app = create_app(TierBundle.open(tier), settings, log)
        yield app
        app.close()
        log.close()


def post(app: TierApp, body: bytes, headers: dict[str, str], parts: int = 1) -> Answer:
    """One request without a socket, its body in so many parts."""
    size = max(-(-len(body) // parts), 1)
    chunks = [body[i : i + size] for i in range(0, len(body), size)] or [b""]
    messages = [
        {"type": "http.request", "body": chunk, "more_body": i + 1 < len(chunks)}
        for i, chunk in enumerate(chunks)
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        if messages:
            return messages.pop(0)
        return await asyncio.get_running_loop().create_future()  # the client stays

    async def send(part: Any) -> None:
        sent.append(part)

    scope = {
        "type": "http",
        "method": "POST",
        "path": INFER,
        "query_string": b"",
        "headers": [
            (name.lower().encode("latin-1"), value.encode("utf-8"))
            for name, value in headers.items()
        ],
    }

    async def whole() -> None:
        await asyncio.wait_for(app(scope, receive, send), 60)
        # A run that goes on after its deadline ends in this loop: the next request has another.
        while app._batcher.running:
            await asyncio.sleep(0.001)

    asyncio.run(whole())
    start, end = sent
    names = {name.decode(): value.decode() for name, value in start["headers"]}
    assert int(names["content-length"]) == len(end["body"])
    return Answer(start["status"], names, end["body"])


def check(app: TierApp, sample: Sample, parts: int = 1) -> int:
    """Post a body; its answer is right, or a refusal in one printable line."""
    length = {} if sample.header_length is None else {BINARY_HEADER: sample.header_length}
    answer = post(app, sample.body, length, parts)
    if answer.status == 200:
        inputs = decode_request(*sample).inputs
        probabilities = answer.decoded().outputs["probabilities"]
        np.testing.assert_allclose(probabilities, expected(inputs), atol=1e-6)
        return 200
    if answer.status == 504:
        assert decode_request(*sample).timeout is not None
    else:
        assert answer.status in REFUSED, (answer, sample)
    assert answer.error.isprintable()
    return answer.status


def _still_right(app: TierApp) -> None:
    headers, body = message(inputs_of([1, 2, 3], [4]))
    assert check(app, Sample(body, headers[BINARY_HEADER])) == 200


def _samples() -> list[Sample]:
    inputs = inputs_of([1, 50, 999], [7])
    made = [
        message(inputs, id="7", outputs=("probabilities",), timeout=3600.0),
        message(inputs, binary=False),
    ]
    return [Sample(body, headers.get(BINARY_HEADER)) for headers, body in made]


def test_mutants_of_sound_requests(app: TierApp) -> None:
    statuses = dict.fromkeys((200, 400, 413, 504), 0)
    rng = random.Random(1)
    for sample in islice(broken_messages(3, _samples()), 1500):
        body, length = sample
        if length is not None and not length.isascii():
            length = "٣"
        statuses[check(app, Sample(body, length), parts=rng.choice((1, 1, 2, 5)))] += 1
    assert statuses[200] > 20
    assert statuses[400] > 500
    _still_right(app)


def test_mutants_of_requests_with_texts(tmp_path: Path) -> None:
    texts = {"text": column("t1 t50 é", "t7")}
    sound = [message(texts, id="7", outputs=("probabilities",)), message(texts, binary=False)]
    samples = [Sample(body, headers.get(BINARY_HEADER)) for headers, body in sound]
    statuses = dict.fromkeys((200, 400, 413, 504), 0)
    with (tmp_path / "log").open("wb", buffering=0) as stream:
        log = JsonLog("info", stream)
        bundle = TierBundle.open(make_text_tier(tmp_path / "edge"))
        app = create_app(bundle, ServerSettings.of(threads=1, max_body=8192), log)
        for body, length in islice(broken_messages(4, samples), 500):
            headers = {} if length is None else {BINARY_HEADER: length}
            answer = post(app, body, headers)
            statuses[answer.status] += 1
            assert answer.status == 200 or answer.error.isprintable()
        app.close()
        log.close()
    assert statuses[200] > 5
    assert statuses[400] > 200


tensors = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["input_ids", "attention_mask", "token_type_ids", "x", ""]),
        "datatype": st.sampled_from(["INT64", "INT32", "FP32", "BYTES", "BOOL", None]),
        "shape": st.lists(st.integers(-1, 50), max_size=3),
    },
    optional={
        "data": st.recursive(
            st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.text(max_size=3)),
            lambda inner: st.lists(inner, max_size=5),
            max_leaves=12,
        ),
        "parameters": st.dictionaries(
            st.sampled_from(["binary_data_size", "shared_memory_region", "x"]),
            st.one_of(st.integers(), st.text(max_size=3)),
            max_size=2,
        ),
    },
)
requests = st.fixed_dictionaries(
    {"inputs": st.lists(tensors, max_size=4)},
    optional={
        "id": st.one_of(st.text(max_size=5), st.integers()),
        "outputs": st.lists(st.fixed_dictionaries({"name": st.text(max_size=3)}), max_size=2),
        "parameters": st.dictionaries(
            st.sampled_from(["timeout", "binary_data_output", "priority"]),
            st.one_of(st.integers(), st.booleans(), st.floats()),
        ),
    },
)


@given(requests, st.one_of(st.none(), st.integers(-5, 500)))
@settings(max_examples=150)
def test_json_of_any_shape(app: TierApp, value: Any, length: int | None) -> None:
    import json

    body = json.dumps(value).encode()
    check(app, Sample(body, None if length is None else str(length)))


@given(
    st.lists(st.integers(0, 999), min_size=1, max_size=LONGEST),
    st.integers(0, 12),
    st.integers(1, 9),
    st.booleans(),
)
def test_sound_requests_of_any_shape(
    app: TierApp, row: list[int], padding: int, rows: int, binary: bool
) -> None:
    inputs = inputs_of(*[row] * rows)
    inputs = {name: np.pad(values, ((0, 0), (0, padding))) for name, values in inputs.items()}
    headers, body = message(inputs, binary=binary)
    fits = rows <= 8 and len(row) + padding <= LONGEST and len(body) <= 8192
    status = check(app, Sample(body, headers.get(BINARY_HEADER)))
    assert (status == 200) == fits
    assert (status == 413) == (len(body) > 8192)


@given(st.integers(-(2**63), 2**63 - 1).filter(lambda value: not 0 <= value < VOCABULARY))
def test_no_id_beyond_the_vocabulary_reaches_the_graph(app: TierApp, value: int) -> None:
    headers, body = message(inputs_of([1, value]))
    assert check(app, Sample(body, headers[BINARY_HEADER])) == 400


@given(
    st.dictionaries(
        st.sampled_from(
            [
                *("Content-Length", "Content-Encoding", "Content-Digest", BINARY_HEADER),
                *("X-Request-Id", "traceparent", "Authorization", "Expect"),
            ]
        ),
        st.text(st.characters(max_codepoint=0xFF), max_size=40),
    )
)
def test_headers_of_any_content(app: TierApp, headers: dict[str, str]) -> None:
    sound, body = message(inputs_of([1, 2]))
    assert post(app, body, {**sound, **headers}).status in {200, *REFUSED}
    _still_right(app)


def test_random_bytes(app: TierApp) -> None:
    rng = random.Random(0)
    for _ in range(300):
        body = rng.randbytes(rng.choice((0, 1, 10, 1000)))
        assert check(app, Sample(body, rng.choice((None, "0", str(len(body)))))) == 400
    _still_right(app)
