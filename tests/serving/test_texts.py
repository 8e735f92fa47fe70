"""A tier that takes texts, over a real socket: right answers, and every way to ask wrongly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.protocol import LARGEST_TEXT
from support.served import INFER, SLOW, Background, Server, expected, inputs_of, message
from support.texts import PANICKING, column, make_text_tier, words_of

ROWS = ([3, 70, 9], [50], [0, 1, 2, 3, 4], [999] * 40)
TEXTS = {"text": column(*words_of(*ROWS))}
WHAT = inputs_of(*ROWS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_text_tier(tmp_path_factory.mktemp("texts") / "edge")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    """Its server, with room for texts that are too long."""
    with Server(folder, folder.parent / "log", max_batch=8, queue=16, max_body=4 << 20) as running:
        yield running
        assert running.stop() == 0
        assert '"event": "event loop"' not in running.said()


@pytest.mark.parametrize("binary", [True, False])
def test_texts_are_answered_as_their_tokens_are(server: Server, binary: bool) -> None:
    response = server.infer(TEXTS, binary=binary, id="mine").decoded()
    assert response.id == "mine"
    np.testing.assert_allclose(response.outputs["probabilities"], expected(WHAT), atol=1e-6)


def test_a_request_written_by_hand(server: Server) -> None:
    body = (
        '{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [2, 1], '
        '"data": ["t3 t70 t9", "ein Süßer"]}]}'
    ).encode()
    answer = server.ask("POST", INFER, body=body).decoded().outputs["probabilities"]
    np.testing.assert_allclose(answer, expected(inputs_of([3, 70, 9], [0, 0])), atol=1e-6)


def test_a_long_text_is_cut_at_the_models_length(server: Server) -> None:
    words = [7, 8, *[5] * 200_000]
    answer = server.infer({"text": column(*words_of(words, [1]))}).decoded()
    np.testing.assert_allclose(
        answer.outputs["probabilities"], expected(inputs_of(words[:40], [1])), atol=1e-6
    )


def test_pairs_are_tokenised_together(tmp_path: Path) -> None:
    folder = make_text_tier(tmp_path / "edge", pairs=True)
    inputs = {"text": column("t1 t2", "t3"), "pair": column("t4", "t5 t6")}
    with Server(folder, tmp_path / "log") as server:
        answer = server.infer(inputs).decoded().outputs["probabilities"]
        np.testing.assert_allclose(answer, expected(inputs_of([1, 2, 4], [3, 5, 6])), atol=1e-6)
        assert server.infer(TEXTS).error == "inputs: expected text, pair, got 'text'"
        inputs["pair"] = inputs["pair"][:1]
        assert server.infer(inputs).error == "pair: expected as many rows as text, 2, got 1"
        said = server.get("/v2/models/edge").json()["inputs"]
        assert [each["name"] for each in said] == ["text", "pair"]
        assert server.stop() == 0


def test_it_says_that_it_takes_texts(server: Server) -> None:
    said = server.get("/v2/models/edge").json()
    assert said["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1, 1]}]
    said = server.get("/v2/models/edge/config").json()
    assert said["input"] == [{"name": "text", "data_type": "TYPE_STRING", "dims": [1]}]
    assert said["parameters"]["max_tokens"] == {"string_value": "40"}


def test_tokenising_is_counted_and_logged(server: Server) -> None:
    before = server.metric("dimec_tokenise_seconds_count")
    server.infer(TEXTS, id="counted")
    assert server.metric("dimec_tokenise_seconds_count") == before + 1
    (stats,) = server.get("/v2/models/edge/stats").json()["model_stats"]
    assert stats["inference_stats"]["compute_input"]["count"] == before + 1
    assert stats["inference_stats"]["compute_input"]["ns"] > 0
    while not (found := [line for line in server.said().splitlines() if '"counted"' in line]):
        pass
    line = json.loads(found[0])
    assert line["rows"] == 4
    assert 0 < line["tokenise_ms"] < line["ms"]


def raw(tail: bytes, shape: tuple[int, ...] = (1, 1)) -> tuple[dict[str, str], bytes]:
    """Headers and body of a request with one input of raw texts."""
    entry = {"name": "text", "datatype": "BYTES", "shape": shape}
    value = {"inputs": [{**entry, "parameters": {"binary_data_size": len(tail)}}]}
    text = json.dumps(value).encode()
    return {"Inference-Header-Content-Length": str(len(text))}, text + tail


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (raw(b"\x05\0\0\0t1"), "tensor 'text': element 0 is to have 5 bytes, and 2 are left"),
        (raw(b"\x05\0"), "tensor 'text': binary_data_size must be 4 bytes or more"),
        (raw(b"\xff\xff\xff\xfft1"), "tensor 'text': element 0 is to have 4294967295 bytes"),
        (raw(b"\xff\xff\xff\x7ft1"), "tensor 'text': element 0 is to have 2147483647 bytes"),
        (raw(b"\x02\0\0\0t\xff"), "tensor 'text': element 0 is no UTF-8; send texts"),
        (raw(b"\x02\0\0\0t1", (1,)), "text: expected a shape (rows, 1), got (1,)"),
        (raw(b"\0" * 8, (1, 2)), "text: expected a shape (rows, 1), got (1, 2)"),
        (raw(b"\0" * 4, (1, 1, 1)), "text: expected a shape (rows, 1), got (1, 1, 1)"),
        (raw(b"", (0, 1)), "the batch: expected 1 to 8 rows, got 0"),
        (raw(b"\0" * 36, (9, 1)), "the batch: expected 1 to 8 rows, got 9"),
        (raw(b"\0" * 4), "the bundle's tokenizer finds no token in a text"),
        (message({"text": column(b"x" * (2 << 20))}), "text: expected texts of at most 1048576 b"),
        (message({"text": np.array([[3]])}), "text: expected datatype BYTES, got INT64; this tier"),
        (message({"text": np.array([[True]])}), "text: expected datatype BYTES, got BOOL"),
        (message(WHAT), "inputs: expected text, got 'input_ids', 'attention_mask'"),
        (message({**TEXTS, "pair": TEXTS["text"]}), "inputs: expected text, got 'text', 'pair'"),
        (message(TEXTS, outputs=("logits",)), "there is no output 'logits'"),
        (
            message({"text": column("t1", PANICKING)}),
            "the bundle's tokenizer fails on this text (Onig: Regex search error",
        ),
    ],
    ids=range(18),
)
def test_wrong_requests_are_400(
    server: Server, request_: tuple[dict[str, str], bytes], says: str
) -> None:
    answer = server.ask("POST", INFER, *request_)
    assert answer.status == 400
    assert answer.error.startswith(says)
    assert answer.error.isprintable()
    assert server.infer(TEXTS).status == 200
    assert server.metric("dimec_queue_rows") == 0


def test_the_longest_text_is_answered(server: Server) -> None:
    text = b"t7 " * (LARGEST_TEXT // 3) + b"x"
    assert len(text) == LARGEST_TEXT
    answer = server.infer({"text": column(text)}).decoded().outputs["probabilities"]
    np.testing.assert_allclose(answer, expected(inputs_of([7] * 40)), atol=1e-6)


def test_a_failure_of_the_graph_is_500(server: Server) -> None:
    assert server.infer({"text": column("t1 failing")}).status == 500
    assert server.infer(TEXTS).status == 200
    assert "failing" not in server.said()


def test_deadlines_count_from_the_request_on(server: Server) -> None:
    assert server.infer(TEXTS, timeout=60.0).status == 200
    answer = server.infer({"text": column(*words_of([SLOW]))}, timeout=0.1)
    assert (answer.status, answer.error[:12]) == (504, "the deadline")
    assert server.infer(TEXTS, timeout=1e-6).status == 504


def test_texts_that_were_accepted_are_answered_at_the_end(folder: Path, tmp_path: Path) -> None:
    with Server(folder, tmp_path / "log") as server:
        slow = Background(server.infer, {"text": column(*words_of([SLOW]))})
        server.wait_for("dimec_runs_active", 1)
        next_ = Background(server.infer, TEXTS)
        server.wait_for("dimec_queue_rows", len(ROWS))
        assert server.infer({"text": column(b"x" * (2 << 20))}).status == 413
        server.signal()
        for each, what in ((slow, inputs_of([SLOW])), (next_, WHAT)):
            answer = each.result().decoded().outputs["probabilities"]
            np.testing.assert_allclose(answer, expected(what), atol=1e-6)
        assert server.wait() == 0


def test_a_tier_that_takes_tokens_says_nothing_of_texts(tier: Path, tmp_path: Path) -> None:
    with Server(tier, tmp_path / "log") as server:
        assert server.infer(TEXTS).error == "inputs: expected input_ids, attention_mask, got 'text'"
        texts: dict[str, Any] = {**inputs_of([1]), "input_ids": column("t1")}
        assert server.infer(texts).error == "input_ids: expected datatype INT64, got BYTES"
        assert server.infer(inputs_of([1])).status == 200
        assert b"tokenise" not in server.get("/metrics").body
        assert b"compute_input" not in server.get("/v2/models/edge/stats").body
        assert server.stop() == 0
        assert "tokenise" not in server.said()
