"""Whatever stands on a terminal, standard output is the same: every command that prints results."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import typer

from dimec.base.storage import write_json
from dimec.cli import app
from dimec.runs.contract_fit import rows_path
from dimec.runs.workspace import RunDirectory
from support.plans import tiny_plan
from support.records import correctness_rows, write_rows
from support.terminals import file_sink, run_on, terminal_sink
from support.tiers import texts
from support.tiny import Said, command, environment

Words = Sequence[object]
NARROW = 44  # columns; less than any table here

# Whatever differs from run to run: times, memory, names that are made up.
_MADE_UP = re.compile(r"[0-9a-f]{32}|[\d.]+(e-\d+)?")


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TERM", "xterm")
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "DIMEC_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def places(
    tmp_path_factory: pytest.TempPathFactory,
    finished_run: Path,
    tiny_bundle: Path,
    tiny_backbone: Path,
    tiny_reviews: Path,
) -> dict[str, str]:
    """What stands for the words in braces below."""
    import dimec

    folder = tmp_path_factory.mktemp("terminals")
    (folder / "in.txt").write_text("".join(f"{text}\n" for text in texts(12)))
    plan = tiny_plan(tiny_backbone, tiny_reviews, seeds=(0,))
    content = tomli_w.dumps(plan.model_dump(mode="json", exclude_none=True))
    (folder / "plan.toml").write_text(content)
    dimec.train(
        task=f"csv:{tiny_reviews}",
        backbone=str(tiny_backbone),
        exits=(1, 2, 4),
        epochs=2,
        max_tokens=32,
        record_train=True,
        precision="fp32",
        out=folder / "recorded",
    )
    write_rows(folder / "records.csv", correctness_rows(20, {"a": 1.0, "b": 2.0}, 0))
    (folder / "fleet.toml").write_text(
        'mobiles = 3\nhours = 1.0\n[[populations]]\nname = "all"\ntrace = "mrpc/minilm-joint/0"\n'
    )
    names = {"run": finished_run, "bundle": tiny_bundle, "backbone": tiny_backbone}
    names |= {"reviews": tiny_reviews, "folder": folder}
    return {name: str(path) for name, path in names.items()}


# Every command with results but demo, which is made of these and needs packages of its own.
JSON = (
    "train --config {run}/config.toml --out {run} --json",
    "fit {run} --json",
    "evaluate {run} --draws 20 --json",
    "report {run} --json",
    "track {run} --to tensorboard --json",
    "export {run} {run}/exported --overwrite --json",
    "inspect {bundle}/mobile --json",
    "map select {folder}/recorded --by easy --json",
    "trace record {run} --task csv:{reviews} --rows test --out {folder}/trace.safetensors --json",
    "traces list --json",
    "plugins --json",
    "traces show mrpc/minilm-joint/0 --json",
    "traces get mrpc/minilm-joint/0 --out {run}/got.safetensors --json",
    "trace import {folder}/records.csv --out {run}/records --overwrite --json",
    "trace export {run}/trace-test.safetensors {run}/trace.parquet --json",
    "simulate {folder}/fleet.toml --out {run}/fleet --json",
    "push {run} me/mine --dry-run --json",
    "join a={run}/trace-test.safetensors b={run}/trace-test.safetensors "
    "--out {run}/both.safetensors --json",
    "score {folder}/in.txt --run {run} --out {run}/scored --workers 1 --json",
    "contract rows {run} --out {run}/rows.jsonl --json",
    "bottleneck {run} --width 3 --bits 4 --epochs 2 --json",
    "compress {run} --method int8 --json",
    "profile --backbone {backbone} --tokens 4,8 --repeats 1 --out {folder}/layers.json --json",
    "reproduce fig1 --profile {folder}/plan.toml --out {folder}/runs --results {folder}/results "
    "--docs {folder}/docs --json",
)
LINES = (
    "predict {bundle} --json --state :memory: {long}",
    "predict {bundle} --input {folder}/in.txt --state :memory:",
    "predict {bundle} --input - --state :memory:",
)
SHOWN = (
    "--version",
    "fit {run}",
    "evaluate {run} --draws 20 --scenario phone-wifi",
    "inspect {bundle}/mobile",
    "map select {folder}/recorded --by easy",
    "predict {bundle} --state :memory: {long}",
    "traces list",
    "push {bundle} me/mine --dry-run",
    "simulate {folder}/fleet.toml --out {run}/fleet",
    "up {bundle} --state :memory: --timeout 30",
)
GIVEN = b"the film is moving\n" + b"the plot is dull and " * 20 + b"stale\n"
LONG = "the film is moving and " * 20


def words_of(line: str, places: dict[str, str]) -> list[str]:
    return [word.format(long=LONG, **places) for word in line.split()]


def in_a_file(words: Words, folder: Path, terminal: bool) -> Said:
    """Standard output in a file, standard error on a narrow terminal or in another file."""
    other = terminal_sink(NARROW) if terminal else file_sink(folder / "err")
    with file_sink(folder / "out") as out, other as err:
        return run_on(words, out, err, GIVEN)


def shape(out: str) -> list[str]:
    """The lines without what differs from run to run."""
    lines = (re.sub(r"([ ─━])+", r"\1", _MADE_UP.sub("#", line)) for line in out.splitlines())
    return [line.replace("-#", "#") for line in lines]  # how well a line fits may be below 0


@pytest.fixture
def own(places: dict[str, str], run_copy: Callable[..., Path]) -> dict[str, str]:
    """The places with a run that may be changed, and that a contract asked labels for."""
    run = RunDirectory(run_copy())
    asked = {"text": f"{places['folder']}/in.txt", "rows": ["in.txt-1"], "of": 12}
    write_json(rows_path(run), {"model": run.training()["model"], **asked})
    return {**places, "run": str(run.path)}


def test_every_command_is_tried() -> None:
    def names(group: Any, *before: str) -> Iterator[str]:
        for name, one in group.commands.items():
            under = hasattr(one, "commands")
            yield from names(one, *before, name) if under else [" ".join([*before, name])]

    tried = [*JSON, *LINES, *SHOWN, "serve", "demo"]  # serve below; demo is made of others
    for name in names(typer.main.get_command(app)):
        # pull needs a hub: tests/publishing/test_push.py
        assert name == "pull" or any(f"{line} ".startswith(f"{name} ") for line in tried), name


@pytest.mark.parametrize("line", [*JSON, *LINES, *SHOWN])
def test_a_file_gets_the_same_whatever_standard_error_is(
    line: str, own: dict[str, str], tmp_path: Path
) -> None:
    words = words_of(line, own)
    plain = in_a_file(words, tmp_path, terminal=False)
    assert plain.code == 0, plain
    assert plain.out
    said = in_a_file(words, tmp_path, terminal=True)
    assert said.code == 0, said
    assert shape(said.out) == shape(plain.out)
    assert "\x1b" not in said.out


@pytest.mark.parametrize("line", [*JSON, *LINES])
def test_a_terminal_gets_json_as_it_is(line: str, own: dict[str, str]) -> None:
    with terminal_sink(NARROW) as out, terminal_sink(NARROW) as err:
        said = run_on(words_of(line, own), out, err, GIVEN)
    assert said.code == 0, said
    if line in LINES:
        assert all("label" in json.loads(one) for one in said.out.splitlines())
        assert said.out.count("\n") == {LINES[0]: 1, LINES[1]: 12, LINES[2]: 2}[line]
    else:
        assert json.loads(said.out)
    assert "\x1b" not in said.out


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_ready_line_of_a_server_is_one_line(tiny_bundle: Path, workers: str) -> None:
    line = command("serve", tiny_bundle / "edge", "--port", "0", "--stop-with-stdin")
    line += ["--workers", workers]
    with terminal_sink(NARROW) as (screen, _):
        with subprocess.Popen(
            line,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=screen,
            env=environment(COLUMNS=str(NARROW)),
        ) as process:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["event"] == "ready"
            assert process.stdin is not None
            process.stdin.close()
            rest = process.stdout.read()
            assert process.wait(60) == 0
        assert all(json.loads(one)["event"] for one in rest.splitlines())


def test_a_process_of_its_own(tiny_bundle: Path, places: dict[str, str], tmp_path: Path) -> None:
    path = Path(places["folder"]) / "in.txt"
    with file_sink(tmp_path / "out") as (out, read), terminal_sink(NARROW) as (screen, _):
        words = command("predict", tiny_bundle, "--input", path)
        subprocess.run(words, stdout=out, stderr=screen, check=True, env=environment(TERM="xterm"))
        answers = [json.loads(line) for line in read().splitlines()]
    assert len(answers) == 12
