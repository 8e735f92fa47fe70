"""Whatever is sent arrives; and the fuzzer's messages are understood or refused, never more."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dimec.protocol import (
    BINARY_HEADER,
    DATATYPES,
    InferRequest,
    InferResponse,
    decode_request,
    decode_response,
    digest_matches,
    encode_request,
    encode_response,
)
from support.fuzzing import Sample, broken_messages, sound_messages, try_request, try_response

names = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8)
ids = st.text(st.characters(exclude_categories=("C", "Z")), max_size=8)
dtypes = st.sampled_from(list(DATATYPES.values())).flatmap(
    lambda dtype: st.sampled_from([dtype, dtype.newbyteorder(">")])
)
shapes = arrays.array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=4)


texts = st.text(max_size=5).map(lambda text: text.encode("utf-8"))


@st.composite
def tensors(draw: st.DrawFn, finite: bool) -> npt.NDArray[np.generic]:
    """Any array that the protocol carries, laid out in memory in any way."""
    dtype = draw(dtypes | st.just(np.dtype(object)))
    elements = (
        texts
        if dtype.kind == "O"
        else arrays.from_dtype(dtype, allow_nan=not finite, allow_infinity=not finite)
    )
    array = draw(arrays.arrays(dtype, draw(shapes), elements=elements))
    if draw(st.booleans()):
        array = array.T
    return array[::-1] if draw(st.booleans()) else array


def check_same(
    sent: dict[str, npt.NDArray[np.generic]], got: dict[str, npt.NDArray[np.generic]]
) -> None:
    assert list(sent) == list(got)
    for name, array in sent.items():
        if array.dtype.kind == "O":
            assert got[name].tolist() == array.tolist()
            continue
        native = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("=")))
        assert got[name].dtype == native.dtype
        assert got[name].shape == native.shape
        assert got[name].tobytes() == native.tobytes()


@given(st.data(), st.booleans())
def test_requests_arrive_as_sent(data: st.DataObject, binary: bool) -> None:
    inputs = data.draw(st.dictionaries(names, tensors(finite=not binary), min_size=1, max_size=4))
    outputs = tuple(data.draw(st.lists(names, unique=True, max_size=3)))
    flag = data.draw(st.booleans())
    some = frozenset(name for name in outputs if data.draw(st.booleans()))
    wanted = some if bool(outputs) and data.draw(st.booleans()) else flag
    timeout = data.draw(st.none() | st.integers(1, 10**9).map(lambda us: us / 1e6))
    sent = InferRequest(inputs, data.draw(ids), outputs, wanted, timeout)
    message = encode_request(sent, binary=binary)
    assert digest_matches(message.headers["Content-Digest"], message.body)
    got = decode_request(message.body, message.headers.get(BINARY_HEADER))
    assert (got.id, got.outputs, got.timeout) == (sent.id, sent.outputs, sent.timeout)
    for name in outputs:
        assert raw(name, got.binary) == raw(name, sent.binary)
    if not outputs:
        assert got.binary is sent.binary
    check_same(inputs, got.inputs)


def raw(name: str, binary: frozenset[str] | bool) -> bool:
    """Whether an output is wanted as raw bytes."""
    return binary if isinstance(binary, bool) else name in binary


@given(st.data(), st.booleans())
def test_responses_arrive_as_sent(data: st.DataObject, binary: bool) -> None:
    outputs = data.draw(st.dictionaries(names, tensors(finite=not binary), max_size=4))
    sent = InferResponse(data.draw(names), data.draw(names), data.draw(ids), outputs)
    message = encode_response(sent, binary=binary)
    got = decode_response(message.body, message.headers.get(BINARY_HEADER))
    assert (got.model, got.version, got.id) == (sent.model, sent.version, sent.id)
    check_same(outputs, got.outputs)


@given(st.binary(max_size=300), st.none() | st.integers(-2, 400) | st.text(max_size=5))
def test_bytes_of_any_kind_are_understood_or_refused(body: bytes, length: str | int | None) -> None:
    sample = Sample(body, None if length is None else str(length))
    assert try_request(sample) in {"sound", "refused"}
    assert try_response(sample) in {"sound", "refused"}


def test_three_thousand_broken_messages() -> None:
    requests, responses = sound_messages()
    outcomes: Counter[str] = Counter()
    for samples, attempt in ((requests, try_request), (responses, try_response)):
        assert [attempt(sample) for sample in samples] == ["sound"] * len(samples)
        mutants = islice(broken_messages(0, samples), 1500)
        outcomes.update(attempt(sample) for sample in mutants)
    # The fuzzer breaks most messages, and leaves some sound, so that both ends are reached.
    assert outcomes["refused"] > 1500
    assert outcomes["sound"] > 100


def test_the_fuzzer_repeats_itself() -> None:
    requests, _ = sound_messages()
    first, second, other = (list(islice(broken_messages(s, requests), 50)) for s in (1, 1, 2))
    assert first == second != other


def test_the_fuzzer_by_hand() -> None:
    script = Path(__file__).parents[1] / "support" / "fuzzing.py"
    done = subprocess.run(
        [sys.executable, str(script), "--seconds", "0.2"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "requests refused" in done.stdout
