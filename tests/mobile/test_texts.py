"""Texts on their way to a tier with a tokenizer of its own."""

from __future__ import annotations

import numpy as np
import pytest

from dimec.mobile.texts import LONGEST, MOST_BYTES, text_inputs, utf8_of
from dimec.protocol import BINARY_HEADER, InferRequest, decode_request, encode_request
from dimec.serving.settings import ServerSettings


def test_a_text_is_its_utf8_and_a_pair_both() -> None:
    assert utf8_of("") == (b"",)
    assert utf8_of("naïve \U0001f3ac") == ("naïve \U0001f3ac".encode(),)
    assert utf8_of(("à", "b")) == ("à".encode(), b"b")


@pytest.mark.parametrize("character", ["a", "é", "漢", "\U0001f3ac"])
@pytest.mark.parametrize("before", range(4))
def test_of_a_long_text_whole_characters_are_left(character: str, before: int) -> None:
    text = "x" * before + character * LONGEST
    for cut in utf8_of((text, text)):
        assert LONGEST - 4 < len(cut) <= LONGEST
        assert text.startswith(cut.decode())


def test_one_of_just_that_length_is_sent_whole() -> None:
    text = "é" * (LONGEST // 2)
    assert utf8_of(text) == (text.encode(),)


@pytest.mark.parametrize("rows", [[(b"one",)], [(b"one", b"more"), (b"", b"\xc3\xa9")]])
@pytest.mark.parametrize("binary", [True, False])
def test_the_inputs_arrive_as_they_are(rows: list[tuple[bytes, ...]], binary: bool) -> None:
    inputs = text_inputs(rows)
    assert [*inputs] == ["text", "pair"][: len(rows[0])]
    assert {values.shape for values in inputs.values()} == {(len(rows), 1)}
    message = encode_request(InferRequest(inputs), binary=binary)
    back = decode_request(message.body, message.headers.get(BINARY_HEADER)).inputs
    assert [*zip(*(back[name][:, 0].tolist() for name in inputs), strict=True)] == rows
    assert all(values.dtype == np.dtype(object) for values in back.values())


def test_the_largest_request_is_within_what_a_server_takes() -> None:
    pair = utf8_of(("é" * LONGEST, "é" * LONGEST))
    assert sum(map(len, pair)) <= MOST_BYTES
    message = encode_request(InferRequest(text_inputs([pair, *[(b"a", b"b")] * 31])))
    assert len(message.body) < ServerSettings.model_fields["max_body"].default
