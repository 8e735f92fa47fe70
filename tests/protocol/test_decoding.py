"""Bytes of strangers: what is understood."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from dimec.protocol import (
    decode_request,
    decode_response,
)
from support.bodies import body, decode, raw, tensor


def test_a_request_as_clients_write_it() -> None:
    request = decode_request(
        b'{ "id" : "42", "inputs" : [ { "name" : "input0", "shape" : [ 2, 2 ], "datatype" : '
        b'"UINT32", "data" : [ 1, 2, 3, 4 ] } ], "outputs" : [ { "name" : "output0" } ] }\n',
        None,
    )
    assert (request.id, request.outputs) == ("42", ("output0",))
    assert (request.binary, request.timeout) == (False, None)
    assert request.inputs["input0"].dtype == np.uint32
    assert request.inputs["input0"].tolist() == [[1, 2], [3, 4]]


def test_raw_tensors_follow_the_json_in_its_order() -> None:
    first = tensor(data=None, shape=[1, 2], parameters={"binary_data_size": 16})
    second = tensor(name="y", datatype="FP32", shape=[1], data=[0.5])
    third = tensor(
        name="z", data=None, datatype="FP32", shape=[2], parameters={"binary_data_size": 8}
    )
    text = body(first, second, third)
    content = text + struct.pack("<qq", 5, -6) + struct.pack("<ff", 0.5, -1)
    request = decode_request(content, str(len(text)))
    values = {name: array.tolist() for name, array in request.inputs.items()}
    assert values == {"x": [[5, -6]], "y": [0.5], "z": [0.5, -1.0]}
    # The arrays are the caller's own: aligned and writable, whatever address the body has.
    assert all(array.flags.aligned and array.flags.writeable for array in request.inputs.values())


def test_data_may_be_nested_as_the_shape_says() -> None:
    flat = decode(tensor(shape=[2, 1, 2])).inputs["x"]
    nested = decode(tensor(shape=[2, 1, 2], data=[[[1, 2]], [[3, 4]]])).inputs["x"]
    assert flat.tolist() == nested.tolist() == [[[1, 2]], [[3, 4]]]


@pytest.mark.parametrize(
    ("shape", "data"), [([0], []), ([0, 3], []), ([2, 0], []), ([2, 0], [[], []]), ([1, 0], [[]])]
)
def test_tensors_without_elements(shape: list[int], data: list[Any]) -> None:
    assert decode(tensor(shape=shape, data=data)).inputs["x"].shape == tuple(shape)
    content, length = raw(shape, "FP32", 0, b"")
    assert decode_request(content, length).inputs["x"].shape == tuple(shape)


@pytest.mark.parametrize(
    ("request_level", "outputs", "names", "binary"),
    [
        (None, None, (), False),
        (True, None, (), True),
        (False, [], (), False),
        (None, [{"name": "a"}, {"name": "b"}], ("a", "b"), False),
        (True, [{"name": "a"}, {"name": "b"}], ("a", "b"), True),
        (None, [{"name": "a", "parameters": {"binary_data": True}}], ("a",), True),
        (
            True,
            [{"name": "a", "parameters": {"binary_data": False}}, {"name": "b"}],
            ("a", "b"),
            frozenset({"b"}),
        ),
    ],
)
def test_which_outputs_are_wanted_as_raw_bytes(
    request_level: bool | None, outputs: Any, names: tuple[str, ...], binary: Any
) -> None:
    changes: dict[str, Any] = {}
    if request_level is not None:
        changes["parameters"] = {"binary_data_output": request_level}
    if outputs is not None:
        changes["outputs"] = outputs
    request = decode(**changes)
    assert request.outputs == names
    assert request.binary == binary


@pytest.mark.parametrize(
    ("value", "seconds"), [(1, 1e-6), (250_000, 0.25), (0, None), (2**64 - 1, (2**64 - 1) / 1e6)]
)
def test_timeouts_are_microseconds_and_zero_is_none(value: int, seconds: float | None) -> None:
    assert decode(parameters={"timeout": value}).timeout == seconds


def test_unknown_parameters_are_ignored() -> None:
    request = decode(
        tensor(parameters={"x": [1]}), parameters={"priority": 3, "sequence_id": "a"}, other=None
    )
    assert request.inputs["x"].tolist() == [[1, 2], [3, 4]]


def test_a_header_length_may_cover_the_whole_body() -> None:
    content = body()
    assert decode_request(content, len(content)).inputs["x"].shape == (2, 2)


def test_a_response_without_id_and_version() -> None:
    response = decode_response(b'{"model_name":"m","outputs":[]}', None)
    assert (response.model, response.version, response.id) == ("m", "", "")
    assert response.outputs == {}
