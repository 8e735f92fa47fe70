"""A small body makes no decoder take much memory."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from dimec.base.errors import ProtocolError
from dimec.protocol import decode_request


def tensor(**changes: Any) -> dict[str, Any]:
    """A sound tensor as JSON, with changes; a change to None takes the key away."""
    entry = {"name": "x", "datatype": "INT64", "shape": [2, 2], "data": [1, 2, 3, 4], **changes}
    return {key: value for key, value in entry.items() if value is not None}


def body(*inputs: dict[str, Any], **changes: Any) -> bytes:
    """A request as JSON."""
    return json.dumps({"inputs": list(inputs) or [tensor()], **changes}).encode()


@pytest.mark.parametrize(
    "content",
    [
        body(tensor(shape=[1 << 20], datatype="FP64")),
        body(tensor(shape=[1 << 20], data=[[]] * 30_000)),
        body(tensor(shape=[30_000, 1], data=[[1]] * 30_000)),
        body(tensor(shape=[30_000], datatype="BYTES", data=[""] * 30_000)),
        body(tensor(shape=[30_000], datatype="BYTES", data=["ab"] * 30_000)),
        body(*[{}] * 30_000),
        body(tensor(shape=[1] * 60_000)),
        body(id="x" * 100_000),
        b"[" * 100_000,
        b'{"a":' * 20_000,
        b'{"x":[' + b'{"a":0},' * 20_000 + b"0]}",
    ],
    ids=range(11),
)
def test_memory_stays_in_proportion_to_the_body(content: bytes) -> None:
    tracemalloc.start()
    try:
        refusal_or_answer(content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # An empty list of two bytes with its comma is 64 bytes of Python.
    assert peak < 64 * len(content) + 100_000


def refusal_or_answer(content: bytes) -> None:
    """Decode, whatever comes of it."""
    try:
        decode_request(content, None)
    except ProtocolError:
        return
