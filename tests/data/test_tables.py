from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dimec.base.errors import DataError
from dimec.data.tables import ABSENT, read_csv, read_jsonl, read_table, read_text, read_tsv

CELL = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
PLAIN_CELL = CELL.filter(lambda cell: not set(cell) & set("\t\r\n"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=st.lists(st.tuples(CELL, CELL), max_size=5))
def test_csv_reads_back_what_the_csv_module_writes(
    tmp_path: Path, rows: list[tuple[str, str]]
) -> None:
    stream = io.StringIO(newline="")
    csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([("text", "label"), *rows])
    path = tmp_path / "rows.csv"
    path.write_bytes(stream.getvalue().encode())
    table = read_csv(path)
    assert table.columns == ("text", "label")
    assert [cells for _, cells in table.rows] == rows


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=st.lists(st.tuples(PLAIN_CELL, PLAIN_CELL).filter(any), max_size=5))
def test_tsv_takes_every_character_but_tab_and_newline_as_it_is(
    tmp_path: Path, rows: list[tuple[str, str]]
) -> None:
    path = tmp_path / "rows.tsv"
    path.write_bytes("".join(f"{a}\t{b}\n" for a, b in [("text", "label"), *rows]).encode())
    assert [cells for _, cells in read_tsv(path).rows] == rows


def test_tsv_may_lack_a_header_and_end_with_empty_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text("a\t1\n\t\nb\t0\n\t\n\t\n")
    table = read_table(path, "tsv", header=False)
    assert table.columns == ("column-1", "column-2")
    assert table.rows == [(1, ("a", "1")), (2, ("", "")), (3, ("b", "0"))]


def test_lines_end_at_newlines_only_and_empty_ones_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_bytes("\ufefftext\tlabel\r\n\r\na\u2028b\x0bc\t1\r\n\n\t0".encode())
    table = read_tsv(path)
    assert table.columns == ("text", "label")
    assert table.rows == [(3, ("a\u2028b\x0bc", "1")), (5, ("", "0"))]


def test_csv_rows_are_numbered_by_the_line_they_start_on(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('text,label\n"two\nlines",1\n\nlast,0\n')
    assert read_csv(path).rows == [(2, ("two\nlines", "1")), (5, ("last", "0"))]


def test_csv_fields_may_be_long_and_the_limit_is_put_back(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    path = tmp_path / "rows.csv"
    path.write_text("text,label\n" + "x" * 300_000 + ",1\n")
    assert len(read_csv(path).rows[0][1][0]) == 300_000
    assert csv.field_size_limit() == before


def test_json_lines_have_the_columns_of_all_objects(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a\u2028", "label": 1}\n\n{"label": null, "extra": []}\n', "utf-8")
    table = read_jsonl(path)
    assert table.columns == ("text", "label", "extra")
    assert table.rows == [(1, ("a\u2028", 1, ABSENT)), (3, (ABSENT, None, []))]


@pytest.mark.parametrize("kind", ["json", "jsonl"])
def test_json_is_read_as_what_it_is(tmp_path: Path, kind: str) -> None:
    lines, array = tmp_path / "lines.json", tmp_path / "array.jsonl"
    lines.write_text('{"text": "a"}\n\n{"label": 1}\n')
    array.write_text('\n [{"text": "a"},\n {"label": 1}]\n')
    assert read_table(lines, kind).rows == [(1, ("a", ABSENT)), (3, (ABSENT, 1))]
    table = read_table(array, kind)
    assert (table.unit, table.columns) == ("row", ("text", "label"))
    assert table.rows == [(1, ("a", ABSENT)), (2, (ABSENT, 1))]


def test_the_kind_that_a_name_tells_is_proposed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\na,1\n")
    for kind in ("json", "jsonl", "parquet"):
        with pytest.raises(DataError, match="read it as csv:FILE"):
            read_table(path, kind)


def test_what_excel_writes_is_read(tmp_path: Path) -> None:
    rows = [("1", "so; long", "pos"), ("2", "two\r\nlines", "neg")]
    for encoding, delimiter in (("utf-16", "\t"), ("utf-8-sig", ";"), ("windows-1252", ",")):
        stream = io.StringIO(newline="")
        csv.writer(stream, delimiter=delimiter).writerows([("id", "täxt", "label"), *rows])
        path = tmp_path / f"{encoding}.csv"
        path.write_bytes(stream.getvalue().encode(encoding))
        table = read_table(path, "csv", encoding="cp1252" if encoding == "windows-1252" else None)
        assert table.columns == ("id", "täxt", "label")
        assert [cells for _, cells in table.rows] == rows
        assert [number for number, _ in table.rows] == [2, 3]


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_compressed_files_read_the_same(tmp_path: Path, kind: str) -> None:
    content = {"csv": "text,label\na,1\n", "tsv": "text\tlabel\na\t1\n"}.get(
        kind, '{"text": "a", "label": "1"}\n'
    )
    plain, compressed = tmp_path / f"rows.{kind}", tmp_path / f"rows.{kind}.gz"
    plain.write_text(content)
    compressed.write_bytes(gzip.compress(content.encode()))
    assert read_table(compressed, kind).rows == read_table(plain, kind).rows


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", b"", "a.tsv is empty; expected a header line"),
        ("a.tsv", b"x\ty\n1\t2\n1\t2\t3\n", "a.tsv, line 3: expected 2 .*x, y.*, got 3; correct"),
        ("a.tsv", b"x\ty\n1\n", "line 2: expected 2 .*, got 1"),
        ("a.tsv", b"x\tx\n", "two columns are called 'x'"),
        ("a.tsv", b"x\ty\na\t1\n\xe9t\xe9\t1\n", "line 3: expected UTF-8, got the byte 0xe9"),
        ("a.csv", b"x,y\n1,2,3\n", "a.csv, line 2: expected 2 .*, got 3"),
        ("a.csv", b'x,y\na,1\n"open,1\nb,0\n', "a.csv, line 3: not valid CSV .*end of data"),
        ("a.csv", b'x,y\n"a"b,1\n', "line 2: not valid CSV"),
        ("a.jsonl", b'{"x": 1}\n{"x": \n', "a.jsonl, line 2: not valid JSON"),
        ("a.jsonl", b'{"x": 1}\n\n[1]\n', "line 3: expected a JSON object, got list"),
        ("a.jsonl", b"[" * 100_000, "line 1: not valid JSON"),
        ("a.tsv.gz", b"x\ty\n", "a.tsv.gz is not a whole gzip file"),
        ("a.tsv.gz", gzip.compress(b"x\ty\n" * 99, mtime=0)[:-9], "not a whole gzip file"),
        (
            "a.csv",
            b'[{"text": "a"}]',
            "a.csv holds JSON; read it as json:FILE .or jsonl:., not as csv",
        ),
        ("a.tsv", b'{"text": "a"}', "holds JSON; .* not as tsv"),
        ("a.csv", b"PAR1 and no more", "a.csv is a Parquet file; read it as parquet:FILE"),
        (
            "a.csv",
            b"PK\x03\x04",
            "a zip archive, as Excel's workbooks are; save or unpack it as CSV",
        ),
        ("a.jsonl", gzip.compress(b"{}", mtime=0), "compressed with gzip; let its name end in .gz"),
        ("a.json", b'[{"x": 1},\n{"x": ]', "a.json, line 2: not valid JSON"),
        ("a.json", b'[{"x": 1}, 3]', "a.json, row 2: expected a JSON object, got int"),
        (
            "a.json",
            b'{"data":\n[]}',
            "line 1: not valid JSON .* one array of objects, or one object",
        ),
        ("a.json", b"[" * 100_000, "line 1: not valid JSON"),
        ("a.parquet", b"text,label", "a.parquet is no Parquet file; check its kind"),
        ("a.parquet", b"PAR1 and no more", "a.parquet is not a whole Parquet file"),
    ],
)
def test_files_that_cannot_be_parsed(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    kind = name.removesuffix(".gz").rpartition(".")[2]
    with pytest.raises(DataError, match=message) as caught:
        read_table(path, kind)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv does not exist"):
        read_text(tmp_path / "none.csv")
    with pytest.raises(DataError, match=r"cannot read .*: Is a directory"):
        read_text(tmp_path)
