"""What Python's client and protocol make of random messages, as cases for web/src/net."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from dimec.base.errors import ProtocolError
from dimec.client.breaker import CircuitBreaker, Permit
from dimec.client.endpoint import Endpoint
from dimec.client.failures import Failure, pause_before
from dimec.client.judging import Question, Reply, judge, wire_id
from dimec.mobile.texts import LONGEST, text_inputs, utf8_of
from dimec.protocol import (
    BINARY_HEADER,
    BYTES,
    DATATYPES,
    DIGEST_HEADER,
    InferRequest,
    InferResponse,
    Message,
    content_digest,
    datatype_of,
    decode_response,
    digest_matches,
    encode_error,
    encode_request,
    encode_response,
    states_digest,
)

Array = npt.NDArray[Any]
ENDPOINT = Endpoint("edge", "http://127.0.0.1:1", "41", 3)


def net_cases() -> dict[str, Any]:
    """All of it, by the part that it is for."""
    rng = np.random.default_rng(0)
    return {
        "requests": list(_requests(rng)),
        "responses": list(_responses(rng)),
        "judged": list(_judged(rng)),
        "digests": list(_digests()),
        "ids": [
            {"id": id_, "wire": wire_id(id_)} for id_ in ("a-1", "", "naïve", "x" * 129, "a b")
        ],
        "texts": list(_texts()),
        "pauses": list(_pauses(rng)),
        "breakers": [_breaker(np.random.default_rng(seed)) for seed in range(60)],
    }


def _requests(rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    words = ["", "a moving film", "naïve 漢字 \U0001f600", 'line\nbreak "quoted" \\ \x7f\x01']
    for number in range(40):
        length = int(rng.integers(1, 60))
        names = ("input_ids", "attention_mask", "token_type_ids")[: int(rng.integers(2, 4))]
        inputs: dict[str, Array] = {
            name: rng.integers(0, 30_000, (1, length), np.int64) for name in names
        }
        if number % 4 == 0:
            pair = number % 8 == 0
            picked = [str(word) for word in rng.choice(words, 2)]
            inputs = text_inputs([utf8_of((picked[0], picked[1]) if pair else picked[0])])
        timeout = float(rng.choice([1e-9, 0.25, 0.9999996, 1.0000005, 3600.0, rng.random()]))
        binary = bool(rng.random() < 0.6)
        request = InferRequest(inputs, f"id-{number}", ("probabilities",), binary, timeout)
        yield {
            "inputs": [
                [name, datatype_of(array), list(array.shape), _plain(array)]
                for name, array in inputs.items()
            ],
            "id": request.id,
            "timeout": timeout,
            "binary": binary,
            **_told(encode_request(request, binary=binary)),
        }


def _plain(array: Array) -> list[Any]:
    """Values row by row: numbers, null where one is not finite; bytes in base64."""
    values = array.ravel().tolist()
    if array.dtype.kind == "O":
        return [_base64(value) for value in values]
    if array.dtype.kind == "f":
        return [value if np.isfinite(value) else None for value in values]
    return [int(value) for value in values]


def _told(message: Message) -> dict[str, Any]:
    return {"headers": message.headers, "body": _base64(message.body)}


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _responses(rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Of all datatypes, as they are and with bits that were altered."""
    for _ in range(60):
        outputs = {f"output {k}": _array(rng) for k in range(int(rng.integers(0, 4)))}
        response = InferResponse("edge", str(rng.choice(["41", ""])), "an id", outputs)
        try:
            message = encode_response(response, binary=bool(rng.random() < 0.5))
        except ProtocolError:  # what is not finite, as JSON
            message = encode_response(response, binary=True)
        length = message.headers.get(BINARY_HEADER)
        yield _decoded(message.body, length)
        for _ in range(6):
            yield _decoded(_altered(message.body, rng), length)
        yield _decoded(message.body[:-1], length)
    for body in (b"", b"[]", b"null", b"{", b'{"model_name": ""}', b'{"model_name": "a\\n"}'):
        for length in (None, "0", "x", "99"):
            yield _decoded(body, length)
    for outputs_json in _ODD_OUTPUTS:
        yield _decoded(b'{"model_name": "edge", "outputs": %s}' % outputs_json.encode(), None)


_ODD_OUTPUTS = (
    "null",
    "7",
    "[7]",
    '[{"name": "a", "datatype": "FP32", "shape": [2, 2], "data": [[1, 2], [3, 4]]}]',
    '[{"name": "a", "datatype": "FP32", "shape": [2, 2], "data": [[1, 2], [3]]}]',
    '[{"name": "a", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, 3]}]',
    '[{"name": "a", "datatype": "FP32", "shape": [1], "data": [3.5e38]}]',
    '[{"name": "a", "datatype": "FP32", "shape": [1], "data": [3.4028235e38]}]',
    '[{"name": "a", "datatype": "FP16", "shape": [1], "data": [65504]}]',
    '[{"name": "a", "datatype": "FP16", "shape": [1], "data": [65520]}]',
    '[{"name": "a", "datatype": "FP32", "shape": [1], "data": ["1"]}]',
    '[{"name": "a", "datatype": "FP32", "shape": [1], "data": [true]}]',
    '[{"name": "a", "datatype": "BOOL", "shape": [1], "data": [true]}]',
    '[{"name": "a", "datatype": "BOOL", "shape": [1], "data": [1]}]',
    '[{"name": "a", "datatype": "INT8", "shape": [2], "data": [127, -128]}]',
    '[{"name": "a", "datatype": "INT8", "shape": [1], "data": [128]}]',
    '[{"name": "a", "datatype": "UINT8", "shape": [1], "data": [-1]}]',
    '[{"name": "a", "datatype": "INT8", "shape": [1], "data": [0.5]}]',
    '[{"name": "a", "datatype": "BYTES", "shape": [1], "data": ["漢"]}]',
    '[{"name": "a", "datatype": "FP32", "shape": [], "data": [1]}]',
    '[{"name": "a", "datatype": "FP32", "shape": [0], "data": []}]',
    '[{"name": "a", "datatype": "FP32", "shape": [-1], "data": []}]',
    '[{"name": "a", "datatype": "FP32", "shape": [1048577], "data": []}]',
    '[{"name": "a", "datatype": "FP32", "shape": [1048576, 2], "data": []}]',
    '[{"name": "a", "datatype": "FP32", "shape": [1]}]',
    '[{"name": "a", "datatype": "BF16", "shape": [1], "data": [1]}]',
    '[{"name": "a", "datatype": "FP32", "shape": [1], "data": [1], "parameters": 7}]',
    '[{"name": "a", "datatype": "FP32", "shape": [1], "data": [1], "parameters": null}]',
    '[{"name": "a", "datatype": "FP32", "shape": [1], "data": [1], '
    '"parameters": {"shared_memory_region": "a"}}]',
    '[{"name": "a", "datatype": "FP32", "shape": [1], "data": [1]}, '
    '{"name": "a", "datatype": "FP32", "shape": [1], "data": [1]}]',
    f"[{', '.join([chr(123) + chr(125)] * 9)}]",
)


def _array(rng: np.random.Generator) -> Array:
    shape = tuple(int(size) for size in rng.integers(0, 4, int(rng.integers(1, 4))))
    name = str(rng.choice([*DATATYPES, BYTES]))
    if name == BYTES:
        array = np.empty(shape, object)
        array[...] = "ab漢".encode()
        return array
    dtype = DATATYPES[name].newbyteorder("=")
    if dtype.kind == "f":
        values = rng.choice([0.0, -1.5, 0.1, 6e-8, np.nan, np.inf, 65504.0], shape)
        return values.astype(dtype)
    return rng.integers(0, 2 if dtype.kind == "b" else 100, shape).astype(dtype)


def _altered(body: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(body)
    changed[int(rng.integers(len(body)))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _decoded(body: bytes, length: str | None) -> dict[str, Any]:
    told: dict[str, Any] = {"body": _base64(body), "length": length}
    try:
        said = decode_response(body, length)
    except ProtocolError:
        return {**told, "said": None}
    outputs = [
        [name, datatype_of(array), list(array.shape), _plain(array)]
        for name, array in said.outputs.items()
    ]
    names = {"model": said.model, "version": said.version, "id": said.id}
    return {**told, "said": {**names, "outputs": outputs}}


def _judged(rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Answers, sound and not, and every status."""
    texts = ("", "out of memory", f"{DIGEST_HEADER} does not match", "a\nline " * 60)
    for status in (*range(200, 208), *range(300, 309), *range(400, 452), *range(500, 512)):
        text = str(rng.choice(texts))
        headers = {"retry-after": str(rng.choice(["2", "-1", "soon", "3.5", " 7 "]))}
        if status == 200:
            continue
        yield _judgement(Reply(status, headers, encode_error(text) if text else b"no JSON"), False)
    sound = np.array([[0.25, 0.5, 0.25]], np.float32)
    for values in (
        sound,
        np.array([[0.25, 0.5, 0.2509]], np.float32),
        np.array([[0.25, 0.5, 0.252]], np.float32),
        np.array([[-0.25, 0.75, 0.5]], np.float32),
        np.array([[np.nan, 0.5, 0.5]], np.float32),
        np.array([[0.5, 0.5]], np.float32),
        np.array([0.25, 0.5, 0.25], np.float32),
        sound.astype(np.float64),
        sound.repeat(2, axis=0),
    ):
        yield from _answers("edge", "41", "an id", values)
    for model, version, id_ in (
        ("cloud", "41", "an id"),
        ("edge", "42", "an id"),
        ("edge", "", "an id"),
        ("edge", "41", "another"),
    ):
        yield from _answers(model, version, id_, sound)


def _answers(model: str, version: str, id_: str, values: Array) -> Iterator[dict[str, Any]]:
    response = InferResponse(model, version, id_, {"probabilities": values})
    message = encode_response(response, binary=True)
    headers = {name.lower(): value for name, value in message.headers.items()}
    bare = {name: value for name, value in headers.items() if name != DIGEST_HEADER.lower()}
    other = headers | {DIGEST_HEADER.lower(): content_digest(b"another")}
    for told in (headers, bare, other):
        for required in (False, True):
            yield _judgement(Reply(200, told, message.body), required)


def _judgement(reply: Reply, required: bool) -> dict[str, Any]:
    question = Question(ENDPOINT, {}, "an id", None, 1)
    told: dict[str, Any] = {
        "status": reply.status,
        "headers": reply.headers,
        "body": _base64(reply.body),
        "required": required,
    }
    try:
        values = judge(question, reply, digest_required=required)
    except Failure as failure:
        names = ("reason", "sent", "counts", "retry", "after")
        said = {name: getattr(failure, name) for name in names}
        return {**told, "failure": {**said, "notUnderstood": failure.not_understood}}
    return {**told, "probabilities": values.ravel().tolist()}


def _digests() -> Iterator[dict[str, Any]]:
    body = b"a body"
    right = content_digest(body)
    long = f"sha-512=:{_base64(hashlib.sha512(body).digest())}:"
    wrong = content_digest(b"another")
    for value in (
        "",
        right,
        long,
        wrong,
        f"{right}, {long}",
        f"md5=:x:, {long}",
        "md5=:x:",
        f"{long},{wrong}",
        right.upper(),
        right.replace(":", ""),
        "sha-256",
        right.replace("sha-256", " SHA-256 "),
        "sha-256=:****:",
        "constructor=:x:",
    ):
        yield {
            "value": value,
            "body": _base64(body),
            "matches": digest_matches(value, body),
            "states": states_digest(value),
        }


def _texts() -> Iterator[dict[str, Any]]:
    """Texts of a unit over and over, around the longest that is sent."""
    for unit in ("a", "é", "漢", "\U0001f600", "ab漢\U0001f600"):
        size = len(unit.encode())
        for count in (1, LONGEST // size - 1, LONGEST // size, LONGEST // size + 1, LONGEST):
            (sent,) = utf8_of(unit * count)
            sha256 = hashlib.sha256(sent).hexdigest()
            yield {"unit": unit, "count": count, "bytes": len(sent), "sha256": sha256}


def _pauses(rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    for attempts in range(1, 9):
        for after in (None, 0.0, 2.5):
            chance = float(rng.random())
            pause = pause_before(attempts, Failure("overloaded", "", after=after), chance)
            yield {"attempts": attempts, "after": after, "chance": chance, "pause": pause}


def _breaker(rng: np.random.Generator) -> dict[str, Any]:
    """Random events at a breaker, and its state behind each."""
    now = 100.0
    failures, cooldown = int(rng.integers(1, 4)), float(rng.choice([0.5, 2.0]))
    breaker = CircuitBreaker(failures, cooldown, clock=lambda: now)
    held: list[Permit] = []
    events = []
    for _ in range(80):
        what = str(rng.choice(["wait", "acquire", "acquire", "succeed", "fail", "fail", "abandon"]))
        event: dict[str, Any] = {"what": what}
        if what == "wait":
            event["seconds"] = float(rng.choice([0.25, 0.5, 1.0]))
            now += event["seconds"]
        elif what == "acquire":
            permit = breaker.acquire()
            event["probe"] = None if permit is None else permit.probe
            if permit is not None:
                held.append(permit)
        elif held:
            event["which"] = int(rng.integers(len(held)))
            getattr(breaker, what)(held.pop(event["which"]))
        else:
            continue
        events.append({**event, "state": breaker.state})
    return {"failures": failures, "cooldown": cooldown, "events": events}
