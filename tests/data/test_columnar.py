"""What is read at once is what is read row by row, or nothing at all."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dimec.base.errors import DataError
from dimec.data.columnar import Choice, Columns, read_columns
from dimec.data.tables import read_table
from support.tiny import environment

KEPT = Choice(texts=("text",), values=("label",))
QUIETLY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

cells = st.text(st.sampled_from('ab ",;\t\r\n\0é\u2028\ufeff'), max_size=6)
well_formed = st.lists(
    st.tuples(cells, st.sampled_from(["good", "bad", "né", "1"])), min_size=1, max_size=8
)


def choose(names: tuple[str, ...]) -> Choice | None:
    return KEPT if {"text", "label"} <= set(names) else None


def rows_of(columns: Columns) -> list[tuple[Any, Any]]:
    values, codes = columns.values["label"]
    labels = [values[code] for code in codes.tolist()]
    return list(zip(columns.texts["text"], labels, strict=True))


def row_by_row(path: Path, kind: str, **options: Any) -> list[tuple[Any, Any]]:
    table = read_table(path, kind, **options)
    places = [table.columns.index(name) for name in ("text", "label")]
    return [(row[places[0]], row[places[1]]) for _, row in table.rows]


def written(path: Path, rows: Any, **options: Any) -> Path:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, **options)
    writer.writerow(["id", "text", "label"])
    writer.writerows((place, text, label) for place, (text, label) in enumerate(rows))
    path.write_bytes(stream.getvalue().encode())
    return path


@QUIETLY
@given(rows=well_formed, ends=st.sampled_from(["\n", "\r\n"]), sign=st.sampled_from(",;\t|"))
def test_delimited_text_gives_the_same_rows(
    tmp_path: Path, rows: list[tuple[str, str]], ends: str, sign: str
) -> None:
    path = written(tmp_path / "a.csv", rows, lineterminator=ends, delimiter=sign)
    columns = read_columns(path, "csv", choose)
    odd = any("\0" in text or "\r" in text for text, _ in rows)
    assert columns is not None or odd
    if columns is not None:
        assert columns.names == ("id", "text", "label")
        assert rows_of(columns) == row_by_row(path, "csv") == rows


@QUIETLY
@given(content=st.text(st.sampled_from('ab",\r\n\0é\ufeff'), max_size=40), head=st.booleans())
def test_whatever_it_reads_is_what_the_careful_reader_reads(
    tmp_path: Path, content: str, head: bool
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes((("text,label\n" if head else "") + content).encode())
    kept = Choice(("column-1",), ("column-2",))
    for header in (True, False):
        columns = read_columns(path, "csv", choose if header else lambda _: kept, header=header)
        if columns is None:
            continue
        table = read_table(path, "csv", header=header)
        assert table.columns == columns.names
        texts, (values, codes) = columns.texts.values(), next(iter(columns.values.values()))
        found = zip(*texts, [values[code] for code in codes.tolist()], strict=True)
        places = [table.columns.index(name) for name in (*columns.texts, *columns.values)]
        assert list(found) == [tuple(row[place] for place in places) for _, row in table.rows]


@QUIETLY
@given(content=st.text(st.sampled_from('ab"\t\r\né'), max_size=30))
def test_tabs_have_no_quoting(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(f"text\tlabel\n{content}".encode())
    if (columns := read_columns(path, "tsv", choose)) is not None:
        assert rows_of(columns) == row_by_row(path, "tsv")


VALUES = st.one_of(st.text(max_size=3), st.integers(0, 2), st.booleans(), st.sampled_from([1.0]))


@QUIETLY
@given(
    rows=st.lists(st.fixed_dictionaries({"text": st.text(max_size=5), "label": VALUES})),
    ascii_only=st.booleans(),
)
def test_json_lines_give_the_same_rows(
    tmp_path: Path, rows: list[dict[str, Any]], ascii_only: bool
) -> None:
    path = tmp_path / "a.jsonl"
    lines = [json.dumps(row, ensure_ascii=ascii_only) for row in rows]
    path.write_bytes("\n".join(lines).encode())
    columns = read_columns(path, "jsonl", choose)
    assert (columns is None) == (not rows)
    if columns is not None:
        found = rows_of(columns)
        assert found == row_by_row(path, "jsonl")
        assert [type(value) for _, value in found] == [type(row["label"]) for row in rows]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_parquet_gives_the_same_rows(tmp_path: Path, kind: pa.DataType) -> None:
    texts = pa.array([f"é {row}" for row in range(40_000)], kind)
    labels = pa.array([row % 3 == 0 for row in range(40_000)])
    table = pa.table({"n": pa.array(range(40_000)), "text": texts, "label": labels})
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, row_group_size=7000)
    columns = read_columns(path, "parquet", choose)
    assert columns is not None
    assert rows_of(columns) == row_by_row(path, "parquet")
    assert columns.values["label"][0] == [True, False]


def test_class_names_beside_numbers_stand_for_them(tmp_path: Path) -> None:
    table = pa.table({"text": ["a", "b", "c"], "label": [1, -1, 0]})
    features = {"info": {"features": {"label": {"names": ["no", "yes"]}}}}
    path = tmp_path / "a.parquet"
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(features)}), path)
    columns = read_columns(path, "parquet", choose)
    assert columns is not None
    assert (
        rows_of(columns) == row_by_row(path, "parquet") == [("a", "yes"), ("b", None), ("c", "no")]
    )


def test_parquet_is_read_without_threads_that_could_outlive_the_interpreter(tmp_path: Path) -> None:
    """One abort in some hundred processes cannot be counted on; the threads behind it can."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a", "b"], "label": ["x", "y"]}), path)
    code = (
        "import sys; from pathlib import Path; import psutil, pyarrow.parquet\n"
        "from dimec.data.columnar import Choice, read_columns\n"
        "from dimec.data.tables import read_table\n"
        "def threads(): return psutil.Process().num_threads()\n"
        "path, before = Path(sys.argv[1]), threads()\n"
        "assert len(read_table(path, 'parquet').rows) == 2\n"
        "assert threads() == before, 'row by row'\n"
        "assert read_columns(path, 'parquet', lambda _: Choice(('text',), ('label',)))\n"
        "assert threads() == before, 'by columns'\n"
    )
    line = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment())
    assert (done.returncode, done.stderr) == (0, "")


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"text,label\na,good,more\n"),
        ("a.csv", b"text,label\na,good\n,\n"),
        ("a.csv", b'text,label\n5" disk,good\n'),
        ("a.csv", b'text,label\n"open,good\n'),
        ("a.csv", b"text,label\n\xe9,good\n"),
        ("a.csv", b"text,label\na\rb,good\n"),
        ("a.csv", b"\n\ntext,label\na,good\n"),
        ("a.csv", b"text,label,\na,good,\n"),
        ("a.csv", b"text\nlabel\n"),
        ("a.csv", b""),
        ("a.csv", "text,label\na,good\n".encode("utf-16")),
        ("a.csv", b"text;la,bel\na;b,c\n"),
        ("a.csv", b"text,other\na,b\n"),
        ("a.csv", b"text,label\n" + b"a" * (1 << 21) + b",good\n"),
        ("a.csv.gz", b""),
        ("a.jsonl", b'{"text": "a", "label": 1}\n{"label": 2, "text": "b", "sentence": ""}\n'),
        ("a.jsonl", b'{"text": 3, "label": 1}\n'),
        ("a.jsonl", b'{"text": "a", "label": [1]}\n'),
        ("a.jsonl", b'{"text": "\\ud800", "label": 1}\n'),
        ("a.jsonl", b'[{"text": "a", "label": 1}]'),
        ("a.jsonl", b"not json"),
        ("a.jsonl", b"[" * 100_000),
        ("a.parquet", b"PAR1 and no more"),
        ("missing.parquet", b""),
    ],
)
def test_what_is_out_of_the_ordinary_is_left_to_the_careful_reader(
    tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / name
    if not name.startswith("missing"):
        path.write_bytes(content)
    kind = Path(name.removesuffix(".gz")).suffix[1:]
    assert read_columns(path, kind, choose) is None


def test_a_folder_and_other_kinds_are_not_for_it(tmp_path: Path) -> None:
    assert read_columns(tmp_path, "csv", choose) is None
    path = _write(tmp_path / "a.json", b'[{"text": "a", "label": 1}]')
    assert read_columns(path, "json", choose) is None


def test_quotes_and_returns_at_the_edge_of_a_block_are_seen(tmp_path: Path) -> None:
    for shift in range(-3, 4):
        fill = "x" * ((1 << 20) - len("text,label\n") - len(",good\n") + shift)
        for tail in ('"a ""b""",good\n', 'a "b",good\n', '"a\nb",good\r\n', "a\r\n", 'a,"good"\n'):
            path = _write(tmp_path / "a.csv", f"text,label\n{fill},good\n{tail}b,bad\n".encode())
            columns = read_columns(path, "csv", choose)
            try:
                expected = row_by_row(path, "csv")
            except DataError:
                assert columns is None
            else:
                assert (columns is None) == (tail.startswith("a "))
                assert columns is None or rows_of(columns) == expected


def test_the_encoding_and_the_delimiter_that_are_given(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.csv", b"text;label\na,b;good\n")
    columns = read_columns(path, "csv", choose, delimiter="semicolon", encoding="utf-8")
    assert columns is not None
    assert rows_of(columns) == [("a,b", "good")]
    assert read_columns(path, "csv", choose, delimiter=";", encoding="latin-1") is None
    marked = _write(tmp_path / "b.csv", b"\xef\xbb\xbfsep=;\r\ntext;label\r\na,b;good\r\n")
    columns = read_columns(marked, "csv", choose)
    assert columns is not None
    assert rows_of(columns) == [("a,b", "good")]
