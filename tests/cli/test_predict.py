"""``dimec predict``: texts, files and pipes, and errors."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dimec.mobile import Mobile
from dimec.serving.local import LocalTiers
from support.predicting import answers, piped
from support.tiers import texts
from support.tiny import Said, command, environment

Cli = Callable[..., Said]
pytestmark = pytest.mark.usefixtures("own_state")
NOTE = "no address of the edge and the cloud was given"


@pytest.fixture
def reviews_file(tmp_path: Path) -> Path:
    path = tmp_path / "in.txt"
    path.write_text("".join(f"{text}\n" for text in texts(40)), "utf-8")
    return path


class TestTexts:
    def test_in_a_table(self, bundle: Path, cli: Cli) -> None:
        said = cli("predict", bundle, "the film is moving", "the plot\nis [bold]dull[/bold] " * 9)
        assert said.code == 0
        assert said.err.count(NOTE) == 1
        assert "answered by" in said.out
        assert "the film is moving" in said.out
        assert "the plot is [bold]dull[/bold] the plot is [bo..." in said.out

    def test_as_json(self, bundle: Path, cli: Cli) -> None:
        some = texts(30)
        found = answers(cli("predict", bundle / "mobile", "--json", *some))
        with Mobile.open(bundle, state=":memory:") as mobile:
            for answer, text in zip(found, some, strict=True):
                expected = mobile.predict(text)
                assert answer["label"] == expected.label
                assert answer["route"] == expected.route
                assert answer["answered_by"] == "mobile"
        reasons = {a["route"]: a["fallback_reason"] for a in found}
        assert reasons["mobile"] is None
        assert reasons["cloud"] == "cloud: not configured; edge: not configured"

    def test_are_in_the_users_state(self, bundle: Path, cli: Cli, tmp_path: Path) -> None:
        for _ in range(2):
            assert cli("predict", bundle, "the film").code == 0
        (state,) = (tmp_path / "home").glob("dimec/*/state.sqlite")
        with Mobile.open(bundle) as mobile:
            assert mobile.ledger().answers == 2
            assert mobile.info().state == str(state)

    def test_through_real_servers(self, bundle: Path, cli: Cli, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("secret-token\n")
        with LocalTiers(bundle, token="secret-token") as tiers:
            servers = ["--edge", tiers.urls["edge"], "--cloud", tiers.urls["cloud"]]
            words = ["predict", bundle, "--json", "--timeout", "30", *servers]
            said = cli(*words, "--token-file", tmp_path / "token", *texts(30))
            found = answers(said)
            assert said.err == ""
            assert [a["answered_by"] for a in found] == [a["route"] for a in found]
            assert {a["answered_by"] for a in found} == {"mobile", "edge", "cloud"}
            refused = answers(cli(*words, *texts(30)))
            named = [
                word for name, url in tiers.urls.items() for word in ("--tier", f"{name}={url}")
            ]
            words = ["predict", bundle, "--json", "--timeout", "30", *named]
            again = answers(cli(*words, "--token-file", tmp_path / "token", *texts(30)))
        assert [a["answered_by"] for a in again] == [a["answered_by"] for a in found]
        assert {a["answered_by"] for a in refused} == {"mobile"}
        assert "edge: refused; cloud: refused" in {a["fallback_reason"] for a in refused}

    @pytest.mark.parametrize(
        ("words", "complaint"),
        [
            (["--tier", "edge"], "expected --tier NAME=URL, once for each tier, got 'edge'"),
            (["--tier", "edge="], "expected --tier NAME=URL"),
            (["--tier", "cloud=http://a", "--tier", "cloud=http://b"], "once for each tier"),
            (["--tier", "box=http://a"], "given for 'box'; the bundle's tiers with a server are"),
            (["--tier", "edge=http://a", "--edge", "http://a"], "the tier edge was given"),
        ],
    )
    def test_an_address_goes_with_one_tier(
        self, bundle: Path, cli: Cli, words: list[str], complaint: str
    ) -> None:
        assert complaint in cli("predict", bundle, "a text", *words).complaint()


class TestFiles:
    def test_to_standard_output(self, bundle: Path, cli: Cli, reviews_file: Path) -> None:
        said = cli("predict", bundle, "--input", reviews_file)
        assert len(answers(said)) == 40
        assert "40 answers: mobile 40; mean cost" in said.err
        assert "fell back, cloud: not configured; edge: not configured" in said.err

    def test_to_a_file(self, bundle: Path, cli: Cli, reviews_file: Path, tmp_path: Path) -> None:
        out = tmp_path / "out.jsonl"
        said = cli("predict", bundle, "--input", reviews_file, "--output", out)
        assert (said.code, said.out) == (0, "")
        before = out.read_bytes()
        assert before.count(b"\n") == 40
        said = cli("predict", bundle, "--input", reviews_file, "--output", out)
        assert said.code == 0
        assert "has 40 answers already" in said.err
        assert "no text was left to answer" in said.err
        assert out.read_bytes() == before

    def test_json_lines_with_ids(self, bundle: Path, cli: Cli, tmp_path: Path) -> None:
        path = tmp_path / "in.jsonl"
        rows: list[dict[str, object]] = [
            {"text": "the film", "id": 7},
            {"text": "Größe", "id": "b"},
        ]
        path.write_text("".join(json.dumps(row) + "\n\n" for row in rows))
        assert [a["id"] for a in answers(cli("predict", bundle, "--input", path))] == ["7", "b"]

    def test_from_a_pipe(self, bundle: Path) -> None:
        said = piped("the film\n\nGröße ☃".encode(), bundle, "--input", "-")
        assert len(answers(said)) == 3

    def test_answers_come_while_the_pipe_stays_open(self, bundle: Path) -> None:
        line = command("predict", bundle, "--input", "-")
        with subprocess.Popen(
            line,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for text in (b"the film is moving\n", b"the plot is dull\n"):
                process.stdin.write(text)
                process.stdin.flush()
                assert json.loads(process.stdout.readline())["answered_by"] == "mobile"
            process.stdin.close()
            assert process.wait(60) == 0

    def test_whoever_reads_may_have_enough(self, bundle: Path, tmp_path: Path) -> None:
        path = tmp_path / "many.txt"
        path.write_text("the film is moving\n" * 3000)
        with subprocess.Popen(
            command("predict", bundle, "--input", path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            said = process.stderr.read()
            process.wait(60)
        assert b"Traceback" not in said
        assert b"Exception ignored" not in said

    def test_ctrl_c_keeps_what_is_done(self, bundle: Path, tmp_path: Path) -> None:
        path, out = tmp_path / "many.txt", tmp_path / "out.jsonl"
        path.write_text("the film is moving\n" * 20_000)
        with subprocess.Popen(
            command("predict", bundle, "--input", path, "--output", out),
            stderr=subprocess.PIPE,
            env=environment(),
        ) as process:
            while not out.exists() or not out.stat().st_size:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            said = process.stderr.read().decode()
            assert process.wait(60) == 130, said
        assert said.splitlines()[-1].startswith("dimec: stopped; finished work is kept")
        assert "Traceback" not in said
        with Mobile.open(bundle) as mobile:
            assert mobile.ledger().answers >= out.read_bytes().count(b"\n") > 0


class TestErrors:
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ((), "give either texts or --input"),
            (("text", "--input", "-"), "give either texts or --input"),
            (("text", "--output", "out"), "--output goes with --input"),
            (("text", "--edge", "nowhere"), "edge: expected an address"),
            (("text", "--cloud", "http://"), "cloud: expected an address"),
            (("text", "--edge", "http://far.test", "--token-file", "token"), "unencrypted"),
            (
                ("text", "--fallback", "luck", "--edge", "http://localhost:1"),
                "fallback must be one of accuracy, cost",
            ),
            (("text", "--timeout", "0", "--edge", "http://localhost:1"), "a timeout above 0"),
            (("text", "--workers", "0"), "at least 1 worker"),
            (
                ("text", "--token-file", "missing", "--edge", "http://localhost:1"),
                "--token-file missing: No such file",
            ),
            (("text", "--state", "token/state"), "cannot write"),
            (("text", "--state", "token"), "is no state"),
            (("--input", "missing.txt"), "missing.txt does not exist"),
            (("--input", "."), "is a folder"),
            (("--input", "token", "--output", "token"), "does not come from this state"),
        ],
    )
    def test_are_one_line(
        self,
        bundle: Path,
        cli: Cli,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        words: tuple[str, ...],
        message: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("token").write_text("a-secret-token")
        line = cli("predict", bundle, *words).complaint()
        assert message in line
        assert "a-secret-token" not in line

    @pytest.mark.parametrize("where", ["edge", "nowhere", "."])
    def test_no_mobile(self, tiny_bundle: Path, cli: Cli, where: str, tmp_path: Path) -> None:
        folder = tiny_bundle / "edge" if where == "edge" else tmp_path / where
        line = cli("predict", folder, "text").complaint()
        assert "mobile" in line or "dimec export" in line

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("a.txt", b"fine\nb\xff\n", "a.txt, line 2: expected UTF-8"),
            ("a.jsonl", b'{"text": "x"}\n{}\n', "a.jsonl, line 2: expected an object"),
            ("a.jsonl", b"plain\n", "a.jsonl, line 1: not valid JSON"),
            ("a.jsonl", b'{"text": "\\ud800"}', "a.jsonl, line 1: character 0 of the text is none"),
            ("a.jsonl", b'{"text": "x", "pair": "y"}', "a.jsonl, line 1: it has a second text"),
            ("a.jsonl", b'{"text": "x", "id": "a\\nb"}', "a.jsonl, line 1: an id must be"),
            (
                "a.jsonl",
                b'{"text": "x", "id": 1}\n{"text": "y", "id": "1"}',
                "a.jsonl, lines 1 and 2: both have the id '1'",
            ),
        ],
    )
    def test_in_a_file_are_told_before_anything_is_answered(
        self, bundle: Path, cli: Cli, tmp_path: Path, name: str, content: bytes, message: str
    ) -> None:
        (tmp_path / name).write_bytes(content)
        out = tmp_path / "out.jsonl"
        said = cli("predict", bundle, "--input", tmp_path / name, "--output", out)
        assert message in said.complaint()
        assert not out.exists()
        with Mobile.open(bundle) as mobile:
            assert mobile.ledger().answers == 0

    def test_in_a_pipe_come_after_the_answers_before_them(self, bundle: Path) -> None:
        said = piped(b"the film\nthe plot\n\xff\n", bundle, "--input", "-")
        assert said.code == 2
        assert len(said.out.splitlines()) == 2
        assert "dimec: standard input, line 3: expected UTF-8" in said.err.splitlines()[-1]

    def test_arguments_that_are_no_text(self, bundle: Path) -> None:
        done = subprocess.run(
            [*map(os.fsencode, command("predict", bundle)), b"caf\xe9"],
            capture_output=True,
            check=False,
            timeout=120,
            env=environment(),
        )
        assert done.returncode == 2
        assert b"character 3 of the text is none" in done.stderr
        assert b"Traceback" not in done.stderr
