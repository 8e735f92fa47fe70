"""Measuring layers: which runs the clock brackets, and what is kept of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import typer

from dimec.base.errors import ConfigError
from dimec.cli.profile import profile as profile_command
from dimec.tiers.latency import LayerProfile, ModelShape
from dimec.training.layer_profile import measure_layers
from support.encoders import KINDS, save_encoder


class Clock:
    """A second passes at every look; the i-th look is at i."""

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        return float(self.looks)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "albert"])
def test_every_part_of_every_encoder_is_measured(kind: str, tmp_path: Path) -> None:
    folder = save_encoder(tmp_path / kind, kind, layers=3)
    measured = measure_layers(folder, tokens=(8, 4), repeats=2, note="a test")
    assert (measured.backbone, measured.layers, measured.note) == (kind, 3, "a test")
    assert measured.shape == ModelShape(16, 32)
    found = [(row.part, row.index, row.tokens) for row in measured.rows]
    parts = [("embed", 0), ("layer", 1), ("layer", 2), ("layer", 3), ("head", 0)]
    assert found == [(part, index, tokens) for part, index in parts for tokens in (4, 8)]
    assert all(row.seconds > 0 for row in measured.rows)


def test_layers_that_share_their_weights_are_refused(tmp_path: Path) -> None:
    folder = save_encoder(tmp_path / "albert", "albert", layers=3)
    with pytest.raises(ConfigError, match="cannot be measured or changed one by one"):
        measure_layers(folder, tokens=(4,), repeats=1)


def test_the_clock_brackets_each_part_once(tmp_path: Path) -> None:
    clock = Clock()
    folder = save_encoder(tmp_path / "bert", "bert", layers=3)
    measured = measure_layers(folder, tokens=(4,), repeats=2, clock=clock)
    # Start, then the first layer begins; each layer begins and ends; the head begins and ends.
    assert all(row.seconds == 1 for row in measured.rows)
    runs = 3 + 2  # three that do not count
    assert clock.looks == runs * (1 + 2 * 3 + 2)


def test_the_median_counts_and_the_warm_up_does_not(tmp_path: Path) -> None:
    folder = save_encoder(tmp_path / "bert", "bert", layers=1)
    looks = iter(range(1000))
    durations = iter([99.0, 99.0, 99.0, 1.0, 7.0, 2.0])  # of the layer, run after run
    now = 0.0

    def clock() -> float:
        nonlocal now
        look = next(looks) % 5  # start, layer begins, layer ends, head begins, head ends
        now += next(durations) if look == 2 else 0.5
        return now

    measured = measure_layers(folder, tokens=(4,), repeats=3, clock=clock)
    seconds = {row.part: row.seconds for row in measured.rows}
    assert seconds == pytest.approx({"embed": 0.5, "layer": 2.0, "head": 0.5})


def test_the_number_of_threads_is_put_back(tmp_path: Path) -> None:
    folder = save_encoder(tmp_path / "bert", "bert")
    before = torch.get_num_threads()
    seen: list[int] = []

    def clock() -> float:
        seen.append(torch.get_num_threads())
        return float(len(seen))

    measured = measure_layers(folder, tokens=(4,), repeats=1, threads=2, clock=clock)
    assert set(seen) == {2}
    assert measured.threads == 2
    assert torch.get_num_threads() == before


def test_other_programs_turns_do_not_count_for_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_encoder(tmp_path / "bert", "bert")
    monkeypatch.setattr("time.thread_time", lambda: 5.0)
    alone = measure_layers(folder, tokens=(4,), repeats=1)
    assert {row.seconds for row in alone.rows} == {0.0}
    assert alone.machine.endswith("processor time")
    together = measure_layers(folder, tokens=(4,), repeats=1, threads=2)
    assert all(row.seconds > 0 for row in together.rows)
    assert together.machine.endswith("wall clock")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tokens": ()}, "at least 1 token"),
        ({"tokens": (0, 4)}, "at least 1 token"),
        ({"tokens": (41,)}, "positions for 40 tokens, cannot measure 41"),
        ({"repeats": 0}, "repeats and threads must be at least 1"),
        ({"threads": 0}, "repeats and threads must be at least 1"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    options: dict[str, object], words: str, tmp_path: Path
) -> None:
    folder = save_encoder(tmp_path / "bert", "bert")
    known: dict[str, object] = {"tokens": (4,), "repeats": 1}
    with pytest.raises(ConfigError, match=words):
        measure_layers(folder, **{**known, **options})  # type: ignore[arg-type]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The command on its own; what it printed."""
    app = typer.Typer()
    app.command()(profile_command)

    def run(*arguments: object) -> str:
        capsys.readouterr()
        app([str(argument) for argument in arguments], standalone_mode=False)
        return capsys.readouterr().out

    return run


def test_the_command_writes_a_profile_and_shows_its_curves(
    command: Callable[..., str], tmp_path: Path
) -> None:
    folder, out = save_encoder(tmp_path / "bert", "bert"), tmp_path / "profile.json"
    shown = command("--backbone", folder, "--out", out, "--tokens", "4,8", "--repeats", 1)
    assert str(out) in shown.replace("\n", "")
    for word in ("embed", "layer", "head", "R²"):
        assert word in shown
    measured = LayerProfile.load(out)
    assert {row.tokens for row in measured.rows} == {4, 8}
    made = ("--backbone", folder, "--out", out, "--tokens", "4", "--repeats", 1, "--json")
    said = json.loads(command(*made))
    again = LayerProfile.load(out)
    assert [part["part"] for part in said["parts"]] == ["embed", "layer", "head"]
    fitted = again.regressors["layer"]
    row = said["parts"][1]
    assert (row["a"], row["b"], row["c"], row["r2"]) == (*fitted.coefficients, fitted.r2)


def test_lengths_that_are_no_numbers_are_refused(
    command: Callable[..., str], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="--tokens: expected lengths such as 16,64,128, got 'x'"):
        command("--out", tmp_path / "p.json", "--tokens", "x")
