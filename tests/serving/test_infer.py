"""Inference over a real socket: right answers, and every way to ask wrongly."""

from __future__ import annotations

import json
import threading
from typing import Any

import numpy as np
import pytest

from dimec.protocol import content_digest, decode_response, digest_matches
from support.served import (
    FAILING,
    INFER,
    VERSION,
    VOCABULARY,
    Background,
    Server,
    ask,
    expected,
    inputs_of,
    message,
    raw_request,
    read_raw,
)

INPUTS = inputs_of([3, 70, 9], [50])


@pytest.mark.parametrize("path", [INFER, f"/v2/models/edge/versions/{VERSION}/infer"])
@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize("wanted", [True, False])
def test_json_and_binary_both_ways(server: Server, path: str, sent: bool, wanted: bool) -> None:
    headers, body = message(INPUTS, binary=sent, id="mine")
    text = body[: int(headers.get("Inference-Header-Content-Length", len(body)))]
    value = json.loads(text)
    value["parameters"] = {"binary_data_output": wanted}
    changed = json.dumps(value).encode()
    own = {"Inference-Header-Content-Length": str(len(changed))} if sent else {}
    answer = server.ask("POST", path, own, changed + body[len(text) :])
    response = answer.decoded()
    assert (response.model, response.version, response.id) == ("edge", VERSION, "mine")
    assert list(response.outputs) == ["probabilities"]
    np.testing.assert_allclose(response.outputs["probabilities"], expected(INPUTS), atol=1e-6)
    assert response.outputs["probabilities"].dtype == np.float32
    assert ("inference-header-content-length" in answer.headers) == wanted
    assert digest_matches(answer.headers["content-digest"], answer.body)


def test_padding_on_the_wire_changes_nothing(server: Server) -> None:
    wide = {name: np.pad(values, ((0, 0), (0, 20))) for name, values in INPUTS.items()}
    answer = server.infer(wide).decoded().outputs["probabilities"]
    np.testing.assert_allclose(answer, expected(INPUTS), atol=1e-6)


def test_many_clients_get_their_own_answers(server: Server) -> None:
    rng = np.random.default_rng(0)
    wrong: list[Any] = []

    def client(number: int) -> None:
        connection = server.connect()
        for turn in range(30):
            lengths = rng.integers(1, 40, 1 + turn % 3)
            inputs = inputs_of(*[rng.integers(0, 1000, n).tolist() for n in lengths])
            headers, body = message(inputs, binary=turn % 2 == 0, id=f"{number}-{turn}")
            while (answer := ask(connection, "POST", INFER, headers, body)).status == 503:
                pass  # sixteen rows are all that may wait
            response = answer.decoded()
            same = np.allclose(response.outputs["probabilities"], expected(inputs), atol=1e-6)
            if response.id != f"{number}-{turn}" or not same:
                wrong.append((number, turn))
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert server.metric("dimec_batch_rows_sum") > server.metric("dimec_batch_rows_count")


def test_requests_that_follow_each_other_closely_are_answered_in_order(server: Server) -> None:
    requests = b"".join(
        raw_request(INFER, *message(inputs_of([n] * n), id=str(n))) for n in range(1, 9)
    )
    with server.socket() as sock:
        sock.sendall(requests)
        answers = read_raw(sock)
        for n in range(1, 9):
            response = next(answers).decoded()
            assert response.id == str(n)
            probabilities = response.outputs["probabilities"]
            np.testing.assert_allclose(probabilities, expected(inputs_of([n] * n)), atol=1e-6)


def test_a_request_without_id_and_content_type_is_fine(server: Server) -> None:
    _, body = message(INPUTS, binary=False)
    assert b'"id"' not in body
    with server.socket() as sock:
        sock.sendall(raw_request(INFER, {}, body))
        assert next(read_raw(sock)).decoded().id == ""


def test_the_digest_of_a_request_is_checked_where_it_is_given(server: Server) -> None:
    headers, body = message(INPUTS)
    assert server.ask("POST", INFER, headers, body).status == 200
    wrong = {**headers, "Content-Digest": content_digest(body + b"x")}
    answer = server.ask("POST", INFER, wrong, body)
    assert answer.status == 400
    assert "Content-Digest" in answer.error
    unknown = {**headers, "Content-Digest": "md5=:AAAA:"}
    assert server.ask("POST", INFER, unknown, body).status == 200


def test_the_answer_names_the_body_that_it_answers(server: Server) -> None:
    headers, body = message(INPUTS)
    for sent, status in ((body, 200), (b"{}", 400)):
        answer = server.ask("POST", INFER, {}, sent) if status == 400 else server.infer(INPUTS)
        assert answer.status == status
        assert answer.headers["x-request-digest"] == content_digest(sent)
    wrong = {**headers, "Content-Digest": content_digest(b"")}
    answer = server.ask("POST", INFER, wrong, body)
    assert answer.headers["x-request-digest"] == content_digest(body)
    assert "x-request-digest" not in server.get("/v2").headers


@pytest.mark.parametrize(
    ("inputs", "options", "message_"),
    [
        (inputs_of(*[[1]] * 9), {}, "the batch: expected 1 to 8 rows, got 9"),
        (inputs_of([1] * 41), {}, "the length: expected 1 to 40 tokens, got 41"),
        (inputs_of([VOCABULARY]), {}, f"input_ids: expected values from 0 to {VOCABULARY - 1}"),
        (inputs_of([-1]), {}, f"input_ids: expected values from 0 to {VOCABULARY - 1}"),
        ({"input_ids": INPUTS["input_ids"]}, {}, "inputs: expected input_ids, attention_mask"),
        ({**INPUTS, "more": INPUTS["input_ids"]}, {}, "inputs: expected"),
        ({**INPUTS, "attention_mask": 1 - INPUTS["attention_mask"]}, {}, "attention_mask: "),
        ({**INPUTS, "input_ids": INPUTS["input_ids"].astype(np.int32)}, {}, "input_ids: "),
        (
            {**INPUTS, "input_ids": INPUTS["input_ids"][:1]},
            {},
            "attention_mask: expected the shape",
        ),
        (INPUTS, {"outputs": ("logits",)}, "there is no output 'logits'"),
        (INPUTS, {"id": "x" * 257}, "id: expected at most 256"),
    ],
)
@pytest.mark.parametrize("binary", [True, False])
def test_wrong_requests_are_400(
    server: Server, inputs: dict[str, Any], options: dict[str, Any], message_: str, binary: bool
) -> None:
    answer = server.infer(inputs, binary=binary, **options)
    assert answer.status == 400
    assert answer.error.startswith(message_)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"inputs": []}',
        b'{"inputs": NaN}',
        b'{"inputs": [{"name": "input_ids", "datatype": "INT64", "shape": [1, 1], "data": [NaN]}]}',
        b"[" * 10_000,
        b'{"inputs":' + b'{"a":' * 2_000 + b"1" + b"}" * 2_000 + b"}",
        b'{"id": "\\ud800", "inputs": []}',
    ],
)
def test_bodies_that_are_no_requests_are_400(server: Server, body: bytes) -> None:
    answer = server.ask("POST", INFER, body=body)
    assert answer.status == 400
    assert answer.error.isprintable()


def test_bodies_that_are_encoded_are_415(server: Server) -> None:
    headers, body = message(INPUTS)
    answer = server.ask("POST", INFER, {**headers, "Content-Encoding": "gzip"}, body)
    assert answer.status == 415
    assert "content-encoding" in answer.error
    assert (
        server.ask("POST", INFER, {**headers, "Content-Encoding": "identity"}, body).status == 200
    )


def test_a_failure_of_the_graph_is_500_for_its_request_only(server: Server) -> None:
    others = [Background(server.infer, INPUTS) for _ in range(6)]
    answer = server.infer(inputs_of([FAILING]))
    assert answer.status == 500
    assert answer.error == "the model failed on this request; the server's log says why"
    for other in others:
        probabilities = other.result().decoded().outputs["probabilities"]
        np.testing.assert_allclose(probabilities, expected(INPUTS), atol=1e-6)
    assert server.infer(INPUTS).status == 200
    line = server.wait_logged(outcome="error")
    assert line["error"] == "InvalidArgument"
    assert str(FAILING) not in server.said()


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_that_is_too_large_is_413(server: Server, declared: bool) -> None:
    body = b" " * 20_000
    connection = server.connect()
    if declared:
        connection.request("POST", INFER, body)
    else:
        connection.request("POST", INFER, iter([body[:5000]] * 4), encode_chunked=True)
    response = connection.getresponse()
    assert response.status == 413
    assert b"longer than 16384 bytes" in response.read()
    # What was left of it is read and dropped: the connection goes on.
    connection.request("POST", INFER, message(INPUTS)[1], message(INPUTS)[0])
    response = connection.getresponse()
    answer = decode_response(response.read(), response.getheader("Inference-Header-Content-Length"))
    np.testing.assert_allclose(answer.outputs["probabilities"], expected(INPUTS), atol=1e-6)
    connection.close()


def test_a_chunked_body_is_as_good_as_another(server: Server) -> None:
    headers, body = message(INPUTS)
    connection = server.connect()
    parts = iter([body[:7], body[7:100], body[100:]])
    connection.request("POST", INFER, parts, headers, encode_chunked=True)
    response = connection.getresponse()
    assert response.status == 200
    connection.close()


def test_a_client_that_asks_first_is_told_before_it_sends(server: Server) -> None:
    headers, body = message(INPUTS)
    head, _, _ = raw_request(INFER, {**headers, "Expect": "100-continue"}, body).partition(
        b"\r\n\r\n"
    )
    with server.socket() as sock:
        sock.sendall(head + b"\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert next(read_raw(sock)).status == 200
    with server.socket() as sock:
        sock.sendall(
            f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n"
            "Expect: 100-continue\r\n\r\n".encode()
        )
        (answer,) = read_raw(sock)
        assert answer.status == 413
        assert answer.headers["connection"] == "close"
