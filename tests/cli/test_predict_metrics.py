"""``dimec predict --metrics``: the file of a run that ends well, one that fails, and one killed."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dimec.mobile import Mobile
from support.tiers import balanced, texts
from support.tiny import Said, command, environment

Cli = Callable[..., Said]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Path:
    """The tiny bundle with a router that uses all three tiers."""
    return balanced(tiny_bundle, tmp_path_factory.mktemp("metrics") / "bundle")


def answers_in(path: Path) -> float:
    """Answers that the file tells of, all of which Prometheus can read."""
    text = path.read_text("utf-8")
    assert text.endswith("\n")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert {"dimec_mobile_safe_policy", "dimec_mobile_safe_answers"} <= families.keys()
    return sum(sample.value for sample in families["dimec_mobile_answers"].samples)


def test_are_those_of_the_state_over_runs(bundle: Path, cli: Cli, tmp_path: Path) -> None:
    path, state = tmp_path / "collected" / "dimec.prom", tmp_path / "state.sqlite"
    words = ["predict", bundle, "--json", "--state", state, "--metrics", path]
    for expected in (5, 10):
        assert cli(*words, *texts(5)).code == 0
        assert answers_in(path) == expected
    with Mobile.open(bundle, state=state) as mobile:
        assert mobile.metrics() == path.read_text("utf-8")


def test_of_an_input_that_fails_part_way_have_every_answer(
    bundle: Path, cli: Cli, tmp_path: Path
) -> None:
    pipe, path, state = tmp_path / "pipe", tmp_path / "dimec.prom", tmp_path / "state.sqlite"
    os.mkfifo(pipe)
    lines = "".join(f"{text}\n" for text in texts(30)).encode()
    writer = threading.Thread(target=pipe.write_bytes, args=(lines + b"\xff\n",))
    writer.start()
    said = cli("predict", bundle, "--input", pipe, "--state", state, "--metrics", path)
    writer.join()
    assert said.code == 2
    assert "line 31" in said.err
    assert len(said.out.splitlines()) == 30
    assert answers_in(path) == 30
    with Mobile.open(bundle, state=state) as mobile:
        assert mobile.metrics() == path.read_text("utf-8")


def test_of_a_process_that_is_killed_are_whole_and_go_on(
    bundle: Path, cli: Cli, tmp_path: Path
) -> None:
    path, state = tmp_path / "dimec.prom", tmp_path / "state.sqlite"
    files: list[str | Path] = ["--state", state, "--metrics", path]
    process = subprocess.Popen(
        command("predict", bundle, "--input", "-", *files),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        process.stdin.write(b"the film is moving\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["recorded"]
        process.kill()
    assert answers_in(path) in (0, 1)  # of the start, or of ten seconds later
    assert cli("predict", bundle, "--json", *files, "the plot is dull").code == 0
    assert answers_in(path) == 2


@pytest.mark.parametrize("given", ["--input", "--output", "--state"])
def test_a_file_that_has_another_use_is_not_replaced(
    bundle: Path, cli: Cli, tmp_path: Path, given: str
) -> None:
    path = tmp_path / "one"
    files = {"--input": tmp_path / "in.txt", "--output": tmp_path / "out", "--state": ":memory:"}
    files |= {given: path}
    words = [word for pair in files.items() for word in pair]
    said = cli("predict", bundle, *words, "--metrics", tmp_path / "." / "one")
    assert said.code == 2
    assert f"is the file of {given}, and would replace it" in said.err
    assert not path.exists()


def test_no_file_is_refused(bundle: Path, cli: Cli, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, what in ((tmp_path, "a folder"), (tmp_path / "pipe", "a pipe or a device")):
        said = cli("predict", bundle, "--state", ":memory:", "--metrics", path, "the film")
        assert said.code == 2
        assert f"--metrics {path} is {what}, and metrics are kept in a file" in said.err
        assert len(said.err.splitlines()) == 1
