"""What to send to a tier, and what to make of what comes back.

Pure functions: the threaded and the asynchronous client share them, and differ in how bytes travel
only.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import numpy as np
import numpy.typing as npt

from dimec.__about__ import __version__
from dimec.base.errors import ConfigError, ProtocolError, quoted
from dimec.client.endpoint import Endpoint
from dimec.client.failures import Failure
from dimec.protocol import (
    BINARY_HEADER,
    DIGEST_HEADER,
    RECEIVED_HEADER,
    InferRequest,
    decode_error,
    decode_response,
    digest_matches,
    encode_request,
    states_digest,
)

OUTPUT = "probabilities"

# Statuses by which a server may say that it has never heard of binary tensors. Among them 500,
# since one that takes the whole body for JSON may well fall over it.
_NOT_UNDERSTOOD = frozenset({400, 415, 422, 500, 501})
# Statuses that are about the one request, not about the tier.
_THIS_INPUT = frozenset({400, 413, 414, 415, 422, 431})

_PLAIN_ID = re.compile(r"[!-~]{1,128}\Z")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")


@dataclass(frozen=True)
class Attempt:
    """One HTTP request to make.

    Attributes:
        method: ``GET`` or ``POST``.
        url: the address.
        headers: names and values.
        body: the whole body.
        seconds: how long all of it may take, until the last byte of the answer.
        limit: bytes of the answer's body that are read at most.
    """

    method: str
    url: httpx2.URL
    headers: dict[str, str]
    body: bytes
    seconds: float
    limit: int


@dataclass(frozen=True)
class Reply:
    """What came back; names of ``headers`` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    sent: int = 0
    received: int = 0


@dataclass(frozen=True)
class Question:
    """What one call asks for, and what its answer is held against."""

    endpoint: Endpoint
    inputs: Mapping[str, npt.NDArray[Any]]
    id: str
    traceparent: str | None
    rows: int


def wire_id(id_: str) -> str:
    """An id that fits into a header: itself, or a hash of it where it would not."""
    if _PLAIN_ID.match(id_):
        return id_
    return f"sha256-{hashlib.sha256(id_.encode('utf-8', 'surrogatepass')).hexdigest()}"


@dataclass(frozen=True)
class Fixed:
    """What is the same in every request to a tier, worked out once.

    Attributes:
        infer: address of the model's inference.
        ready: address that tells whether the model is ready.
        headers: headers that every request has.
    """

    infer: httpx2.URL
    ready: httpx2.URL
    headers: dict[str, str]

    @classmethod
    def of(cls, endpoint: Endpoint) -> Fixed:
        """The fixed parts of an endpoint's requests.

        Raises:
            ConfigError: an address that is none after all.
        """
        headers = {
            "Accept-Encoding": "identity",
            "User-Agent": f"dimec/{__version__}",
        }
        if endpoint.token is not None:
            headers["Authorization"] = f"Bearer {endpoint.token}"
        model = endpoint.model_url
        try:
            return cls(httpx2.URL(f"{model}/infer"), httpx2.URL(f"{model}/ready"), headers)
        except httpx2.InvalidURL as error:
            raise ConfigError(
                f"{endpoint.tier}: {endpoint.url!r} is no address ({error})"
            ) from None


def ask(question: Question, fixed: Fixed, seconds: float, *, binary: bool) -> Attempt:
    """The request that puts a question.

    Args:
        question: what to ask.
        fixed: of its endpoint.
        seconds: what is left until the deadline; the server is told.
        binary: send and want raw tensors rather than JSON numbers and strings.

    Raises:
        Failure: the inputs have no place in the protocol.
    """
    endpoint = question.endpoint
    request = InferRequest(
        inputs=dict(question.inputs),
        id=question.id,
        outputs=(OUTPUT,),
        binary=binary,
        timeout=seconds,
    )
    try:
        message = encode_request(request, binary=binary)
    except ProtocolError as error:
        raise Failure("refused", str(error), sent=False) from None
    headers = {**fixed.headers, **message.headers, "X-Request-Id": question.id}
    if question.traceparent is not None and _TRACEPARENT.match(question.traceparent):
        headers["Traceparent"] = question.traceparent
    # As JSON a float32 is at most 24 characters; a dimec server's own header is below 1 KiB.
    limit = 65_536 + 32 * question.rows * endpoint.classes
    return Attempt("POST", fixed.infer, headers, message.body, seconds, limit)


def ask_ready(fixed: Fixed, seconds: float) -> Attempt:
    """The request that asks whether a tier is ready."""
    return Attempt("GET", fixed.ready, fixed.headers, b"", seconds, 65_536)


def check_received(attempt: Attempt, reply: Reply, *, required: bool) -> None:
    """Whether the server got the request that was sent, as far as it says.

    Args:
        attempt: what was sent.
        reply: what came, of any status.
        required: the server always says, so that what does not say was altered on its way.

    Raises:
        Failure: what it got was altered on its way.
    """
    received = reply.headers.get(RECEIVED_HEADER.lower(), "")
    if received and received != attempt.headers[DIGEST_HEADER]:
        raise Failure("broken answer", f"the request was altered on its way (HTTP {reply.status})")
    # 400 without it: the server could not make out a request at all.
    if required and not received and reply.status in (200, 400):
        raise Failure(
            "broken answer", f"HTTP {reply.status} without the {RECEIVED_HEADER} of this server"
        )


def judge(question: Question, reply: Reply, *, digest_required: bool) -> npt.NDArray[Any]:
    """The probabilities (B, C) float32 that a reply holds, checked in every way.

    Args:
        question: what was asked.
        reply: what came.
        digest_required: an answer without a digest was altered on its way.

    Raises:
        Failure: it is not an answer to what was asked.
    """
    if reply.status != 200:
        raise _bad_status(reply)
    encoding = reply.headers.get("content-encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        raise Failure("broken answer", f"it is encoded as {quoted(encoding)}, which was not asked")
    digest = reply.headers.get("content-digest", "")
    if not digest_matches(digest, reply.body):
        raise Failure("broken answer", f"it was altered on its way ({DIGEST_HEADER} differs)")
    if digest_required and not states_digest(digest):
        raise Failure("broken answer", f"it lacks the {DIGEST_HEADER} that this server sends")
    try:
        response = decode_response(reply.body, reply.headers.get(BINARY_HEADER.lower()))
    except ProtocolError as error:
        raise Failure("broken answer", str(error)) from None
    _check_names(question, response.model, response.version, response.id)
    if OUTPUT not in response.outputs:
        raise Failure("broken answer", f"it has no output {OUTPUT!r}")
    return _check_probabilities(question, response.outputs[OUTPUT])


def _check_names(question: Question, model: str, version: str, id_: str) -> None:
    endpoint = question.endpoint
    if model != endpoint.tier:
        raise Failure("broken answer", f"expected the model {endpoint.tier!r}, got {model!r}")
    if version != endpoint.version:
        raise Failure("wrong version", f"expected {endpoint.version}, got {version or 'none'}")
    if id_ != question.id:
        raise Failure("broken answer", f"it is the answer to {id_!r}, not to {question.id!r}")


def _check_probabilities(question: Question, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    shape = (question.rows, question.endpoint.classes)
    if values.dtype != np.float32 or values.shape != shape:
        raise Failure(
            "broken answer",
            f"expected {OUTPUT} of float32 {shape}, got {values.dtype} {values.shape}",
        )
    # Written so that NaN fails: every comparison with it is false.
    sound = ((values >= 0) & (values <= 1.001)).all()
    if not (sound and (np.abs(values.sum(axis=1, dtype=np.float64) - 1) <= 1e-3).all()):
        raise Failure("broken answer", f"rows of {OUTPUT} are not finite and of sum 1")
    return values


def _bad_status(reply: Reply) -> Failure:
    """The failure that a status other than 200 stands for."""
    status = reply.status
    text = decode_error(reply.body)
    detail = f"HTTP {status}" + (f": {text}" if text else "")
    if 300 <= status < 400:
        where = reply.headers.get("location", "nowhere")
        return Failure("refused", f"{detail} sends elsewhere ({quoted(where, 100)})", counts=True)
    if status == 404:
        return Failure("wrong version", detail)
    if status in (429, 503):
        return Failure("overloaded", detail, after=_retry_after(reply.headers.get("retry-after")))
    if status in (408, 504):
        return Failure("timeout", detail)
    if status == 400 and (not text or DIGEST_HEADER.lower() in text.lower()):
        # The model server found that the body was altered, or the HTTP server before it could make
        # nothing of what arrived.
        return Failure(
            "broken answer", f"the request was altered on its way ({detail})", not_understood=True
        )
    hint = status in _NOT_UNDERSTOOD
    if status >= 500:
        return Failure("server error", detail, not_understood=hint)
    if status < 400:
        return Failure("broken answer", detail)
    return Failure("refused", detail, counts=status not in _THIS_INPUT, not_understood=hint)


def _retry_after(value: str | None) -> float | None:
    """Seconds, from seconds or a date."""
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value.strip(), re.ASCII):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
