from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from dimec.base.errors import ConfigError, DataError, typed_options
from dimec.data import sources
from dimec.data.sources import decode, kind_of, read_bytes, read_text, shown_names

TEXT = "text,label\nça va – 100 €,1\n"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.csv", "csv"),
        ("dir.json/A.CSV.GZ", "csv"),
        ("a.tsv.gz", "tsv"),
        ("a.json", "json"),
        ("a.json.gz", "json"),
        ("a.jsonl", "jsonl"),
        ("a.ndjson.gz", "jsonl"),
        ("a.parquet", "parquet"),
        ("a.parquet.gz", None),
        ("a.txt", None),
        ("csv", None),
        ("a.gz", None),
    ],
)
def test_kinds_by_ending(name: str, kind: str | None) -> None:
    assert kind_of(name) == kind_of(Path(name)) == kind


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_settles_the_encoding(encoding: str) -> None:
    assert decode(TEXT.encode(encoding), "a.csv") == TEXT


@pytest.mark.parametrize(
    ("encoding", "given"),
    [
        ("utf-16-be", "UTF-16BE"),
        ("windows-1252", "windows-1252"),
        ("utf-16", "utf-16-le"),
        ("utf-8-sig", "utf-8"),
        ("utf-8", "utf_8"),
    ],
)
def test_an_encoding_that_is_given(encoding: str, given: str) -> None:
    assert decode(TEXT.encode(encoding), "a.csv", given) == TEXT


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (
            TEXT.encode("windows-1252"),
            None,
            "a.csv, line 2: expected UTF-8, got the byte 0xe7; if it is Windows-1252 .* with "
            "--encoding windows-1252, else convert",
        ),
        (TEXT.encode("utf-16-le"), None, "looks like UTF-16 .* with --encoding utf-16-le"),
        (TEXT.encode("utf-16-be"), None, "looks like UTF-16 .* with --encoding utf-16-be"),
        (TEXT.encode("utf-16")[:-1], None, "line 2: expected utf-16, got .* --encoding"),
        (TEXT.encode("utf-8-sig"), "latin-1", "the mark of UTF-8, but --encoding is latin-1"),
        (TEXT.encode(), "ascii", "line 2: expected ascii, got the byte 0xc3; name another one"),
        (TEXT.encode(), "undefined", "a.csv is not in undefined; name another one with --encoding"),
    ],
)
def test_what_is_not_certain_is_refused_with_the_option(
    content: bytes, encoding: str | None, message: str
) -> None:
    typed = typed_options({"encoding": "--encoding"})
    with typed, pytest.raises(DataError, match=message) as caught:
        decode(content, "a.csv", encoding)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("encoding", ["", "none", "hex", "rot13", "zip", "\0", "x" * 999])
def test_no_such_encoding(encoding: str) -> None:
    with pytest.raises(ConfigError, match=r"unknown encoding .*expected utf-8, utf-16") as caught:
        decode(b"", "a.csv", encoding)
    assert len(str(caught.value)) < 300


def test_pipes_devices_and_folders_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")  # nobody writes to it
    for path in (tmp_path / "pipe.csv", Path("/dev/zero")):
        with pytest.raises(DataError, match="is no regular file but a pipe or a device"):
            read_text(path)
    with pytest.raises(DataError, match=r"cannot read .*: Is a directory"):
        read_text(tmp_path)
    with pytest.raises(DataError, match=r"cannot read .*: File name too long"):
        read_text(tmp_path / ("x" * 999))


def test_a_compressed_file_expands_up_to_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.csv.gz"
    monkeypatch.setattr(sources, "LARGEST_EXPANDED", 3 * 2**20)
    path.write_bytes(gzip.compress(bytes(3 * 2**20)))
    assert len(read_bytes(path)) == 3 * 2**20
    # 64 members of 16 MiB: a gibibyte, of which no more than the bound is ever held.
    path.write_bytes(gzip.compress(bytes(2**24)) * 64)
    with pytest.raises(DataError, match="expands to more than 3,145,728 bytes, the most that"):
        read_bytes(path)


def test_names_are_shown_in_short() -> None:
    assert shown_names(("a", "b")) == "'a', 'b'"
    assert shown_names(tuple("abcdefg"), quotes=False) == "a, b, c, d, e and 2 more"
