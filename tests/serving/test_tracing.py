from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.serving.tracing import new_id, plain_id, trace_id

TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = b"00f067aa0ba902b7"


@pytest.mark.parametrize(
    "value",
    [
        b"00-" + TRACE + b"-" + PARENT + b"-01",
        b"00-" + TRACE + b"-" + PARENT + b"-ff",
        b"01-" + TRACE + b"-" + PARENT + b"-00",
        b"cc-" + TRACE + b"-" + PARENT + b"-01-what-the-future-brings",
    ],
)
def test_sound_trace_contexts(value: bytes) -> None:
    assert trace_id(value) == TRACE.decode()


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"ff-" + TRACE + b"-" + PARENT + b"-01",
        b"00-" + TRACE + b"-" + PARENT + b"-01-more",
        b"00-" + TRACE + b"-" + PARENT + b"-01\n",
        b"00-" + TRACE + b"-" + PARENT + b"-1",
        b"00-" + TRACE + b"-" + PARENT,
        b"00-" + TRACE[1:] + b"-" + PARENT + b"-01",
        b"00-" + TRACE.upper() + b"-" + PARENT + b"-01",
        b"00-" + b"0" * 32 + b"-" + PARENT + b"-01",
        b"00-" + TRACE + b"-" + b"0" * 16 + b"-01",
        b"01-" + TRACE + b"-" + PARENT + b"-01more",
        b"01-" + TRACE + b"-" + PARENT + b"-01-" + b"x" * 600,
        b" 00-" + TRACE + b"-" + PARENT + b"-01",
        b"00-" + "٤".encode() * 16 + b"-" + PARENT + b"-01",
    ],
)
def test_trace_contexts_that_are_none(value: bytes | None) -> None:
    assert trace_id(value) is None


def test_ids() -> None:
    assert plain_id(b"a-1/~!") == "a-1/~!"
    assert plain_id(b"x" * 128) == "x" * 128
    for value in (None, b"", b"x" * 129, b"a b", b"a\n", b"a\x00", "é".encode(), b"\x7f"):
        assert plain_id(value) is None
    assert plain_id(new_id().encode()) is not None
    assert len({new_id() for _ in range(100)}) == 100


@given(st.binary(max_size=200))
def test_nothing_that_could_forge_a_line_is_taken(value: bytes) -> None:
    taken = plain_id(value)
    assert taken is None or (taken.encode() == value and taken.isprintable() and " " not in taken)
    assert trace_id(value) is None or trace_id(value) == value[3:35].decode()
