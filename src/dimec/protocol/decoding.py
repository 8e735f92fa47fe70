"""Bytes of strangers to arrays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from math import prod
from typing import Any

import numpy as np
from pydantic_core import from_json

from dimec.base.errors import ProtocolError, quoted, shown
from dimec.protocol import texts
from dimec.protocol.messages import (
    BINARY_HEADER,
    BYTES,
    DATATYPES,
    InferRequest,
    InferResponse,
    Limits,
    NDArray,
)

_JSON_TYPES: dict[str, set[type]] = {
    "b": {bool},
    "i": {int},
    "u": {int},
    "f": {int, float},
    "O": {str},
}
_JSON_NAMES = {"b": "true or false", "f": "numbers", "O": "strings"}
_WHOLE = re.compile(r"[0-9]{1,18}\Z", re.ASCII)
_LARGEST_TIMEOUT = 2**64 - 1  # Triton keeps microseconds in 64 bits
_DEFAULT_LIMITS = Limits()


def decode_request(
    body: bytes, header_length: str | int | None, limits: Limits = _DEFAULT_LIMITS
) -> InferRequest:
    """What a request's bytes ask for.

    Args:
        body: the whole body.
        header_length: value of :data:`BINARY_HEADER`; None where the request has none.
        limits: what is too much.

    Returns:
        The request; its arrays are C-contiguous, in the machine's byte order and its own to keep.

    Raises:
        ProtocolError: anything that the protocol does not allow.
    """
    header, raw = _split(body, header_length)
    parameters = _parameters(header, "the request")
    outputs, binary = _decode_wanted(header, parameters, limits)
    inputs = _decode_tensors(header, "inputs", raw, limits)
    if not inputs:
        raise ProtocolError("the request has no inputs; send one tensor or more in 'inputs'")
    return InferRequest(
        inputs=inputs,
        id=_text(header.get("id", ""), "id", limits, empty=True),
        outputs=outputs,
        binary=binary,
        timeout=_decode_timeout(parameters.get("timeout")),
    )


def decode_response(body: bytes, header_length: str | int | None) -> InferResponse:
    """What a response's bytes say; arguments, arrays and errors as in :func:`decode_request`.

    Raises:
        ProtocolError: anything that the protocol does not allow.
    """
    limits = _DEFAULT_LIMITS
    header, raw = _split(body, header_length)
    return InferResponse(
        model=_text(header.get("model_name"), "model_name", limits),
        version=_text(header.get("model_version", ""), "model_version", limits, empty=True),
        id=_text(header.get("id", ""), "id", limits, empty=True),
        outputs=_decode_tensors(header, "outputs", raw, limits),
    )


def decode_error(body: bytes) -> str:
    """The text of an error's body on one line of at most 300 characters, "" where it has none."""
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError:
        return ""
    text = value.get("error") if isinstance(value, dict) else None
    return shown(" ".join(text[:300].split())) if isinstance(text, str) else ""


def _quoted(value: object) -> str:
    """A value of a stranger in a message: short, and on one line."""
    if isinstance(value, list | dict):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    return quoted(value, 60)


def _split(body: bytes, header_length: str | int | None) -> tuple[dict[str, Any], memoryview]:
    """The JSON object, and the raw bytes behind it."""
    end = len(body)
    if header_length is not None:
        text = str(header_length)
        if isinstance(header_length, bool) or not _WHOLE.match(text) or int(text) > end:
            raise ProtocolError(
                f"{BINARY_HEADER}: expected a whole number from 0 to {end}, the length of the "
                f"body, got {_quoted(header_length)}"
            )
        end = int(text)
    try:
        header = from_json(body[:end], allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        hint = f"; is the header {BINARY_HEADER} missing?" if header_length is None else ""
        raise ProtocolError(f"the body is not JSON ({error}){hint}") from None
    if not isinstance(header, dict):
        raise ProtocolError(f"the body: expected a JSON object, got {_quoted(header)}")
    return _given(header), memoryview(body)[end:]


def _given(entry: dict[str, Any]) -> dict[str, Any]:
    """An object without the members that are null: clients write so what they leave out."""
    for value in entry.values():
        if value is None:
            return {name: value for name, value in entry.items() if value is not None}
    return entry  # as nearly all are


def _text(value: object, what: str, limits: Limits, *, empty: bool = False) -> str:
    # Printable only, since ids and names go into logs and into the headers of an answer.
    if not isinstance(value, str) or not value.isprintable() or len(value) > limits.max_text:
        raise ProtocolError(
            f"{what}: expected at most {limits.max_text} printable characters, got {_quoted(value)}"
        )
    if not (value or empty):
        raise ProtocolError(f"{what} is empty; give it a name")
    return value


class _Where:
    """What a message is about; put into words only where there is a message."""

    def __init__(self, kind: str, name: str) -> None:
        self._kind, self._name = kind, name

    def __str__(self) -> str:
        return f"{self._kind} {_quoted(self._name)}"


_About = str | _Where


def _parameters(entry: dict[str, Any], where: _About) -> dict[str, Any]:
    value = entry.get("parameters", {})
    if not isinstance(value, dict):
        raise ProtocolError(f"parameters of {where}: expected an object, got {_quoted(value)}")
    return _given(value)


def _flag(parameters: dict[str, Any], name: str, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise ProtocolError(f"{name}: expected true or false, got {_quoted(value)}")
    return value


def _entries(header: dict[str, Any], key: str, limits: Limits) -> list[tuple[str, dict[str, Any]]]:
    """The objects of a list with their names, which all differ."""
    value = header.get(key, [])
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ProtocolError(f"{key}: expected a list of objects, got {_quoted(value)}")
    if len(value) > limits.max_inputs:
        raise ProtocolError(f"{key}: at most {limits.max_inputs} are allowed, got {len(value)}")
    value = [_given(entry) for entry in value]
    named = [(_text(entry.get("name"), f"a name in {key}", limits), entry) for entry in value]
    names = [name for name, _ in named]
    if len(set(names)) < len(names):
        raise ProtocolError(f"{key}: two of them have the same name; every name must differ")
    return named


def _decode_wanted(
    header: dict[str, Any], parameters: dict[str, Any], limits: Limits
) -> tuple[tuple[str, ...], frozenset[str] | bool]:
    """The outputs that a request names, and those that it wants as raw bytes."""
    default = _flag(parameters, "binary_data_output", False)
    entries = _entries(header, "outputs", limits)
    binary: set[str] = set()
    for name, entry in entries:
        own = _parameters(entry, _Where("output", name))
        _refuse_extensions(own, name)
        if _flag(own, "binary_data", default):
            binary.add(name)
    names = tuple(name for name, _ in entries)
    if not names:
        return names, default
    return names, bool(binary) if len(binary) in (0, len(names)) else frozenset(binary)


def _refuse_extensions(parameters: dict[str, Any], name: str) -> None:
    for extension in ("shared_memory_region", "classification"):
        if extension in parameters:
            raise ProtocolError(f"{_quoted(name)} asks for {extension}, which is not supported")


def _decode_timeout(value: object) -> float | None:
    """Seconds, from microseconds; 0 means none, as in Triton."""
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LARGEST_TIMEOUT:
        raise ProtocolError(
            f"timeout: expected a whole number of microseconds from 0 to {_LARGEST_TIMEOUT}, got "
            f"{_quoted(value)}"
        )
    return value / 1e6 if value else None


def _decode_tensors(
    header: dict[str, Any], key: str, raw: memoryview, limits: Limits
) -> dict[str, NDArray]:
    tensors: dict[str, NDArray] = {}
    offset = 0
    for name, entry in _entries(header, key, limits):
        where = _Where("tensor", name)
        dtype = _decode_datatype(entry.get("datatype"), where)
        shape = _decode_shape(entry.get("shape"), where, limits)
        parameters = _parameters(entry, where)
        _refuse_extensions(parameters, name)
        if ("binary_data_size" in parameters) == ("data" in entry):
            raise ProtocolError(
                f"{where}: expected either 'data' or the parameter 'binary_data_size'"
            )
        if "data" in entry:
            tensors[name] = _from_json(entry["data"], dtype, shape, where)
            continue
        size = _raw_size(parameters["binary_data_size"], dtype, shape, where)
        if size > len(raw) - offset:
            raise ProtocolError(
                f"{where}: expected {size} bytes behind the JSON, got {len(raw) - offset}; does "
                f"{BINARY_HEADER} say where the JSON ends?"
            )
        tensors[name] = _from_bytes(raw[offset : offset + size], dtype, shape, where)
        offset += size
    if offset != len(raw):
        raise ProtocolError(
            f"expected {offset} bytes of tensors behind the JSON, got {len(raw)}; the sizes of "
            "the binary tensors must sum up to the rest of the body"
        )
    return tensors


def _raw_size(claimed: object, dtype: np.dtype[Any], shape: Sequence[int], where: _About) -> int:
    """The bytes of a raw tensor: numbers need what their shape says, texts at least lengths."""
    text = dtype.kind == "O"
    size = prod(shape) * (texts.LENGTH if text else dtype.itemsize)
    if type(claimed) is not int or (claimed < size if text else claimed != size):
        raise ProtocolError(
            f"{where}: binary_data_size must be {size} bytes{' or more' if text else ''} for its "
            f"shape and datatype, got {_quoted(claimed)}"
        )
    return claimed


def _decode_datatype(value: object, where: _About) -> np.dtype[Any]:
    if isinstance(value, str) and value in DATATYPES:
        return DATATYPES[value]
    if value == BYTES:
        return np.dtype(object)
    raise ProtocolError(
        f"{where}: expected a datatype among {', '.join([*DATATYPES, BYTES])}, got {_quoted(value)}"
    )


def _decode_shape(value: object, where: _About, limits: Limits) -> tuple[int, ...]:
    if (
        not isinstance(value, list)
        or not 1 <= len(value) <= limits.max_dimensions
        or any(type(size) is not int or not 0 <= size <= limits.max_elements for size in value)
    ):
        raise ProtocolError(
            f"{where}: expected a shape of 1 to {limits.max_dimensions} whole numbers from 0 to "
            f"{limits.max_elements}, got {_show_shape(value)}"
        )
    # Every factor is bounded by now, so the product cannot run away.
    if prod(value) > limits.max_elements:
        raise ProtocolError(
            f"{where}: at most {limits.max_elements} elements are allowed, got {prod(value)}"
        )
    return tuple(value)


def _show_shape(value: object) -> str:
    if isinstance(value, list) and len(value) <= 8:
        return f"[{', '.join(map(_quoted, value))}]"
    return _quoted(value)


def _from_bytes(
    raw: memoryview, dtype: np.dtype[Any], shape: Sequence[int], where: _About
) -> NDArray:
    if dtype.kind == "O":
        return texts.from_raw(raw, shape, str(where))
    if dtype.kind == "b" and (np.frombuffer(raw, np.uint8) > 1).any():
        raise ProtocolError(f"{where}: a byte of a BOOL must be 0 or 1")
    # A copy: a view of the body could lie at an odd address, and would keep the whole body alive.
    values = np.frombuffer(raw, dtype).astype(dtype.newbyteorder("="))
    return values.reshape(shape)


def _from_json(data: object, dtype: np.dtype[Any], shape: Sequence[int], where: _About) -> NDArray:
    values = _flatten(data, shape, where)
    if not {*map(type, values)} <= _JSON_TYPES[dtype.kind]:
        expected = _JSON_NAMES.get(dtype.kind, "whole numbers")
        wrong = next(v for v in values if type(v) not in _JSON_TYPES[dtype.kind])
        raise ProtocolError(f"{where}: expected {expected}, got {_quoted(wrong)}")
    if dtype.kind == "O":
        return texts.from_strings(values, shape)
    try:
        with np.errstate(over="ignore"):
            array = np.array(values, dtype.newbyteorder("="))
    except OverflowError:
        raise ProtocolError(f"{where}: a number is out of the range of its datatype") from None
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise ProtocolError(f"{where}: a number is out of the range of its datatype")
    return array.reshape(shape)


def _flatten(data: object, shape: Sequence[int], where: _About) -> list[Any]:
    """Values row by row, from one flat list or from lists nested as the shape says."""
    if not isinstance(data, list):
        raise ProtocolError(f"{where}: expected a list as data, got {_quoted(data)}")
    count = prod(shape)
    if not (data and isinstance(data[0], list)):
        if len(data) != count:
            raise ProtocolError(f"{where}: expected {count} values for its shape, got {len(data)}")
        return data
    level: list[Any] = [data]
    for size in shape:
        if any(type(row) is not list or len(row) != size for row in level):
            raise ProtocolError(f"{where}: the nested lists in data do not have its shape")
        level = list(chain.from_iterable(level))
    return level
