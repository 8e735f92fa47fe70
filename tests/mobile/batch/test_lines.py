"""Texts from files and pipes, and what is wrong with a line of them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dimec.base.errors import DataError
from dimec.mobile.batch.lines import Line, read_lines
from dimec.mobile.core import Text


def accept(text: Text, id_: str | None) -> None:
    if "unacceptable" in text:
        raise DataError("not this one")


def read(path: Path, content: bytes, *, pairs: bool = False, jsonl: bool = False) -> list[Line]:
    path.write_bytes(content)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        lines = read_lines(descriptor, "in.txt", pairs=pairs, check=accept, jsonl=jsonl)
        return [line for line in lines if line is not None]
    finally:
        os.close(descriptor)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "in.txt"


class TestPlainText:
    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (b"", []),
            (b"\n", [""]),
            (b"one", ["one"]),
            (b"one\ntwo\n", ["one", "two"]),
            (b"\n\none\n\n", ["", "", "one", ""]),
            (b"one\r\ntwo\r\n", ["one", "two"]),
            (b"\xef\xbb\xbfone\n", ["one"]),
            ("Größe\u2028☃\x0b\n".encode(), ["Größe\u2028☃\x0b"]),
            (b"a\tb\n", ["a\tb"]),
            (b"a\0b\n", ["a\0b"]),
            (b'{"no": "text"}\n', ['{"no": "text"}']),
            (b"{\nx\n", ["{", "x"]),
            (b"plain\n" + b'{"text": "x"}\n', ["plain", '{"text": "x"}']),
        ],
    )
    def test_is_a_text_a_line(self, path: Path, content: bytes, expected: list[str]) -> None:
        lines = read(path, content)
        assert [line.text for line in lines] == expected
        assert [line.number for line in lines] == list(range(1, len(expected) + 1))
        assert all(line.id is None for line in lines)

    def test_lines_may_be_long(self, path: Path) -> None:
        long = "x" * 1_000_000
        assert [line.text for line in read(path, f"{long}\nshort\n{long}".encode())] == [
            long,
            "short",
            long,
        ]

    def test_a_line_has_a_bound(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("dimec.mobile.batch.lines.LONGEST_LINE", 100_000)
        fits = b"x" * 100_000
        assert [len(line.text) for line in read(path, fits + b"\n" + fits)] == [100_000] * 2
        for end in (b"", b"\n", b"\nmore\n"):
            with pytest.raises(DataError, match=r"in\.txt, line 2: longer than 100,000 bytes"):
                read(path, b"short\n" + fits + b"x" + end)

    def test_a_long_line_is_joined_once(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        taken: list[int] = []
        whole = os.read

        def little(descriptor: int, size: int) -> bytes:
            taken.append(size)
            return whole(descriptor, 100)

        monkeypatch.setattr("dimec.mobile.batch.lines.os.read", little)
        line = bytes(range(97, 123)) * 50_000
        assert [line.text for line in read(path, line)] == [line.decode()]
        assert len(taken) == 13_001

    def test_an_endless_device_is_refused(self) -> None:
        descriptor = os.open("/dev/zero", os.O_RDONLY)
        try:
            with pytest.raises(DataError, match="/dev/zero, line 1: longer than 16,777,216 bytes"):
                list(read_lines(descriptor, "/dev/zero", pairs=False, check=accept))
        finally:
            os.close(descriptor)

    def test_pairs_have_a_tab_between(self, path: Path) -> None:
        assert [line.text for line in read(path, b"a\tb\n\t\n", pairs=True)] == [
            ("a", "b"),
            ("", ""),
        ]

    @pytest.mark.parametrize(
        ("content", "pairs", "message"),
        [
            (b"fine\nb\xff\n", False, "in.txt, line 2: expected UTF-8, got the byte 0xff"),
            (b"fine\n\n\xc3", False, "in.txt, line 3: expected UTF-8, got the byte 0xc3"),
            (b"\x1f\x8b\x08\x00text\n", False, "in.txt, line 1: .* compressed by gzip: decompress"),
            (b"a\tb\nalone\n", True, "in.txt, line 2: expected two texts .* tab .*, got 1"),
            (b"a\tb\tc\n", True, "in.txt, line 1: .* got 3"),
            (b"fine\nunacceptable\n", False, "in.txt, line 2: not this one"),
        ],
    )
    def test_what_is_wrong_names_its_line(
        self, path: Path, content: bytes, pairs: bool, message: str
    ) -> None:
        with pytest.raises(DataError, match=message):
            read(path, content, pairs=pairs)


class TestJsonLines:
    def test_have_a_text_and_perhaps_an_id(self, path: Path) -> None:
        content = b'{"text": "one", "id": "a", "more": 1}\n\n{"text": "", "id": 7}\n{"text": "x"}\n'
        assert read(path, content) == [Line(1, "one", "a"), Line(3, "", "7"), Line(4, "x", None)]
        assert read(path, b"\n \n" + content)[0] == Line(3, "one", "a")

    def test_have_a_pair_where_the_model_takes_pairs(self, path: Path) -> None:
        lines = read(path, b'{"text": "a", "pair": "b", "id": "x"}\n', pairs=True)
        assert lines == [Line(1, ("a", "b"), "x")]

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("{", "not valid JSON .* write one JSON object a line"),
            ("[" * 5000, "not valid JSON"),
            ("[1]", 'expected an object like {"text": "..."}'),
            ("7", "expected an object"),
            ('{"sentence": "x"}', "expected an object"),
            ('{"text": 7}', "expected an object"),
            ('{"text": null}', "expected an object"),
            (
                '{"text": "x", "id": 1.5}',
                "expected an id that is a text or a whole number, got 1.5",
            ),
            ('{"text": "x", "id": true}', "expected an id"),
            ('{"text": "x", "pair": "y"}', "a second text, which this model does not take"),
            ('{"text": "unacceptable"}', "not this one"),
        ],
    )
    def test_what_is_wrong_names_its_line(self, path: Path, line: str, message: str) -> None:
        with pytest.raises(DataError, match=f"^in.txt, line 2: .*{message}"):
            read(path, f'{{"text": "fine"}}\n{line}\n'.encode())

    @pytest.mark.parametrize("line", ['{"text": "x"}', '{"text": "x", "pair": 3}'])
    def test_a_pair_needs_a_second_text(self, path: Path, line: str) -> None:
        with pytest.raises(DataError, match=r'line 1: expected an object like .*"pair"'):
            read(path, line.encode(), pairs=True)

    def test_a_file_that_must_be_json_is_never_taken_for_plain_text(self, path: Path) -> None:
        with pytest.raises(DataError, match=r"in\.txt, line 1: not valid JSON"):
            read(path, b"plain\n", jsonl=True)

    def test_an_id_names_one_input(self, path: Path) -> None:
        content = b'{"text": "a", "id": "7"}\n{"text": "b", "id": "x"}\n{"text": "c", "id": 7}\n'
        with pytest.raises(DataError, match=r"in\.txt, lines 1 and 3: both have the id '7'"):
            read(path, content)


def test_a_lull_of_a_pipe_is_told() -> None:
    reader, writer = os.pipe()
    go_on = threading.Event()

    def write() -> None:
        os.write(writer, b"one\ntw")
        go_on.wait(10)
        os.write(writer, b"o\nthree")
        os.close(writer)

    thread = threading.Thread(target=write)
    thread.start()
    lines: Iterator[Line | None] = read_lines(reader, "pipe", pairs=False, check=accept)
    seen: list[str] = []
    for line in lines:
        if line is None:
            go_on.set()
        else:
            seen.append(str(line.text))
            assert go_on.is_set() == (len(seen) > 1)
    thread.join()
    os.close(reader)
    assert seen == ["one", "two", "three"]
