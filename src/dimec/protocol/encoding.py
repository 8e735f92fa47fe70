"""Arrays to bytes."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import numpy as np
from pydantic_core import PydanticSerializationError, to_json

from dimec.protocol import texts
from dimec.protocol.digests import DIGEST_HEADER, content_digest
from dimec.protocol.messages import (
    BINARY_HEADER,
    InferRequest,
    InferResponse,
    Message,
    NDArray,
    cannot_send,
    datatype_of,
)


def encode_request(request: InferRequest, *, binary: bool = True) -> Message:
    """The bytes of a request.

    Args:
        request: what to ask.
        binary: send the inputs as raw bytes behind the JSON rather than as JSON numbers and
            strings.

    Raises:
        ProtocolError: an array or a name that the protocol cannot carry (status 500).
    """
    header: dict[str, Any] = {"id": request.id} if request.id else {}
    parameters: dict[str, Any] = {}
    if request.timeout is not None:
        microseconds = round(min(max(request.timeout * 1e6, 1.0), 1e18))
        parameters["timeout"] = microseconds
    if request.outputs:
        header["outputs"] = [
            {"name": name, "parameters": {"binary_data": _wanted(name, request.binary)}}
            for name in request.outputs
        ]
    elif isinstance(request.binary, bool):
        parameters["binary_data_output"] = request.binary
    else:
        raise cannot_send("some outputs as binary without naming the outputs")
    if parameters:
        header["parameters"] = parameters
    return _encode(header, "inputs", request.inputs, binary)


def encode_response(response: InferResponse, *, binary: Set[str] | bool) -> Message:
    """The bytes of a response; the outputs named in ``binary`` (True: all) go as raw bytes.

    Raises:
        ProtocolError: an array or a name that the protocol cannot carry, such as NaN as a JSON
            number (status 500).
    """
    header = {"model_name": response.model, "model_version": response.version, "id": response.id}
    return _encode(header, "outputs", response.outputs, binary)


def encode_error(text: str) -> bytes:
    """The body of an answer that is an error: ``{"error": text}``."""
    return to_json({"error": text.encode("utf-8", "replace").decode("utf-8")})


def _wanted(name: str, binary: Set[str] | bool) -> bool:
    return binary if isinstance(binary, bool) else name in binary


def _encode(
    header: dict[str, Any], key: str, tensors: dict[str, NDArray], binary: Set[str] | bool
) -> Message:
    entries: list[dict[str, Any]] = []
    raw: list[bytes] = []
    for name, array in tensors.items():
        if array.ndim == 0:
            raise cannot_send(f"the scalar {name!r}")
        entry: dict[str, Any] = {
            "name": name,
            "datatype": datatype_of(array),
            "shape": list(array.shape),
        }
        if _wanted(name, binary):
            raw.append(_raw(array, name))
            entry["parameters"] = {"binary_data_size": len(raw[-1])}
        else:
            entry["data"] = _json(array, name)
        entries.append(entry)
    try:
        text = to_json({**header, key: entries})
    except PydanticSerializationError as error:
        raise cannot_send(f"this header ({error})") from None
    body = b"".join((text, *raw))
    headers = {"Content-Type": "application/octet-stream" if raw else "application/json"}
    if raw:
        headers[BINARY_HEADER] = str(len(text))
    headers[DIGEST_HEADER] = content_digest(body)
    return Message(headers, body)


def _raw(array: NDArray, name: str) -> bytes:
    if array.dtype.kind == "O":
        return texts.to_raw(_texts(array, name))
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _json(array: NDArray, name: str) -> list[Any]:
    if array.dtype.kind == "O":
        return [value.decode("utf-8") for value in _texts(array, name)]
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise cannot_send(f"{name!r}, which is not finite, as JSON")
    values: list[Any] = array.ravel().tolist()
    return values


def _texts(array: NDArray, name: str) -> list[bytes]:
    """The elements of an array of objects, which are all texts in UTF-8."""
    values: list[bytes] = array.ravel().tolist()
    for value in values:
        if not isinstance(value, bytes):
            raise cannot_send(f"{name!r}, an array that holds {type(value).__name__}")
        if not texts.is_text(value):
            raise cannot_send(f"{name!r}, which is no UTF-8")
    return values
