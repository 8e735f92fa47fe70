"""Bodies of requests as clients write them, with any change to them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dimec.base.errors import ProtocolError
from dimec.protocol import (
    InferRequest,
    Limits,
    decode_request,
)


def tensor(**changes: Any) -> dict[str, Any]:
    """A sound tensor as JSON, with changes; a change to None takes the key away."""
    entry = {"name": "x", "datatype": "INT64", "shape": [2, 2], "data": [1, 2, 3, 4], **changes}
    return {key: value for key, value in entry.items() if value is not None}


def body(*inputs: dict[str, Any], **changes: Any) -> bytes:
    """A request as JSON."""
    return json.dumps({"inputs": list(inputs) or [tensor()], **changes}).encode()


def decode(*inputs: dict[str, Any], **changes: Any) -> InferRequest:
    """Decode the request that :func:`body` makes."""
    return decode_request(body(*inputs, **changes), None)


def raw(shape: list[Any], datatype: str, size: Any, tail: bytes) -> tuple[bytes, int]:
    """A request with one raw tensor, and the length of its JSON."""
    parameters = {"binary_data_size": size}
    text = body(tensor(data=None, datatype=datatype, shape=shape, parameters=parameters))
    return text + tail, len(text)


def refusal(content: bytes, length: str | int | None = None, limits: Limits | None = None) -> str:
    """The message of the refusal, which is the same for a request and for a response."""
    with pytest.raises(ProtocolError) as caught:
        decode_request(content, length, limits or Limits())
    assert caught.value.status == 400
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000
    return str(caught.value)
