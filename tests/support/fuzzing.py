"""A seeded mutational fuzzer: sound messages, broken in the ways that bytes break.

:func:`mutate` and :func:`mutate_json` break anything; :func:`broken_messages` breaks requests and
responses of the Open Inference Protocol; :func:`wired_request` frames a request in every way that
HTTP/1.1 has. By hand, for as long as it is wanted::

    python tests/fuzzing.py --seconds 60
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dimec.base.errors import ProtocolError
from dimec.protocol import (
    BINARY_HEADER,
    InferRequest,
    InferResponse,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)

# Text that a parser may trip over, put in at random places.
TOKENS: tuple[bytes, ...] = (
    *(b'"', b"[", b"]", b"{", b"}", b":", b",", b"\\", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\r\n"),
    *(b"null", b"true", b"false", b"NaN", b"-Infinity", b"1e999", b"-0", b"01", b"+5", b"1_0"),
    *(b"-1", b"0.5", b"9" * 25, b"9" * 5000, b"4611686018427387904", b"18446744073709551616"),
    *(b"\\ud800", b"\\u0000", b'"BYTES"', b'"FP16"', b'"BOOL"', b'"data":[]', b"[" * 3000),
    *(b'"binary_data_size":8', b'"shape":[4611686018427387904,4]', b'"timeout":-1', b"[[1],[]]"),
)

# Values that take the place of another value of a JSON document.
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 8, 255, 2**31, 2**62, 2**63, 2**64, -(2**63) - 1, 10**30),
    *(0.0, 0.5, -1.5, 1e300, "", "a", "INT64", "FP32", "FP16", "UINT8", "BOOL", "BYTES", "é\n\x00"),
    *([], {}, [[]], [[], []], [0], [1, 2], [[1, 2], [3]], [True], ["x"], [None], {"name": "x"}),
    *([2**62], [2**62, 4], [0, 2**62], [-1], [1] * 70, [0] * 500, "x" * 2000),
    *(
        {"binary_data_size": 8},
        {"binary_data": True},
        {"binary_data_output": 1},
        {"timeout": 2**64},
    ),
)


# What the manifest of a tier may be made to say of its graph, from the least to more than anything
# can hold: every field that a size, a number or a name stands in.
_SIZES: tuple[Any, ...] = (-1, 0, 1, 2, 7, 33, 10**3, 2**16, 2**17, 2**24, 2**31, 2**63, 10**400)
_PRICES: tuple[Any, ...] = (-1.0, 0, 1e9, 1e13, 1.7e308, 10**400, float("nan"), float("inf"), None)
_LABELS: tuple[Any, ...] = (
    *([], ["a"], ["a", "a"], ["a", "b", "c"], [str(n) for n in range(1000)], ["\ud800", "b"]),
    *(["\x1b[31mred", "\x9b2Jgone"], ["", " "], ["line\nbreak", "\u202eturned"], [1, None], "ab"),
)
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
EXTREMES: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("vocabulary", "max_tokens", "padding", "width"), _SIZES),
    "segments": (*([], [2], [1, 2], [2, 1], [1, 1]), *([size] for size in _SIZES)),
    "labels": _LABELS,
    "inputs": (_INPUTS[:1], _INPUTS[1:2], _INPUTS[:2], _INPUTS, _INPUTS[:2] * 2, ("hidden",), ()),
    "pairs": (True, False, None, 2),
    "provenance": ({"x": float("nan")}, {"x": "\udfff"}, {"\ud800": 1}, {"x\x1b[2J": [[[]]]}),
}


# And of each of its tiers.
TIER_EXTREMES: dict[str, tuple[Any, ...]] = {
    "layer": _SIZES,
    **dict.fromkeys(("layer_price", "send_price", "visit_price"), _PRICES),
    "name": ("", "x" * 99, "Mobile", "a/b", "..", "\x1b[31m", "cloud", 7, None),
    "version": ("", "0", "-1", "1" * 40, "x", 1, None),
    "source": ("x" * 999, "\ud800", None),
}


def extreme_manifests(sound: dict[str, Any]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """(field, value, manifest): a sound manifest with each of its fields at its extremes."""
    for field, values in EXTREMES.items():
        for value in values:
            yield field, value, {**sound, field: value}
    first, *others = sound["tiers"]
    for field, values in TIER_EXTREMES.items():
        for value in values:
            yield f"tier {field}", value, {**sound, "tiers": [{**first, field: value}, *others]}


def extreme_arrays(
    sound: Mapping[str, npt.NDArray[Any]],
) -> Iterator[tuple[str, dict[str, npt.NDArray[Any]]]]:
    """(what, arrays): sound arrays with each in other shapes and types, and with odd numbers."""
    for name, array in sound.items():
        shapes = [array[None], array.reshape(-1), array[..., None], array[:0], array[:1]]
        if array.ndim:
            shapes += [array[..., :-1], np.concatenate([array, array], axis=-1)]
        types = [array.astype(kind) for kind in (np.float16, np.int8, np.float64, np.str_)]
        numbers = [np.full(array.shape, value) for value in (np.nan, np.inf, -1.0, 1e300, 0.0)]
        for number, other in enumerate((*shapes, *types, *numbers)):
            same = other.dtype == array.dtype and np.array_equal(other, array)
            if not same:
                yield f"{name}, number {number}", {**sound, name: other}


# Trailers that would matter, were they headers; and those that no message may have.
TRAILERS: tuple[bytes, ...] = (
    *(b"Authorization: Bearer x", b"Content-Encoding: gzip", b"Host: other", b"Expect: x", b"ab:"),
    *(b"X-Request-Id: trailer", b"Inference-Header-Content-Length: 1"),
)
FRAMING: tuple[bytes, ...] = (
    *(b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Connection: close"),
    *(b"Upgrade: h2c", b"Proxy-Connection: close"),
)


class Wired(NamedTuple):
    """A request as bytes, and the status that it has to be answered with."""

    data: bytes
    status: int


class Sample(NamedTuple):
    """A sound message: its body, and the value of the header that says where the JSON ends."""

    body: bytes
    header_length: str | None


def mutate(data: bytes, rng: random.Random, others: Sequence[bytes] = (b"",)) -> bytes:
    """``data`` with one to four mutations: flips, inserts, deletes, splices, tokens, cuts."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(out))
        to = min(len(out), at + rng.choice((1, 1, 2, 4, 8, 64)))
        match rng.randrange(7):
            case 0 if out:  # flip a bit
                out[at % len(out)] ^= 1 << rng.randrange(8)
            case 1:  # overwrite
                out[at:to] = rng.randbytes(to - at)
            case 2:  # insert
                out[at:at] = rng.choice(TOKENS)
            case 3:  # delete
                del out[at:to]
            case 4:  # repeat
                out[at:at] = out[at:to] * rng.randint(1, 3)
            case 5:  # splice with another message
                other = rng.choice(others)
                out[at:] = other[rng.randint(0, len(other)) :]
            case 6:  # cut off
                del out[at:]
    return bytes(out)


def mutate_json(value: Any, rng: random.Random) -> Any:
    """``value`` with one node, somewhere below it, replaced, dropped, repeated or renamed."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.15:
        return rng.choice(VALUES)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = rng.choice(keys)
    if rng.random() < 0.6:
        changed = value.copy()
        changed[key] = mutate_json(value[key], rng)
        return changed
    if isinstance(value, list):
        at = rng.randint(0, len(value))
        return rng.choice(
            (value[:at], value + value[:at], value[::-1], [*value, rng.choice(VALUES)])
        )
    others = {k: v for k, v in value.items() if k != key}
    return rng.choice((others, {**others, rng.choice(("name", "data", "x")): value[key]}))


def wired_request(
    path: str, headers: Mapping[str, str], body: bytes, rng: random.Random, max_header: int
) -> Wired:
    """A request in one of the ways in which HTTP/1.1 allows to send it, or in one that it does not.

    Args:
        path: where to; a POST there with the headers and the body is answered with 200.
        headers: beyond those of the connection.
        body: the same bytes, however they are framed.
        rng: chooses.
        max_header: bytes of headers that the server takes.
    """
    hosts = rng.choice((1, 1, 1, 1, 1, 0, 2))
    lines = [f"POST {path} HTTP/1.1".encode(), *[b"Host: tier"] * hosts]
    lines += [f"{name}: {value}".encode() for name, value in headers.items()]
    if (protocol := rng.choice((None, b"h2c", b"websocket", b"TLS/1.0"))) is not None:
        lines += [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: " + protocol]
        lines += [b"HTTP2-Settings: AAMAAABkAAQAAP__"]
    status = 200 if hosts == 1 else 400
    if rng.random() < 0.4:
        head = b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", b""])
        return Wired(head + body, status)
    framed, start = b"", 0
    while start < len(body):
        part = body[start : start + rng.choice((1, 7, 50, 4096))]
        framed += b"%x%s\r\n%s\r\n" % (len(part), rng.choice((b"", b";x=y")), part)
        start += len(part)
    trailers = [rng.choice(TRAILERS) for _ in range(rng.choice((0, 0, 1, 3, max_header)))]
    if len(trailers) == max_header:
        status = 431 if status == 200 else status
    elif rng.random() < 0.15:
        trailers.append(rng.choice(FRAMING))
        status = 400
    end = b"".join(trailer + b"\r\n" for trailer in trailers)
    head = b"\r\n".join([*lines, b"Transfer-Encoding: chunked", b"", b""])
    return Wired(head + framed + b"0\r\n" + end + b"\r\n", status)


def sound_messages() -> tuple[list[Sample], list[Sample]]:
    """(requests, responses), each both as JSON alone and with raw tensors."""
    ids = np.array([[101, 2003, 102, 0], [101, 7592, 2088, 102]])
    mask = (ids > 0).astype(np.int64)
    inputs = {"input_ids": ids, "attention_mask": mask}
    odd = {
        "flags": np.array([True, False]),
        "half": np.ones((2, 0, 3), np.float16),
        "small": np.array([[[-1, 2]]], np.int8),
        "large": np.array([2**63], np.uint64),
        "text": np.array([["a böse".encode()], [b""], [b"x" * 300]], object),
    }
    requests = [
        InferRequest(inputs, id="7", outputs=("probabilities",), binary=True, timeout=0.5),
        InferRequest(odd, outputs=("a", "b"), binary=frozenset({"b"})),
    ]
    probabilities = np.array([[0.25, 0.75], [0.5, 0.5]], np.float32)
    responses = [
        InferResponse("edge", "12", "7", {"probabilities": probabilities}),
        InferResponse("cloud", "1", "", odd),
    ]
    sent = [encode_request(each, binary=flag) for each in requests for flag in (True, False)]
    answered = [encode_response(each, binary=flag) for each in responses for flag in (True, False)]
    return (
        [Sample(message.body, message.headers.get(BINARY_HEADER)) for message in sent],
        [Sample(message.body, message.headers.get(BINARY_HEADER)) for message in answered],
    )


def broken_messages(seed: int, samples: Sequence[Sample]) -> Iterator[Sample]:
    """Mutants of the samples without end; the same ones for the same seed.

    Some are broken as bytes, some as JSON that is then put together again, so that the checks
    behind the parser get their share. A few come out sound by chance.
    """
    rng = random.Random(seed)
    bodies = [sample.body for sample in samples]
    lengths = ("", "0", "-1", "+5", "1_0", " 5", "٣", "1e2", "9" * 30, "0x10")
    while True:
        body, length = rng.choice(samples)
        if rng.random() < 0.5:
            end = len(body) if length is None else int(length)
            text = json.dumps(mutate_json(json.loads(body[:end]), rng)).encode()
            body, length = text + body[end:], None if length is None else str(len(text))
        if rng.random() < 0.5:
            body = mutate(body, rng, bodies)
        if rng.random() < 0.1:
            length = rng.choice((*lengths, str(rng.randint(0, 2 * len(body))), None))
        yield Sample(body, length)


def try_request(sample: Sample) -> str:
    """Decode a request and, where it is sound, check that it survives being sent again.

    Returns ``"sound"`` or ``"refused"``; any exception but ProtocolError escapes.
    """
    try:
        first = decode_request(*sample)
    except ProtocolError as error:
        return _refused(error)
    message = encode_request(first)
    again = decode_request(message.body, message.headers.get(BINARY_HEADER))
    assert (again.id, again.outputs, again.binary) == (first.id, first.outputs, first.binary)
    _assert_same(first.inputs, again.inputs)
    return "sound"


def try_response(sample: Sample) -> str:
    """As :func:`try_request`, for a response."""
    try:
        first = decode_response(*sample)
    except ProtocolError as error:
        return _refused(error)
    message = encode_response(first, binary=True)
    again = decode_response(message.body, message.headers.get(BINARY_HEADER))
    assert (again.model, again.version, again.id) == (first.model, first.version, first.id)
    _assert_same(first.outputs, again.outputs)
    return "sound"


def _refused(error: ProtocolError) -> str:
    text = str(error)
    assert error.status == 400
    assert text.isprintable(), text
    assert len(text) < 1000, text
    return "refused"


def _assert_same(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert first.keys() == second.keys()
    for name, array in first.items():
        assert (array.dtype, array.shape) == (second[name].dtype, second[name].shape)
        raw = array.dtype.kind != "O"  # of objects these are addresses
        assert not raw or array.tobytes() == second[name].tobytes()
        assert raw or array.tolist() == second[name].tolist()
        assert array.flags.c_contiguous
        assert array.dtype.isnative


def main() -> None:
    """Fuzz for as long as the command line says; an escaped exception ends it with a traceback."""
    parser = argparse.ArgumentParser(description="Fuzz the decoders of dimec.protocol.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    requests, responses = sound_messages()
    counts: Counter[str] = Counter()
    end = time.monotonic() + arguments.seconds
    streams = (broken_messages(arguments.seed, s) for s in (requests, responses))
    for request, response in zip(*streams, strict=True):
        counts[f"requests {try_request(request)}"] += 1
        counts[f"responses {try_response(response)}"] += 1
        if time.monotonic() > end:
            break
    print(dict(counts))


if __name__ == "__main__":
    main()
