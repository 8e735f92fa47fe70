"""Mobiles and servers that are killed, stopped, starved of disk, or alone: nothing is lost."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dimec
from chaos_driver import ChaosProxy
from dimec.base.errors import StateBusyError
from dimec.tiers.names import TIER_NAMES
from support.offline import CLOSE, Offline, Replay, unseen_texts
from support.processes import Server
from support.state_file import check_state, read_answers
from support.tiny import command, environment

_LIMITED = """
import resource, runpy, sys
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
runpy.run_module("dimec", run_name="__main__")
"""


class PredictCommand:
    """Texts in a file, and ``dimec predict`` from it into another one."""

    def __init__(self, bundle: Path, folder: Path, number: int, *options: str) -> None:
        self.texts = unseen_texts(number)
        self.source, self.target = folder / "texts.txt", folder / "answers.jsonl"
        self.state = folder / "state.sqlite"
        self.errors = folder / "errors.txt"
        self.source.write_text("".join(f"{text}\n" for text in self.texts), encoding="utf-8")
        words: list[str | Path] = ["predict", bundle / "mobile", "--input", self.source]
        words += ["--output", self.target, "--state", self.state, *options]
        self.words = [str(word) for word in words]

    def start(self, limit: int | None = None) -> subprocess.Popen[bytes]:
        """Start it; ``limit`` is the size in bytes beyond which no file can grow."""
        line = command(*self.words)
        if limit is not None:
            line = [sys.executable, "-c", _LIMITED, str(limit), *self.words]
        with self.errors.open("ab") as errors:
            return subprocess.Popen(line, stdout=errors, stderr=errors, env=environment())

    def run(self, limit: int | None = None) -> None:
        """Run it to its end."""
        code = self.start(limit).wait(240)
        assert code == 0, self.errors.read_text()
        assert "Traceback" not in self.errors.read_text()

    def written(self) -> int:
        """How many whole lines are there."""
        return self.target.read_bytes().count(b"\n") if self.target.exists() else 0

    def answers(self) -> list[dict[str, Any]]:
        """The lines."""
        return [json.loads(line) for line in self.target.read_text("utf-8").splitlines()]

    def check(self, offline: Offline, truth: Replay) -> list[dict[str, Any]]:
        """One line for each input, in order, each with the serving tier's own answer."""
        answers = self.answers()
        assert len(answers) == len(self.texts)
        assert len({answer["id"] for answer in answers}) == len(answers)
        for row, answer in enumerate(answers):
            probabilities = [answer["probabilities"][label] for label in offline.labels]
            assert truth.disagreement(answer["answered_by"], row, probabilities) < CLOSE, row
            assert (answer["answered_by"] == answer["route"]) == (answer["fallback_reason"] is None)
        return answers

    def embeddings(self, truth: Replay) -> dict[str, Any]:
        """Embedding of each answer's id."""
        return {a["id"]: truth.embeddings[row] for row, a in enumerate(self.answers())}


@pytest.fixture
def edge(proof_bundle: Path, tmp_path: Path) -> Iterator[Server]:
    with Server(proof_bundle / "edge", tmp_path / "edge.log") as server:
        yield server


@pytest.fixture
def cloud(proof_bundle: Path, tmp_path: Path) -> Iterator[Server]:
    with Server(proof_bundle / "cloud", tmp_path / "cloud.log") as server:
        yield server


class TestTheMobileIsKilled:
    def test_again_and_again_amid_everything_else(
        self, proof_bundle: Path, offline: Offline, edge: Server, cloud: Server, tmp_path: Path
    ) -> None:
        rng = random.Random(0)
        rotten: dict[str, Any] = {"corrupt": 0.05, "truncate": 0.03, "drop": 0.03}
        with (
            ChaosProxy(edge.url, seed=3, **rotten) as near,
            ChaosProxy(cloud.url, seed=4, **rotten) as far,
        ):
            options = ("--adaptive", "--timeout", "0.3", "--edge", near.url, "--cloud", far.url)
            predict = PredictCommand(proof_bundle, tmp_path, 2500, *options)
            truth = offline.replay(predict.texts)
            kills = 0
            while predict.written() < 2200:
                process = predict.start()
                goal = predict.written() + rng.randint(60, 360)
                while predict.written() < goal and process.poll() is None:
                    time.sleep(0.005)
                if kills == 2:
                    edge.kill()
                if kills == 4:
                    edge.start()
                process.kill()
                process.wait()
                kills += 1
            predict.run()
            altered = near.stats()["corrupted"] + far.stats()["corrupted"]
        print(f"killed {kills} times, {altered} chunks altered")
        assert kills > 4  # the edge went, and came back; how many more depends on the machine
        assert altered > 0
        # The router went on from where it was each time: routes are those of an unbroken run.
        routes = [answer["route"] for answer in predict.check(offline, truth)]
        assert routes == truth.routes(offline.router, adaptive=True)
        answers = check_state(
            predict.state, offline.router, predict.embeddings(truth), adaptive=True
        )
        assert len(answers) == 2500

    def test_the_state_is_sound_after_every_single_kill(
        self, proof_bundle: Path, offline: Offline, tmp_path: Path
    ) -> None:
        """Without servers, so that nearly all the time goes into recording."""
        predict = PredictCommand(proof_bundle, tmp_path, 1800, "--adaptive")
        truth = offline.replay(predict.texts)
        by_text = dict(zip(range(1800), truth.embeddings, strict=True))
        rng = random.Random(1)
        for _ in range(8):
            process = predict.start()
            goal = predict.written() + rng.randint(1, 200)
            while predict.written() < goal and process.poll() is None:
                time.sleep(0.001)
            process.kill()
            process.wait()
            self.check_prefix(predict, offline, by_text)
        predict.run()
        routes = [answer["route"] for answer in predict.check(offline, truth)]
        assert routes == truth.routes(offline.router, adaptive=True)
        check_state(predict.state, offline.router, predict.embeddings(truth), adaptive=True)

    def check_prefix(
        self, predict: PredictCommand, offline: Offline, embeddings: dict[int, Any]
    ) -> None:
        """Every line written is recorded, and the pools are what the records say."""
        recorded = read_answers(predict.state)
        lines = predict.target.read_bytes().split(b"\n")[:-1]
        written = [json.loads(line)["id"] for line in lines]
        assert set(written) <= {answer["id"] for answer in recorded}
        known = {answer["id"]: embeddings[row_of(answer["id"])] for answer in recorded}
        check_state(predict.state, offline.router, known, adaptive=True)


def row_of(identity: str) -> int:
    """The line that an id of a job was made for, counted from 0."""
    return int(identity.rpartition("-")[2])


class TestServersThatStop:
    @pytest.mark.parametrize("ways", [("signal",), ("stdin",), ("stdin", "signal")], ids="+".join)
    def test_a_server_stopped_under_load_answers_what_it_has_taken(
        self,
        proof_bundle: Path,
        offline: Offline,
        edge: Server,
        cloud: Server,
        tmp_path: Path,
        ways: tuple[str, ...],
    ) -> None:
        """A parent that dies closes the pipe, and may send a signal: that is one wish, not two."""
        texts = unseen_texts(3000)
        truth = offline.replay(texts)
        codes: list[int] = []
        reasons: Counter[str] = Counter()
        with dimec.Mobile.open(
            proof_bundle, edge=edge.url, cloud=cloud.url, state=tmp_path / "s.sqlite", timeout=30
        ) as mobile:
            stopper = threading.Thread(target=lambda: codes.append(cloud.stop(*ways)))
            for row, prediction in enumerate(mobile.predict_many(texts, workers=8)):
                if row == 1000:
                    stopper.start()
                probabilities = [prediction.probabilities[label] for label in offline.labels]
                assert truth.disagreement(prediction.answered_by, row, probabilities) < CLOSE
                reasons[prediction.fallback_reason or ""] += 1
            stopper.join()
        print(ways, codes, dict(reasons))
        assert codes == [0]
        assert sum(reasons.values()) == 3000
        # Turned away at the door or before, never cut off with an input inside.
        allowed = {"", "cloud: overloaded", "cloud: unreachable", "cloud: circuit open"}
        assert set(reasons) <= allowed, reasons
        assert reasons["cloud: circuit open"] > 0

    def test_both_servers_gone(
        self, proof_bundle: Path, offline: Offline, edge: Server, cloud: Server, tmp_path: Path
    ) -> None:
        edge.kill()
        cloud.kill()
        predict = PredictCommand(
            proof_bundle, tmp_path, 500, "--edge", edge.url, "--cloud", cloud.url
        )
        predict.run()
        answers = predict.check(offline, offline.replay(predict.texts))
        assert {answer["answered_by"] for answer in answers} == {"mobile"}
        assert {answer["route"] for answer in answers} == set(TIER_NAMES)


class TestTheState:
    def test_a_full_disk_amid_the_stream(
        self, proof_bundle: Path, offline: Offline, tmp_path: Path
    ) -> None:
        """The answers go to a pipe, so that only the state meets the limit."""
        predict = PredictCommand(proof_bundle, tmp_path, 2000, "--adaptive")
        position = predict.words.index("--output")
        words = predict.words[:position] + predict.words[position + 2 :]
        done = subprocess.run(
            [sys.executable, "-c", _LIMITED, str(300_000), *words],
            capture_output=True,
            check=False,
            timeout=240,
            env=environment(),
        )
        assert done.returncode == 0, done.stderr.decode()
        assert b"Traceback" not in done.stderr
        answers = [json.loads(line) for line in done.stdout.decode().splitlines()]
        truth = offline.replay(predict.texts)
        assert len(answers) == 2000
        for row, answer in enumerate(answers):
            probabilities = [answer["probabilities"][label] for label in offline.labels]
            assert truth.disagreement("mobile", row, probabilities) < CLOSE
        routes = [answer["route"] for answer in answers]
        assert routes == truth.routes(offline.router, adaptive=True)
        kept = {answer["id"] for answer in answers if answer["recorded"]}
        assert 0 < len(kept) < 2000
        known = {answer["id"]: truth.embeddings[row] for row, answer in enumerate(answers)}
        recorded = check_state(predict.state, offline.router, known, adaptive=True)
        assert {answer["id"] for answer in recorded} >= kept

    def test_one_writer(self, proof_bundle: Path, tmp_path: Path) -> None:
        state = tmp_path / "state.sqlite"
        with dimec.Mobile.open(proof_bundle, state=state) as mobile:
            mobile.predict("the film is moving", id="one")
            with pytest.raises(StateBusyError):
                dimec.Mobile.open(proof_bundle, state=state)
            done = subprocess.run(
                command("predict", proof_bundle / "mobile", "a text", "--state", state),
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
                env=environment(),
            )
            assert done.returncode == 2
            assert done.stderr.count("\n") == 1
            assert str(state) in done.stderr
            mobile.predict("the film is dull", id="two")
        with contextlib.closing(dimec.Mobile.open(proof_bundle, state=state)) as later:
            assert later.ledger().answers == 2
        assert [answer["id"] for answer in read_answers(state)] == ["one", "two"]
