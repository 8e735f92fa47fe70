"""A file that is kept: at the start, in between, at the end, and where it cannot be written."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from dimec.base.errors import StorageError
from dimec.mobile.metrics_file import MetricsFile
from support.tiers import full_disk


class Content:
    """A number, one more each time; ``refused`` says whether it is refused instead."""

    def __init__(self) -> None:
        self.asked = 0
        self.refused = False
        self.news = threading.Condition()

    def __call__(self) -> str:
        with self.news:
            self.asked += 1
            self.news.notify_all()
        if self.refused:
            raise StorageError("no room")
        return f"{self.asked}\n"

    def wait(self, until: Callable[[], bool]) -> None:
        with self.news:
            assert self.news.wait_for(until, timeout=60)


def test_at_the_start_and_at_the_end(tmp_path: Path) -> None:
    path, content = tmp_path / "deep" / "dimec.prom", Content()
    with MetricsFile(path, content):
        assert path.read_text() == "1\n"
    assert path.read_text() == "2\n"
    assert list(path.parent.iterdir()) == [path]


def test_in_between(tmp_path: Path) -> None:
    path, content = tmp_path / "dimec.prom", Content()
    with MetricsFile(path, content, seconds=0.001):
        content.wait(lambda: content.asked > 3)
        assert int(path.read_text()) > 1


def test_after_an_error_which_is_the_one_that_is_told(tmp_path: Path) -> None:
    path, content = tmp_path / "dimec.prom", Content()
    with pytest.raises(KeyError), MetricsFile(path, content):
        raise KeyError
    assert path.read_text() == "2\n"

    def refuse() -> None:
        content.refused = True
        raise KeyError

    with pytest.raises(KeyError), MetricsFile(path, content):
        refuse()
    assert path.read_text() == "3\n"


def test_a_passing_refusal_is_said_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, content = tmp_path / "dimec.prom", Content()
    with caplog.at_level(logging.WARNING), MetricsFile(path, content, seconds=0.001):
        content.refused = True
        start = content.asked
        content.wait(lambda: content.asked > start + 4)
        content.refused = False
    assert caplog.messages == ["metrics are not written for now: no room"]
    assert int(path.read_text()) > start


def test_a_full_disk_is_no_reason_to_stop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = MetricsFile(tmp_path / "dimec.prom", Content())
    with full_disk(0), caplog.at_level(logging.WARNING), file:
        pass
    assert len(caplog.messages) == 1
    assert "no room to write" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_one_that_cannot_be_written_is_refused_at_the_start_and_told_at_the_end(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError), MetricsFile(tmp_path / "file" / "dimec.prom", Content()):
        raise AssertionError
    content = Content()
    with pytest.raises(StorageError), MetricsFile(tmp_path / "dimec.prom", content):
        content.refused = True
