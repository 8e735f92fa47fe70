"""``dimec predict --audit``: real servers, an alarm, its end, errors, and kills."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dimec.contract.monitor import Monitor
from dimec.mobile import Mobile
from dimec.serving.local import LocalTiers
from support.predicting import answers
from support.promised import DIFFERENT, promised
from support.tiers import balanced, texts
from support.tiny import Said, command, dimec, environment

Cli = Callable[..., Said]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Path:
    """The tiny bundle with a router that uses all three tiers."""
    return balanced(tiny_bundle, tmp_path_factory.mktemp("audited") / "bundle")


@pytest.fixture(scope="module")
def servers(bundle: Path) -> Iterator[list[str]]:
    """Options that name the servers of the edge and the cloud, which run."""
    with LocalTiers(bundle) as tiers:
        yield ["--edge", tiers.urls["edge"], "--cloud", tiers.urls["cloud"], "--timeout", "30"]


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DIMEC_TOKEN", raising=False)


class TestAlarm:
    def test_is_said_in_every_answer_until_the_audit_is_begun_anew(
        self, bundle: Path, servers: list[str], cli: Cli, tmp_path: Path
    ) -> None:
        (tmp_path / "in.txt").write_text("".join(f"{text}\n" for text in texts(200)))
        state: list[str | Path] = ["--state", tmp_path / "state.sqlite", *servers]
        words: list[str | Path] = ["predict", bundle, "--input", tmp_path / "in.txt", *state]
        # In processes of their own, where what a library logs reaches standard error.
        said = dimec(
            *words, "--audit", "1", "--audit-bound", "0.01"
        )  # one that differs is too many
        found = answers(said)
        safe = [answer["safe"] for answer in found]
        assert 0 < sum(safe) < 200
        assert {a["answered_by"] for a in found if a["safe"]} == {"cloud"}
        assert {(a["policy"], a["contract"]) for a in found if a["safe"]} == {("all-cloud", None)}
        assert {a["policy"] for a in found if not a["safe"]} == {"dimec"}
        assert said.err.count("more answers differ from the cloud's than 0.01 %") == 1
        assert "audit: alarm after" in said.err
        one: list[str | Path] = ["predict", bundle, "--json", *state, "the film is moving"]
        (answer,) = answers(later := dimec(*one))
        assert answer["safe"]
        assert later.err.count("the audit has raised its alarm") == 1
        assert "--audit-reset goes back" in later.err
        (answer,) = answers(later := cli(*one, "--audit-reset"))
        assert not answer["safe"]
        assert later.err == ""
        (answer,) = answers(cli(*one))
        assert not answer["safe"]

    def test_of_a_contract_is_not_raised_while_it_holds(
        self, bundle: Path, servers: list[str], cli: Cli, tmp_path: Path
    ) -> None:
        kept = promised(bundle, tmp_path / "promised", DIFFERENT)
        words = ["predict", kept, "--state", tmp_path / "state.sqlite", *servers]
        said = cli(*words, "--json", "--audit", "1", *texts(40))
        told = "at most 20 % of answers differ, at 95 % confidence"
        found = answers(said)
        assert {(a["safe"], a["policy"], a["contract"]) for a in found} == {(False, "dimec", told)}
        assert "audit: 40 answers were held against the cloud's" in said.err


class TestRefused:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--audit", "1.5", "--audit-bound", "1"], "--audit must be a share of the texts"),
            (["--audit", "0", "--audit-bound", "1"], "--audit must be a share of the texts"),
            (["--audit", "0.1", "--audit-bound", "100"], "--audit-bound must be over 0 and under"),
            (["--audit-bound", "1"], "--audit-bound does nothing without --audit"),
            (
                ["--audit", "0.1"],
                "fitted without a contract; state what share of different answers is allowed with "
                "--audit-bound, or fit one with: dimec fit --max-accuracy-drop",
            ),
        ],
    )
    def test_in_one_line(
        self, bundle: Path, servers: list[str], cli: Cli, options: list[str], message: str
    ) -> None:
        said = cli("predict", bundle, "--state", ":memory:", *servers, *options, "the film")
        assert said.code == 2
        assert message in said.err
        assert len(said.err.splitlines()) == 1

    def test_where_the_last_tier_has_no_address(self, bundle: Path, cli: Cli) -> None:
        said = cli(
            "predict", bundle, "--state", ":memory:", "--audit", "1", "--audit-bound", "1", "x"
        )
        assert said.code == 2
        assert "--audit asks the cloud too, and no address of it was given" in said.err


class TestKilled:
    def test_again_and_again_and_every_answer_has_its_row(
        self, bundle: Path, servers: list[str], tmp_path: Path
    ) -> None:
        number = 800
        out, state = tmp_path / "out.jsonl", tmp_path / "state.sqlite"
        (tmp_path / "in.txt").write_text("".join(f"{text}\n" for text in texts(number)))
        files: list[str | Path] = [
            "--input",
            tmp_path / "in.txt",
            "--output",
            out,
            "--state",
            state,
        ]
        audit = ["--audit", "1", "--audit-bound", "99"]
        job = command("predict", bundle, *files, *servers, *audit)

        def written() -> int:
            return out.read_bytes().count(b"\n") if out.exists() else 0

        rng, kills = random.Random(0), 0
        for _ in range(3):
            goal = written() + rng.randint(1, 200)
            with subprocess.Popen(job, stderr=subprocess.DEVNULL, env=environment()) as process:
                killer = threading.Timer(60, process.kill)
                killer.start()
                while process.poll() is None and written() < goal:
                    time.sleep(rng.uniform(0, 0.01))
                process.kill()
                killer.cancel()
            kills += process.returncode == -signal.SIGKILL
        assert kills >= 2
        subprocess.run(job, check=True, capture_output=True, env=environment())
        with contextlib.closing(sqlite3.connect(state)) as database:
            rows = database.execute("SELECT id, different FROM audits ORDER BY row").fetchall()
        # In the order of the texts, each once, however often it was begun.
        assert [id_ for id_, _ in rows] == [
            json.loads(line)["id"] for line in out.read_text("utf-8").splitlines()
        ]
        monitor = Monitor.of_differences(0.99, 1 - 0.95)
        monitor.extend([different for _, different in rows])
        assert monitor.rows == number
        with Mobile.open(bundle, state=state) as mobile:
            watch = mobile.engine.state.watch
            assert watch is not None
            assert watch.differences.to_json() == monitor.to_json()
