"""Which files are meant, the parts that they are read in, and what stands in them."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from dimec.base.errors import ConfigError, DataError
from dimec.scoring import reading
from dimec.scoring.layout import Layout, written_names
from dimec.scoring.reading import Chunk, read_chunks
from dimec.scoring.shards import find_shards
from dimec.scoring.survey import survey
from support.scoring import some_texts, write_texts

PLAIN = Layout()


def outputs(given: list[str], out: Path, layout: Layout = PLAIN) -> list[str]:
    return [shard.output for shard in find_shards(given, layout, out)]


class TestFound:
    def test_files_folders_and_patterns(self, tmp_path: Path) -> None:
        folder = write_texts(tmp_path / "in", 3)
        (folder / ".hidden.txt").write_text("no\n")
        (folder / "notes.md").write_text("no\n")
        out = folder / "out"
        out.mkdir()
        (out / "a.parquet").write_bytes((folder / "a.parquet").read_bytes())
        every = ["a.parquet", "c.jsonl", "deep/b.jsonl"]
        assert outputs([str(folder)], out) == every  # and not what was written there before
        assert outputs([f"{folder}/**/*.[pjt]*"], out) == every
        assert outputs([f"{folder}/notes.md"], out) == ["notes.jsonl"]
        assert outputs([str(folder)], out, Layout(write="jsonl"))[0] == "a.jsonl"

    def test_one_name_for_two_files_is_refused(self, tmp_path: Path) -> None:
        for name in ("a.txt", "a.jsonl.gz"):
            (tmp_path / name).write_text("")
        with pytest.raises(ConfigError, match=r"a\.jsonl\.gz and .*a\.txt would both be"):
            outputs([str(tmp_path)], tmp_path / "out")

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("gone.txt", "does not exist"),
            ("*.jsonl", "no file matches"),
            ("empty", "no file that ends in"),
            ("table.csv", "csv is not read here"),
        ],
    )
    def test_what_is_none(self, tmp_path: Path, name: str, message: str) -> None:
        (tmp_path / "empty").mkdir()
        (tmp_path / "table.csv").write_text("text\nx\n")
        with pytest.raises(DataError, match=message):
            outputs([str(tmp_path / name)], tmp_path / "out")

    def test_options_that_do_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("x\n")
        (tmp_path / "b.jsonl").write_text("")
        with pytest.raises(ConfigError, match="keep does nothing"):
            outputs([str(tmp_path / "a.txt")], tmp_path / "o", Layout(keep=("x",)))
        layout = Layout(keep=("all",), write="parquet")
        with pytest.raises(ConfigError, match="no fixed columns"):
            outputs([str(tmp_path / "b.jsonl")], tmp_path / "o", layout)
        with pytest.raises(ConfigError, match="expected parquet or jsonl"):
            Layout(write="csv")  # type: ignore[arg-type]


def chunks_of(
    path: Path, rows: int, layout: Layout = PLAIN, pairs: bool = False
) -> Iterator[Chunk]:
    (shard,) = find_shards([str(path)], layout, path.parent / "out")
    for piece in survey(shard, rows).pieces:
        yield from read_chunks(shard, piece, layout, pairs)


class TestRead:
    @pytest.mark.parametrize("rows", [1, 7, 100, 333, 334, 1000])
    @pytest.mark.parametrize("name", ["a.parquet", "deep/b.jsonl", "c.txt"])
    def test_parts_have_every_row_once(
        self, tmp_path: Path, name: str, rows: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reading, "CHUNK", 50)
        size = 334
        found = list(chunks_of(write_texts(tmp_path / "in", size) / name, rows))
        assert tuple(text for chunk in found for text in chunk.texts) == some_texts(size)
        assert [row for chunk in found for row in chunk.rows] == list(range(1, size + 1))
        assert sum(chunk.read for chunk in found) == size

    def test_lines_of_all_kinds(self, tmp_path: Path) -> None:
        path = tmp_path / "a.txt.gz"
        path.write_bytes(gzip.compress("\ufeffone\r\n\nthree\x85four".encode()))
        (chunk,) = chunks_of(path, 1)
        assert chunk.texts == ["one", "", "three\x85four"]

    def test_empty_lines_of_json_count_and_are_none(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        path.write_text('\n{"text": "x", "b": 1}\n\n{"sentence": "y", "a": 2}\n')
        (chunk,) = chunks_of(path, 100, Layout(keep=("all",)))
        assert (chunk.rows, chunk.texts) == ([2, 4], ["x", "y"])
        assert chunk.kept == {"b": [1, None], "a": [None, 2]}

    @pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.jsonl.gz"])
    def test_an_empty_file_has_one_part_of_nothing(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_bytes(gzip.compress(b"") if name.endswith("gz") else b"")
        assert [chunk.texts for chunk in chunks_of(tmp_path / name, 10)] == [[]]

    def test_pairs(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("one\ttwo\n")
        (tmp_path / "b.jsonl").write_text('{"text": "one", "pair": "two"}\n')
        for name in ("a.txt", "b.jsonl"):
            assert next(chunks_of(tmp_path / name, 9, pairs=True)).texts == [("one", "two")]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b'{"text": "x"}\n{"text": 1}\n', "line 2: expected a text, got 1"),
            (b'{"text": "x"}\n[]\n', "line 2: expected an object"),
            (b'{"text": "x"\n', "line 1: not valid JSON"),
            (b'{"words": "x"}\n', "line 1: expected a column 'text' or .* there are 'words'"),
            (b'{"text": "\\ud800"}\n', "half a surrogate pair"),
            (b'{"text": "\xff"}\n', "expected UTF-8, got the byte 0xff"),
        ],
    )
    def test_what_is_wrong_is_told_with_its_line(
        self, tmp_path: Path, content: bytes, message: str
    ) -> None:
        (tmp_path / "a.jsonl").write_bytes(content)
        with pytest.raises(DataError, match=message):
            list(chunks_of(tmp_path / "a.jsonl", 10))

    def test_parquet_that_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "a.parquet").write_bytes(b"PAR1 and then nothing")
        with pytest.raises(DataError, match="not a whole Parquet file"):
            list(chunks_of(tmp_path / "a.parquet", 10))

    def test_parquet_without_what_is_to_be_kept(self, tmp_path: Path) -> None:
        path = write_texts(tmp_path / "in", 3) / "a.parquet"
        with pytest.raises(DataError, match="expected a column 'date' to keep"):
            list(chunks_of(path, 10, Layout(keep=("date",))))
        with pytest.raises(DataError, match="expected a column 'body' of texts"):
            list(chunks_of(path, 10, Layout(text_column="body")))


def test_kept_columns_make_way_for_those_of_the_answers() -> None:
    assert written_names(["id", "label", "given_label"]) == {
        "id": "id",
        "label": "given_given_label",
        "given_label": "given_label",
    }
