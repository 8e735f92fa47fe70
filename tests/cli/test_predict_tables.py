"""``dimec predict`` reads the tables that training reads."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest

from support.exports import write
from support.predicting import answers, piped
from support.tiny import Said, command, environment

Cli = Callable[..., Said]
pytestmark = pytest.mark.usefixtures("own_state")


class TestTables:
    CSV = 'id,review\n7,"moving, and\nfunny"\nb,dull\n'
    ARRAY = '[{"review": "moving", "id": 7}, {"review": "dull", "id": "b"}]'

    @pytest.mark.parametrize(
        ("name", "content", "words"),
        [
            ("a.csv", CSV, ()),
            ("a.txt", CSV, ("--format", "csv")),
            ("a.csv", CSV.replace(",", ";").replace("moving;", "moving,"), ()),
            ("a.tsv", "review\tid\nmoving\t7\ndull\tb\n", ()),
            ("a.json", ARRAY, ()),
            ("a.jsonl", ARRAY, ()),
            ("a.jsonl", '{"review": "moving", "id": 7}\n{"review": "dull", "id": "b"}\n', ()),
        ],
    )
    def test_a_row_has_an_answer_and_keeps_its_id(
        self, bundle: Path, cli: Cli, tmp_path: Path, name: str, content: str, words: Any
    ) -> None:
        (tmp_path / name).write_text(content)
        options = ("--input", tmp_path / name, "--text-column", "review", *words)
        assert [a["id"] for a in answers(cli("predict", bundle, *options))] == ["7", "b"]

    def test_an_arrow_file_is_a_table_too(self, bundle: Path, cli: Cli, tmp_path: Path) -> None:
        table = pyarrow.table({"text": ["moving", "dull"], "id": ["7", "b"]})
        path = write(tmp_path / "a.arrow", table)
        found = answers(cli("predict", bundle, "--input", path))
        assert [a["id"] for a in found] == ["7", "b"]

    @pytest.mark.parametrize("name", ["csv:~/rows", "~/rows.csv"])
    def test_a_file_is_named_as_for_training(
        self, bundle: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        for path in (tmp_path / "rows", tmp_path / "rows.csv"):
            path.write_text(self.CSV)
        found = answers(cli("predict", bundle, "--input", name, "--text-column", "review"))
        assert [a["id"] for a in found] == ["7", "b"]

    @pytest.mark.parametrize(
        "content", [ARRAY.replace("review", "text"), ARRAY.replace("{", "\n{"), '\n["a", "b"]\n']
    )
    def test_an_array_is_never_one_answer(self, bundle: Path, content: str) -> None:
        line = piped(content.encode(), bundle, "--input", "-").complaint()
        assert "a JSON array begins here" in line
        assert "--format json" in line
        said = piped(content.encode(), bundle, "--input", "-", "--format", "text")
        assert len(answers(said)) == content.count("\n") + (content[-1] != "\n")

    def test_without_a_header_and_in_another_encoding(
        self, bundle: Path, cli: Cli, tmp_path: Path
    ) -> None:
        (tmp_path / "a.csv").write_bytes("größe;x\nfilm;y\n".encode("cp1252"))
        words = ["--no-header", "--encoding", "windows-1252", "--delimiter", ";"]
        words += ("--text-column", "column-1", "--id-column", "column-2")
        found = answers(cli("predict", bundle, "--input", tmp_path / "a.csv", *words))
        assert [a["id"] for a in found] == ["x", "y"]

    def test_a_stream_is_answered_as_it_comes(self, bundle: Path) -> None:
        with subprocess.Popen(
            command("predict", bundle, "--input", "-", "--format", "csv"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for rows in (b'text,id\nmoving,1\n"du', b'll\n",2\n'):
                process.stdin.write(rows)
                process.stdin.flush()
                assert json.loads(process.stdout.readline())["id"] in "12"
            process.stdin.close()
            assert process.wait(60) == 0

    @pytest.mark.parametrize(
        ("name", "words", "message"),
        [
            ("a.txt", ("--text-column", "x"), "--text-column does nothing for lines of text"),
            ("a.txt", ("--format", "xls"), "--format: expected one of"),
            ("a.json", ("--delimiter", ";"), "--delimiter"),
            ("a.csv", (), "no column called text"),
            ("a.csv", (), "where its first line is a row already, say --no-header"),
            ("csv:a", ("--format", "csv"), "--format does nothing beside csv:FILE"),
            ("a.csv", ("--text-column", "x"), "'x'"),
            ("a.csv", ("--text-column", "review", "--pair-column", "id"), "this model takes one"),
        ],
    )
    def test_what_would_do_nothing_is_refused(
        self,
        bundle: Path,
        cli: Cli,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        name: str,
        words: Any,
        message: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path(name).write_text(self.CSV)
        assert message in cli("predict", bundle, "--input", name, *words).complaint()

    def test_an_output_that_is_no_file(self, bundle: Path, cli: Cli, tmp_path: Path) -> None:
        (tmp_path / "in.txt").write_text("film\n")
        os.mkfifo(tmp_path / "pipe")
        for out in (tmp_path, tmp_path / "pipe", "/dev/null", tmp_path / ("x" * 300)):
            words = ("--input", tmp_path / "in.txt", "--output", out)
            assert "give a" in cli("predict", bundle, *words).complaint()
