"""Bytes of strangers: everything that is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dimec.base.errors import ProtocolError
from dimec.protocol import (
    BINARY_HEADER,
    Limits,
    decode_request,
    decode_response,
    encode_request,
)
from support.bodies import body, decode, raw, refusal, tensor


@pytest.mark.parametrize(
    "length",
    [
        *(
            "",
            "-1",
            "+5",
            "1_0",
            " 5",
            "5 ",
            "0x10",
            "1e1",
            "٣",
            "five",
            "1.0",
            "9" * 18,
            "9" * 9000,
        ),
        *(-1, 10**9, True),
    ],
)
def test_a_header_length_that_is_no_length(length: str | int) -> None:
    message = refusal(body(), length)
    assert message.startswith("Inference-Header-Content-Length: expected a whole number from 0 to")


@pytest.mark.parametrize("cut", [0, 1, 10, 40])
def test_truncated_json(cut: int) -> None:
    assert refusal(body()[:cut]).startswith("the body is not JSON")
    assert refusal(body(), cut).startswith("the body is not JSON")


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe",
        b'{"inputs": NaN}',
        b'{"inputs": [Infinity]}',
        b'{"id": "\\ud800"}',
        b'{"id": "\xed\xa0\x80"}',
        b'{"inp\xffuts": []}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"inputs": ' + b"[" * 300 + b"]" * 300 + b"}",
        b'{"x": ' + b"9" * 10_000 + b"}",
        b'{"inputs": []} trailing',
        b"\xef\xbb\xbf{}",
        b"{'inputs': []}",
        b'{"inputs": [],}',
    ],
    ids=range(15),
)
def test_what_is_no_json(content: bytes) -> None:
    assert refusal(content).startswith("the body is not JSON")


@pytest.mark.parametrize("content", [b"[]", b"null", b"5", b'"text"', b"true"])
def test_json_that_is_no_object(content: bytes) -> None:
    assert refusal(content).startswith("the body: expected a JSON object")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"inputs": None}, "the request has no inputs"),
        ({"inputs": {}}, "inputs: expected a list of objects"),
        ({"inputs": [5]}, "inputs: expected a list of objects"),
        ({"inputs": []}, "the request has no inputs"),
        ({"outputs": 5}, "outputs: expected a list of objects"),
        ({"outputs": ["p"]}, "outputs: expected a list of objects"),
        ({"outputs": [{}]}, "a name in outputs: expected"),
        ({"outputs": [{"name": ""}]}, "a name in outputs is empty"),
        ({"outputs": [{"name": "p"}, {"name": "p"}]}, "outputs: two of them have the same name"),
        ({"outputs": [{"name": str(i)} for i in range(9)]}, "outputs: at most 8"),
        ({"outputs": [{"name": "p", "parameters": []}]}, "parameters of output 'p': expected an"),
        ({"outputs": [{"name": "p", "parameters": {"binary_data": 1}}]}, "binary_data: expected t"),
        ({"outputs": [{"name": "p", "parameters": {"classification": 2}}]}, "classification"),
        ({"parameters": {"binary_data_output": "true"}}, "binary_data_output: expected true or"),
        ({"parameters": [1]}, "parameters of the request: expected an object, got a list of 1"),
        ({"id": 7}, "id: expected at most 256 printable characters, got 7"),
        ({"id": "a\r\nb"}, "id: expected at most 256 printable characters, got 'a\\\\r\\\\nb'"),
        ({"id": "x" * 257}, "id: expected at most 256 printable characters, got 'xxx"),
    ],
)
def test_requests_that_are_not_as_they_must_be(changes: dict[str, Any], says: str) -> None:
    assert says.replace("\\\\", "\\") in refusal(body(**changes))


def test_null_stands_for_what_is_left_out() -> None:
    nothing = {"binary_data_output": None, "timeout": None, "x": None}
    for parameters in (None, nothing):
        request = decode(
            {**tensor(), "parameters": None},
            {**tensor(name="y"), "parameters": {"binary_data_size": None, "classification": None}},
            id=None,
            parameters=parameters,
            outputs=None,
        )
        assert (request.id, request.outputs, request.binary) == ("", (), False)
        assert request.timeout is None
        assert list(request.inputs) == ["x", "y"]
        message = encode_request(request)
        again = decode_request(message.body, message.headers.get(BINARY_HEADER))
        assert (again.id, again.outputs, again.binary) == ("", (), False)
    wanted = [
        {"name": "p", "parameters": None},
        {"name": "q", "parameters": {"binary_data": None, "shared_memory_region": None}},
    ]
    request = decode(tensor(), outputs=wanted, parameters={"binary_data_output": True})
    assert (request.outputs, request.binary) == (("p", "q"), True)
    raw_size = {"name": "x", "datatype": "INT64", "shape": [1], "data": None}
    content = json.dumps({"inputs": [{**raw_size, "parameters": {"binary_data_size": 8}}]}).encode()
    assert decode_request(content + b"\1" + b"\0" * 7, len(content)).inputs["x"].tolist() == [1]


@pytest.mark.parametrize(
    "timeout", [-1, 2**64, 10**30, 10**4000, 0.5, 1e999, True, "250", [1], {"a": 1}]
)
def test_timeouts_that_are_none(timeout: Any) -> None:
    content = body(parameters={"timeout": timeout}).replace(b"Infinity", b"1e999")
    assert refusal(content).startswith("timeout: expected a whole number of microseconds")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": None}, "a name in inputs: expected"),
        ({"name": 5}, "a name in inputs: expected"),
        ({"name": ""}, "a name in inputs is empty"),
        ({"name": "a\x00"}, "a name in inputs: expected"),
        ({"name": "x" * 300}, "a name in inputs: expected"),
        ({"datatype": None}, "expected a datatype among BOOL, INT8"),
        ({"datatype": "int64"}, "got 'int64'"),
        ({"datatype": ["INT64"]}, "got a list of 1"),
        ({"datatype": "BF16"}, "got 'BF16'"),
        ({"datatype": "STRING", "data": ["a"]}, "UINT64, FP16, FP32, FP64, BYTES, got 'STRING'"),
        ({"datatype": "BYTES", "data": ["a", "b", "c"]}, "expected 4 values for its shape, got 3"),
        ({"datatype": "BYTES"}, "expected strings, got 1"),
        ({"datatype": "BYTES", "data": ["a", "b", "c", None]}, "expected strings, got None"),
        ({"datatype": "BYTES", "data": [["a"], ["b"]]}, "nested lists in data do not have its sh"),
        ({"datatype": "BYTES", "data": ["a", "b", "c", ["d"]]}, "expected strings, got a list of"),
        ({"shape": None}, "expected a shape of 1 to 8 whole numbers"),
        ({"shape": 4}, "expected a shape"),
        ({"shape": []}, "expected a shape"),
        ({"shape": [4, -1]}, "got [4, -1]"),
        ({"shape": [2.0, 2]}, "got [2.0, 2]"),
        ({"shape": [True, 4]}, "got [True, 4]"),
        ({"shape": ["2", 2]}, "got ['2', 2]"),
        ({"shape": [[2, 2]]}, "expected a shape"),
        ({"shape": [1] * 9}, "got a list of 9"),
        ({"shape": [2**62]}, "expected a shape"),
        ({"shape": [2**32, 2**32]}, "expected a shape"),
        ({"shape": [0, 2**63]}, "expected a shape"),
        ({"shape": [10**400]}, "got [a huge number]"),
        ({"shape": [1 << 20, 2]}, "at most 1048576 elements are allowed, got 2097152"),
        ({"shape": [1 << 20] * 8}, "at most 1048576 elements"),
        ({"parameters": 5}, "parameters of tensor 'x': expected an object"),
        ({"parameters": {"shared_memory_region": "r"}}, "shared_memory_region"),
        ({"data": None}, "expected either 'data' or the parameter 'binary_data_size'"),
        ({"parameters": {"binary_data_size": 32}}, "expected either 'data' or the parameter"),
        ({"data": 5}, "expected a list as data, got 5"),
        ({"data": "1234"}, "expected a list as data"),
        ({"data": [1, 2, 3]}, "expected 4 values for its shape, got 3"),
        ({"data": [1, 2, 3, 4, 5]}, "expected 4 values for its shape, got 5"),
        ({"data": [[1, 2, 3, 4]]}, "nested lists in data do not have its shape"),
        ({"data": [[1, 2], [3]]}, "nested lists in data do not have its shape"),
        ({"data": [[1, 2], [3], [4]]}, "nested lists in data do not have its shape"),
        ({"data": [[1, 2], 3]}, "nested lists in data do not have its shape"),
        ({"data": [[[1], [2]], [[3], [4]]]}, "expected whole numbers, got a list of 1"),
        ({"data": [1, [2], 3, 4]}, "expected whole numbers, got a list of 1"),
        ({"data": [1, 2, 3, 4.0]}, "expected whole numbers, got 4.0"),
        ({"data": [1, 2, 3, True]}, "expected whole numbers, got True"),
        ({"data": [1, 2, 3, "4"]}, "expected whole numbers, got '4'"),
        ({"data": [1, 2, 3, None]}, "expected whole numbers, got None"),
        ({"data": [1, 2, 3, 2**70]}, "out of the range of its datatype"),
        ({"data": [1, 2, 3, 2**63]}, "out of the range of its datatype"),
        ({"datatype": "UINT64", "data": [1, 2, 3, -1]}, "out of the range of its datatype"),
        ({"datatype": "UINT8", "data": [1, 2, 3, 256]}, "out of the range of its datatype"),
        ({"datatype": "INT8", "data": [1, 2, 3, -129]}, "out of the range of its datatype"),
        ({"datatype": "FP16", "data": [1, 2, 3, 70_000]}, "out of the range of its datatype"),
        ({"datatype": "FP32", "data": [1, 2, 3, 1e39]}, "out of the range of its datatype"),
        ({"datatype": "FP64", "data": [1, 2, 3, 10**400]}, "out of the range of its datatype"),
        ({"datatype": "FP32", "data": [1, 2, 3, True]}, "expected numbers, got True"),
        ({"datatype": "FP32", "data": [1, 2, 3, "NaN"]}, "expected numbers, got 'NaN'"),
        ({"datatype": "BOOL", "data": [1, 0, 1, 0]}, "expected true or false, got 1"),
    ],
)
def test_tensors_that_are_not_as_they_must_be(changes: dict[str, Any], says: str) -> None:
    entry = {**tensor(), **changes}
    content = body({key: value for key, value in entry.items() if value is not None})
    assert says in refusal(content)
    # A response is held to the same.
    answer = json.loads(content)
    answer = json.dumps({"model_name": "m", "outputs": answer["inputs"]}).encode()
    with pytest.raises(ProtocolError) as caught:
        decode_response(answer, None)
    assert says.replace("inputs", "outputs") in str(caught.value)


def test_numbers_that_overflow_to_infinity() -> None:
    content = body(tensor(datatype="FP64", shape=[1], data=[0.5])).replace(b"0.5", b"1e999")
    assert "out of the range of its datatype" in refusal(content)


def test_inputs_with_the_same_name_or_too_many() -> None:
    assert "same name" in refusal(body(tensor(), tensor()))
    many = [tensor(name=str(i)) for i in range(9)]
    assert refusal(body(*many)) == "inputs: at most 8 are allowed, got 9"
    assert len(decode_request(body(*many), None, Limits(max_inputs=9)).inputs) == 9


def test_limits_are_the_callers() -> None:
    limits = Limits(max_elements=3, max_dimensions=1, max_text=2)
    assert "at most 3 elements" in refusal(body(), None, Limits(max_elements=3))
    assert "a shape of 1 to 1" in refusal(body(), None, limits)
    assert "at most 2 printable" in refusal(body(tensor(name="xyz")), None, limits)


@pytest.mark.parametrize(
    ("shape", "size", "tail", "says"),
    [
        ([2], 16, b"\0" * 15, "expected 16 bytes behind the JSON, got 15"),
        ([2], 16, b"", "expected 16 bytes behind the JSON, got 0"),
        ([2], 16, b"\0" * 17, "expected 16 bytes of tensors behind the JSON, got 17"),
        ([2], 8, b"\0" * 8, "binary_data_size must be 16 bytes for its shape and datatype, got 8"),
        ([2], 16.0, b"\0" * 16, "got 16.0"),
        ([2], "16", b"\0" * 16, "got '16'"),
        ([2], -16, b"\0" * 16, "got -16"),
        ([2], None, b"\0" * 16, "expected either 'data' or the parameter"),
        ([0], False, b"", "got False"),
        ([0], 0, b"\0", "expected 0 bytes of tensors behind the JSON, got 1"),
        ([1 << 20], 1 << 23, b"\0" * 8, "expected 8388608 bytes behind the JSON, got 8"),
    ],
)
def test_raw_tensors_whose_sizes_do_not_sum_up(
    shape: list[int], size: Any, tail: bytes, says: str
) -> None:
    assert says in refusal(*raw(shape, "INT64", size, tail))


def test_raw_booleans_are_zero_or_one() -> None:
    content, length = raw([3], "BOOL", 3, b"\x00\x01\x00")
    assert decode_request(content, length).inputs["x"].tolist() == [False, True, False]
    assert "must be 0 or 1" in refusal(*raw([3], "BOOL", 3, b"\x00\x02\x00"))


TEXT = b"\x02\0\0\0ab"


@pytest.mark.parametrize(
    ("shape", "tail", "says"),
    [
        ([2, 1], TEXT, "binary_data_size must be 8 bytes or more for its shape and datatype, got"),
        ([2, 1], TEXT + b"\x05\0", "expected 4 bytes with the length of element 1, got 2"),
        ([2, 1], TEXT + b"\x05\0\0\0abcd", "element 1 is to have 5 bytes, and 4 are left"),
        ([1, 1], b"\xff\xff\xff\xffab", "element 0 is to have 4294967295 bytes, and 2 are left"),
        ([1, 1], b"\xfe\xff\xff\xffab", "element 0 is to have 4294967294 bytes, and 2 are left"),
        ([1, 1], TEXT + b"c", "expected 6 bytes by the lengths of its elements, got 7"),
        ([1, 1], TEXT + TEXT, "expected 6 bytes by the lengths of its elements, got 12"),
        ([0, 1], TEXT, "expected 0 bytes by the lengths of its elements, got 6"),
        ([2, 1], TEXT + b"\x02\0\0\0\xc3(", "element 1 is no UTF-8; send texts"),
        ([1, 1], b"\x03\0\0\0\xed\xa0\x80", "element 0 is no UTF-8"),
    ],
)
def test_raw_texts_that_are_not_as_they_must_be(shape: list[int], tail: bytes, says: str) -> None:
    assert says in refusal(*raw(shape, "BYTES", len(tail), tail))


@pytest.mark.parametrize("size", [-1, 5.0, "6", True, 3])
def test_sizes_of_raw_texts_that_are_none(size: Any) -> None:
    assert "binary_data_size must be 4 bytes or more" in refusal(*raw([1, 1], "BYTES", size, TEXT))


def test_raw_texts_that_the_body_does_not_have() -> None:
    says = "expected 1000 bytes behind the JSON, got 6"
    assert says in refusal(*raw([1, 1], "BYTES", 1000, TEXT))
    assert "expected 6 bytes of tensors behind the JSON, got 8" in refusal(
        *raw([1, 1], "BYTES", 6, TEXT + b"\0\0")
    )


def test_raw_tensors_without_the_header_that_says_where_they_begin() -> None:
    content, _ = raw([2], "INT64", 16, b"\0" * 16)
    assert refusal(content).endswith("is the header Inference-Header-Content-Length missing?")
    assert "does Inference-Header-Content-Length say" in refusal(content[:-16])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model_name": None}, "model_name: expected"),
        ({"model_name": ""}, "model_name is empty"),
        ({"model_version": 1}, "model_version: expected"),
        ({"id": 5}, "id: expected"),
        ({"outputs": 5}, "outputs: expected a list of objects"),
    ],
)
def test_responses_that_are_not_as_they_must_be(changes: dict[str, Any], says: str) -> None:
    answer = {"model_name": "m", "model_version": "1", "id": "", "outputs": [], **changes}
    with pytest.raises(ProtocolError, match=says):
        decode_response(json.dumps(answer).encode(), None)
