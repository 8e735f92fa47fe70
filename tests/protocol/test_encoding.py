"""Messages against bytes that were worked out by hand, and what cannot be sent."""

from __future__ import annotations

import hashlib
import struct
from base64 import b64encode
from typing import Any

import numpy as np
import pytest

from dimec.base.errors import ProtocolError
from dimec.protocol import (
    BINARY_HEADER,
    DIGEST_HEADER,
    InferRequest,
    InferResponse,
    datatype_of,
    decode_error,
    decode_request,
    decode_response,
    encode_error,
    encode_request,
    encode_response,
)

IDS = np.array([[101, 102, -1]])


def digest_of(body: bytes) -> str:
    """The header's value, from the definition."""
    return f"sha-256=:{b64encode(hashlib.sha256(body).digest()).decode()}:"


def test_a_request_as_json() -> None:
    message = encode_request(
        InferRequest({"input_ids": IDS}, id="7", outputs=("p",), timeout=0.25), binary=False
    )
    assert message.body == (
        b'{"id":"7","outputs":[{"name":"p","parameters":{"binary_data":false}}],'
        b'"parameters":{"timeout":250000},'
        b'"inputs":[{"name":"input_ids","datatype":"INT64","shape":[1,3],"data":[101,102,-1]}]}'
    )
    assert message.headers["Content-Type"] == "application/json"
    assert BINARY_HEADER not in message.headers


def test_a_request_with_raw_tensors() -> None:
    flags = np.array([True, False])
    message = encode_request(InferRequest({"input_ids": IDS, "flags": flags}, binary=True))
    text = (
        b'{"parameters":{"binary_data_output":true},"inputs":['
        b'{"name":"input_ids","datatype":"INT64","shape":[1,3],"parameters":{"binary_data_size":24}},'
        b'{"name":"flags","datatype":"BOOL","shape":[2],"parameters":{"binary_data_size":2}}]}'
    )
    assert message.body == text + struct.pack("<qqq", 101, 102, -1) + b"\x01\x00"
    assert message.headers[BINARY_HEADER] == str(len(text))
    assert message.headers["Content-Type"] == "application/octet-stream"


def test_a_response_partly_raw() -> None:
    outputs: dict[str, Any] = {
        "p": np.array([[0.25, 0.75]], np.float32),
        "q": np.array([-2], np.int8),
    }
    message = encode_response(InferResponse("edge", "12", "é", outputs), binary={"p", "other"})
    text = (
        '{"model_name":"edge","model_version":"12","id":"é","outputs":['
        '{"name":"p","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}},'
        '{"name":"q","datatype":"INT8","shape":[1],"data":[-2]}]}'
    ).encode()
    assert message.body == text + struct.pack("<ff", 0.25, 0.75)
    assert message.headers[BINARY_HEADER] == str(len(text))


def test_the_digest_is_that_of_the_body() -> None:
    message = encode_request(InferRequest({"input_ids": IDS}))
    assert message.headers[DIGEST_HEADER] == digest_of(message.body)


@pytest.mark.parametrize(
    ("datatype", "raw", "value"),
    [
        ("BOOL", b"\x01", True),
        ("INT8", b"\xfe", -2),
        ("INT16", b"\xfe\xff", -2),
        ("INT32", b"\x01\x02\x00\x00", 513),
        ("INT64", b"\x00\x00\x00\x00\x01\x00\x00\x00", 2**32),
        ("UINT8", b"\xff", 255),
        ("UINT16", b"\x01\x02", 513),
        ("UINT32", b"\xff\xff\xff\xff", 2**32 - 1),
        ("UINT64", b"\x00\x00\x00\x00\x00\x00\x00\x80", 2**63),
        ("FP16", b"\x00\x3e", 1.5),
        ("FP32", b"\x00\x00\xc0\x3f", 1.5),
        ("FP64", b"\x00\x00\x00\x00\x00\x00\xf8\xbf", -1.5),
    ],
)
def test_every_datatype_as_raw_bytes_both_ways(datatype: str, raw: bytes, value: Any) -> None:
    text = (
        f'{{"model_name":"m","model_version":"1","id":"","outputs":[{{"name":"x","datatype":'
        f'"{datatype}","shape":[1],"parameters":{{"binary_data_size":{len(raw)}}}}}]}}'
    ).encode()
    array = decode_response(text + raw, len(text)).outputs["x"]
    assert array.tolist() == [value]
    assert datatype_of(array) == datatype
    for given in (array, array.astype(array.dtype.newbyteorder(">"))):
        sent = encode_response(InferResponse("m", "1", "", {"x": given}), binary=True)
        assert sent.body == text + raw


def test_texts_as_raw_bytes_and_as_json() -> None:
    array = np.array([["ein Süßer".encode()], [b""], [b"a\0"]], object)
    sent = encode_request(InferRequest({"text": array}, binary=True))
    text = (
        b'{"parameters":{"binary_data_output":true},"inputs":['
        b'{"name":"text","datatype":"BYTES","shape":[3,1],"parameters":{"binary_data_size":25}}]}'
    )
    raw = b"\x0b\0\0\0ein S\xc3\xbc\xc3\x9fer" + b"\0\0\0\0" + b"\x02\0\0\0a\0"
    assert sent.body == text + raw
    assert sent.headers[BINARY_HEADER] == str(len(text))
    message = encode_request(InferRequest({"text": array}), binary=False)
    assert (
        message.body
        == (
            '{"parameters":{"binary_data_output":false},"inputs":[{"name":"text","datatype":"BYTES",'
            '"shape":[3,1],"data":["ein Süßer","","a\\u0000"]}]}'
        ).encode()
    )
    for body, length in ((sent.body, len(text)), (message.body, None)):
        got = decode_request(body, length).inputs["text"]
        assert got.dtype == object
        assert got.tolist() == array.tolist()


@pytest.mark.parametrize("binary", [True, False])
def test_arrays_that_lie_across_memory_go_row_by_row(binary: bool) -> None:
    across = np.arange(6).reshape(2, 3).T[::-1]
    message = encode_request(InferRequest({"x": across}), binary=binary)
    array = decode_request(message.body, message.headers.get(BINARY_HEADER)).inputs["x"]
    assert array.tolist() == [[2, 5], [1, 4], [0, 3]]


@pytest.mark.parametrize(
    "array",
    [
        np.array(5),
        np.array(["text"]),
        np.array([b"text"]),
        np.array([None]),
        np.array([[b"text", "text"]], object),
        np.array([b"text", b"\xff"], object),
        np.array([1j]),
        np.array(["2020-01-01"], "datetime64[D]"),
        np.ones(1, np.longdouble),
    ],
    ids=str,
)
@pytest.mark.parametrize("binary", [True, False])
def test_arrays_without_a_datatype_are_not_sent(array: Any, binary: bool) -> None:
    with pytest.raises(ProtocolError, match="the protocol cannot carry") as caught:
        encode_request(InferRequest({"x": array}), binary=binary)
    assert caught.value.status == 500


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_goes_as_raw_bytes_only(value: float) -> None:
    response = InferResponse("m", "1", "", {"x": np.array([value], np.float32)})
    with pytest.raises(ProtocolError, match="not finite") as caught:
        encode_response(response, binary=False)
    assert caught.value.status == 500
    message = encode_response(response, binary=True)
    back = decode_response(message.body, message.headers[BINARY_HEADER]).outputs["x"]
    np.testing.assert_array_equal(back, response.outputs["x"])


def test_names_that_are_no_unicode_are_not_sent() -> None:
    with pytest.raises(ProtocolError, match="the protocol cannot carry this header"):
        encode_request(InferRequest({"\ud800": IDS}))


def test_raw_outputs_want_names() -> None:
    with pytest.raises(ProtocolError, match="without naming"):
        encode_request(InferRequest({"x": IDS}, binary=frozenset({"p"})))


@pytest.mark.parametrize(
    ("seconds", "microseconds"),
    [(1e-9, 1), (1e-6, 1), (0.0015, 1500), (3600, 3600 * 10**6), (1e30, 10**18), (-1, 1)],
)
def test_a_timeout_is_sent_in_microseconds(seconds: float, microseconds: int) -> None:
    body = encode_request(InferRequest({"x": IDS}, timeout=seconds)).body
    assert b'"parameters":{"timeout":%d,' % microseconds in body


def test_errors() -> None:
    assert encode_error("no\nroom é") == '{"error":"no\\nroom é"}'.encode()
    assert decode_error(encode_error("no\n  room é")) == "no room é"
    assert decode_error(encode_error("\ud800")) == "?"
    assert len(decode_error(encode_error("x" * 10_000))) == 300


@pytest.mark.parametrize(
    "body", [b"", b"no json", b"[]", b"{}", b'{"error":5}', b"\xff", b"[" * 10**5]
)
def test_a_body_without_an_error(body: bytes) -> None:
    assert decode_error(body) == ""
