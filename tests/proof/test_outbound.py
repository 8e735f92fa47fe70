"""No outbound call but to the configured tiers, watched from inside the interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dimec.serving.local import LocalTiers
from support.offline import unseen_texts
from support.tiny import environment

# Every way in which Python code opens a connection, asks for a name, or starts another program
# that could. The hook is there before the first import of dimec.
_WATCHED = """
import json, runpy, sys
log = open(sys.argv.pop(1), "a", buffering=1)
PREFIXES = ("socket.", "subprocess.", "os.exec", "os.spawn", "os.posix_spawn", "os.system",
            "os.fork", "urllib.", "http.client.", "ftplib.", "smtplib.", "webbrowser.")
def hook(event, arguments):
    if event.startswith(PREFIXES):
        log.write(json.dumps([event, [repr(a) if not isinstance(a, (str, int, tuple)) else a
                                      for a in arguments]], default=repr) + "\\n")
sys.addaudithook(hook)
runpy.run_module("dimec", run_name="__main__")
"""


def watched(folder: Path, *words: str | Path, **changes: str) -> list[tuple[str, list[Any]]]:
    """The events of a command."""
    log = folder / "events.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", _WATCHED, log, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env=environment(**changes),
    )
    assert done.returncode == 0, done.stderr
    events = [tuple(json.loads(line)) for line in log.read_text().splitlines()]
    log.unlink()
    return [(name, arguments) for name, arguments in events]


def addresses(events: list[tuple[str, list[Any]]]) -> set[tuple[str, int]]:
    """Where connections went, and which names were asked for."""
    found = set()
    for name, arguments in events:
        if name in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            host, port, *_ = arguments[1]
            found.add((host, port))
        elif name == "socket.getaddrinfo":
            found.add((arguments[0], int(arguments[1])))
    return found


class TestOutboundCalls:
    def test_predict_talks_to_its_tiers_only(self, proof_bundle: Path, tmp_path: Path) -> None:
        texts = unseen_texts(40)
        words: list[str | Path] = ["predict", proof_bundle / "mobile", *texts]
        words += ["--state", tmp_path / "state.sqlite", "--timeout", "30"]
        # A proxy that the environment asks for would be another party.
        strange = {"HTTP_PROXY": "http://192.0.2.1:3128", "ALL_PROXY": "http://192.0.2.1:3128"}
        with LocalTiers(proof_bundle) as tiers:
            for tier in ("edge", "cloud"):
                words += [f"--{tier}", tiers.urls[tier]]
            events = watched(
                tmp_path, *words, **strange, **{k.lower(): v for k, v in strange.items()}
            )
            allowed = {("127.0.0.1", int(url.rpartition(":")[2])) for url in tiers.urls.values()}
        assert addresses(events) == allowed
        harmless = {"socket.__new__", "socket.connect", "socket.getaddrinfo"}
        assert {name for name, _ in events} <= harmless

    def test_predict_without_tiers_opens_no_socket(
        self, proof_bundle: Path, tmp_path: Path
    ) -> None:
        words: list[str | Path] = ["predict", proof_bundle / "mobile", *unseen_texts(5)]
        assert watched(tmp_path, *words, "--state", tmp_path / "state.sqlite") == []

    @pytest.mark.parametrize("workers", [1, 2])
    def test_a_server_calls_nobody(self, proof_bundle: Path, tmp_path: Path, workers: int) -> None:
        """It listens, and at the end of its standard input it stops."""
        log = tmp_path / "events.jsonl"
        words = ["serve", str(proof_bundle / "edge"), "--port", "0", "--stop-with-stdin"]
        words += ["--workers", str(workers)]
        done = subprocess.run(
            [sys.executable, "-c", _WATCHED, log, *words],
            input="",
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
            env=environment(),
        )
        assert done.returncode == 0, done.stderr
        events = [tuple(json.loads(line)) for line in log.read_text().splitlines()]
        assert "socket.bind" in {name for name, _ in events}
        assert {host for host, _ in addresses(events)} <= {"127.0.0.1"}
        started = [arguments for name, arguments in events if not name.startswith("socket.")]
        # Its own workers, and nothing else.
        assert len(started) == (workers if workers > 1 else 0)
        for program, words_of_it, *_ in started:
            assert program == sys.executable
            assert "'-m', 'dimec.serving.worker'" in words_of_it
