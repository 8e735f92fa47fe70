from __future__ import annotations

import io
import json
import logging
import os
import threading
from typing import Any

import pytest

from dimec.serving.logs import JsonLog, LogHandler, error_fields


def _lines(stream: io.BytesIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_every_line_is_json_whatever_is_in_it() -> None:
    stream = io.BytesIO()
    log = JsonLog("info", stream)
    log("info", "request", path='/a"b\n{"event":"forged"}\u2028', ms=1.5, nothing=None)
    log("warning", "odd", value=float("nan"), what=object)
    log.close()
    first, second = _lines(stream)
    assert first["path"] == '/a"b\n{"event":"forged"}\u2028'
    assert first["level"] == "info"
    assert "nothing" not in first
    assert second["value"] is None
    assert list(first)[:3] == ["time", "level", "event"]


def test_no_line_holds_what_a_terminal_would_act_on() -> None:
    stream = io.BytesIO()
    log = JsonLog("info", stream)
    odd = "".join(map(chr, range(0xA1))) + "\u2028\u2029\u202e\ufeff\U000e0001é日"
    log("info", odd, path=odd)
    log.close()
    (line,) = stream.getvalue().decode("utf-8").removesuffix("\n").split("\n")
    assert line.isprintable()
    assert "é日" in line
    assert (json.loads(line)["event"], json.loads(line)["path"]) == (odd, odd)


def test_lines_below_the_level_are_left_out() -> None:
    stream = io.BytesIO()
    log = JsonLog("warning", stream)
    for level in ("debug", "info", "warning", "error"):
        log(level, level)
        assert log.enabled(level) == (level in ("warning", "error"))
    log.close()
    assert [line["event"] for line in _lines(stream)] == ["warning", "error"]


def test_closing_writes_what_waits_and_ends_the_thread() -> None:
    for _ in range(20):
        stream = io.BytesIO()
        log = JsonLog("info", stream)
        log("info", "first")
        log("info", "last")
        log.close(60)
        assert not log._thread.is_alive()
        assert [line["event"] for line in _lines(stream)] == ["first", "last"]


def test_a_reader_that_does_not_read_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dimec.serving.logs._MOST_LINES", 100)
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb", buffering=0) as pipe, os.fdopen(reader, "rb") as end:
        log = JsonLog("info", pipe)
        for _ in range(300):
            log("info", "x" * 1000)  # more than a pipe and the queue hold
        collected: list[bytes] = []
        thread = threading.Thread(target=lambda: collected.extend(end.readlines()))
        log.close(0.05)  # the writer is stuck, and is not waited for
        thread.start()
        log.close(60)
        pipe.close()
        thread.join(60)
    lines = [json.loads(line) for line in collected]
    dropped = sum(line["lines"] for line in lines if line["event"] == "log lines dropped")
    assert len([line for line in lines if line["event"].startswith("x")]) + dropped == 300


def test_a_stream_that_is_gone_stops_nobody() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb", buffering=0) as pipe:
        log = JsonLog("info", pipe)
        log("info", "to nobody")
        log.close()


def test_errors_are_logged_without_what_they_say() -> None:
    def fail() -> None:
        raise ValueError("token id 4711")

    try:
        fail()
    except ValueError as error:
        fields = error_fields(error)
    assert fields["error"] == "ValueError"
    assert fields["where"][-1].endswith(" fail")
    assert "4711" not in json.dumps(fields)


def test_warnings_of_libraries_become_lines() -> None:
    stream = io.BytesIO()
    log = JsonLog("info", stream)
    logger = logging.Logger("library")
    logger.addHandler(LogHandler(log))
    logger.info("quiet")
    logger.warning("loud %s", "4711")
    try:
        raise KeyError("4711")
    except KeyError:
        logger.exception("failed")
    log.close()
    loud, failed = _lines(stream)
    assert (loud["level"], loud["message"]) == ("warning", "loud %s")
    assert (failed["level"], failed["error"]) == ("error", "KeyError")
    assert b"4711" not in stream.getvalue()
