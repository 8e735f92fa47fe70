"""A run directory with something wrong: one clear line, exit code 2, and nothing changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.base.storage import load_arrays, save_arrays
from support.tiny import FAST, Said, contents

Cli = Callable[..., Said]


@pytest.fixture
def run(run_copy: Callable[..., Path]) -> Path:
    return run_copy()


def _complaint(cli: Cli, run: Path, *words: object) -> str:
    """What a command on a run complains of; it must change nothing."""
    before = contents(run)
    line = cli(words[0], run, *words[1:]).complaint()
    assert contents(run) == before
    return line


def _damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "truncated":
        del content[len(content) // 2 :]
    else:
        content[-3] ^= 1
    path.write_bytes(content)


def _replace(path: Path, kind: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change an array in a file and give the file a right checksum again."""
    arrays, metadata = load_arrays(path, kind, "")
    arrays = {name: array.copy() for name, array in arrays.items()}
    change(arrays)
    save_arrays(path, kind, arrays, metadata)


class TestFitEvaluateReport:
    @pytest.mark.parametrize(
        ("words", "word"),
        [
            (["fit", "--lambda", "-1"], "-1"),
            (["fit", "--lambda", "nan"], "nan"),
            (["fit", "--grid", "fine"], "'paper' or 'quantile'"),
            (["fit", "--alphas", "0.5,x"], "--alphas: expected numbers"),
            (["fit", "--alphas", "0.5,2"], "--alphas must lie from 0 to 1"),
            (["fit", "--alphas=-0.1"], "--alphas must lie from 0 to 1"),
            (["fit", "--alphas", "nan"], "--alphas must be one or more finite"),
            (["fit", "--alphas", "0.5,0.5"], "--alphas: 0.5 is there twice"),
            (["fit", "--betas=-0.1"], "--betas must be at least 0"),
            (["fit", "--betas", "inf"], "--betas must be one or more finite"),
            (["fit", "--betas", ""], "--betas: expected numbers"),
            (["fit", "--tiers", "1,3,4"], "no exit at layer 3"),
            (["fit", "--tiers", "4,2,1"], "4"),
            (["fit", "--tiers", "1,x"], "1,x"),
            (["fit", "--lambda", "0.1", "--target-drop", "1"], "not both"),
            (["fit", "--target-drop", "200"], "--target-drop: expected points"),
            (["fit", "--mobile-layer", "-2"], "--mobile-layer"),
            (["evaluate", "--draws", "0"], "at least 1 draw"),
            (["evaluate", "--seed", "-1"], "--seed must be at least 0"),
            (["evaluate", "--systems", "deebert,none"], "no system is named 'none'"),
            (["report", "--seed", "-1"], "--seed must be at least 0"),
        ],
    )
    def test_a_value_that_does_not_fit_is_named(
        self, run: Path, cli: Cli, words: list[str], word: str
    ) -> None:
        assert word in _complaint(cli, run, *words)

    @pytest.mark.parametrize("step", ["fit", "evaluate", "report"])
    def test_a_directory_that_is_no_run(self, tmp_path: Path, cli: Cli, step: str) -> None:
        assert "no run directory" in cli(step, tmp_path / "none").complaint()
        assert not (tmp_path / "none").exists()
        (tmp_path / "empty").mkdir()
        assert "make it with: dimec" in cli(step, tmp_path / "empty").complaint()

    def test_a_command_that_is_advised_can_be_typed(self, run: Path, cli: Cli) -> None:
        spaced = run.rename(run.with_name("a run"))
        assert f"with: dimec train --out '{spaced}x'" in cli("fit", f"{spaced}x").complaint()
        (spaced / "training.json").unlink()
        assert f"with: dimec train --out '{spaced}'" in _complaint(cli, spaced, "fit")

    @pytest.mark.parametrize(
        ("step", "missing", "maker"),
        [
            ("fit", "training.json", "dimec train"),
            ("fit", "trace-validation.safetensors", "dimec train"),
            ("fit", "dynamics/logits.safetensors", "dimec train"),
            ("evaluate", "policy.json", "dimec fit"),
            ("evaluate", "trace-test.safetensors", "dimec train"),
            ("report", "report/ledger.json", "dimec evaluate"),
        ],
    )
    def test_a_step_that_was_left_out_is_named(
        self, run: Path, cli: Cli, step: str, missing: str, maker: str
    ) -> None:
        (run / missing).unlink()
        line = _complaint(cli, run, step)
        assert Path(missing).name in line
        assert maker in line

    @pytest.mark.parametrize("how", ["truncated", "altered"])
    @pytest.mark.parametrize(
        ("step", "name"),
        [
            ("fit", "trace-validation.safetensors"),
            ("fit", "dynamics/logits.safetensors"),
            ("evaluate", "trace-test.safetensors"),
            ("evaluate", "policy.safetensors"),
            ("report", "policy.safetensors"),
        ],
    )
    def test_a_damaged_file_is_refused(
        self, run: Path, cli: Cli, step: str, name: str, how: str
    ) -> None:
        _damage(run / name, how)
        line = _complaint(cli, run, step)
        assert Path(name).name in line
        assert how in line

    @pytest.mark.parametrize(
        ("step", "name", "content"),
        [
            ("fit", "training.json", "{"),
            ("fit", "training.json", "{}"),
            ("evaluate", "training.json", "[1, 2]"),
            ("report", "report/ledger.json", '[{"policy": "all-mobile"}]'),
            ("report", "report/ledger-context.json", "[]"),
        ],
    )
    def test_json_that_was_altered_is_refused(
        self, run: Path, cli: Cli, step: str, name: str, content: str
    ) -> None:
        (run / name).write_text(content)
        assert Path(name).name.split("-")[0].removesuffix(".json") in _complaint(cli, run, step)

    def test_settings_that_were_altered_are_refused(self, run: Path, cli: Cli) -> None:
        settings = (run / "config.toml").read_text()
        other = run.with_name("settings.toml")
        other.write_text(settings)
        for content, word in (
            (settings[:40], "TOML"),
            ("[data]\n", "run/config.toml: data: expected"),
        ):
            (run / "config.toml").write_text(content)
            before = contents(run)
            assert word in cli("train", "--config", other, "--out", run).complaint()
            assert contents(run) == before

    def test_a_trace_of_another_model(
        self, run: Path, tmp_path: Path, tiny_backbone: Path, tiny_reviews: Path, cli: Cli
    ) -> None:
        other = tmp_path / "other"
        source = ["--task", f"csv:{tiny_reviews}", "--backbone", tiny_backbone, "--seed", "1"]
        assert cli("train", *source, *FAST, "--epochs", "2", "--out", other).code == 0
        shutil.copy(other / "trace-validation.safetensors", run)
        shutil.copy(other / "trace-test.safetensors", run)
        shutil.copy(other / "dynamics" / "logits.safetensors", run / "dynamics")
        for step in ("fit", "evaluate"):
            assert "was made by the model" in _complaint(cli, run, step)
        assert cli("fit", other).code == 0
        for name in ("policy.json", "policy.safetensors"):
            shutil.copy(run / name, other)
        assert "was fitted on another model" in _complaint(cli, other, "evaluate")

    def test_probabilities_that_are_nan(self, run: Path, cli: Cli) -> None:
        def spoil(arrays: dict[str, Any]) -> None:
            arrays["probabilities"][3, 1, 0] = np.nan

        _replace(run / "trace-test.safetensors", "trace", spoil)
        _replace(run / "trace-validation.safetensors", "trace", spoil)
        for step in ("fit", "evaluate"):
            assert "probabilities hold values that are not finite" in _complaint(cli, run, step)

    def test_dynamics_that_are_nan(self, run: Path, cli: Cli) -> None:
        def spoil(arrays: dict[str, Any]) -> None:
            arrays["logits"][1, 0, 5] = np.nan

        _replace(run / "dynamics" / "logits.safetensors", "training dynamics", spoil)
        line = _complaint(cli, run, "fit")
        assert "sample 5 in epoch 1 is nan" in line

    def test_a_ledger_older_than_the_router(self, run: Path, cli: Cli) -> None:
        assert cli("fit", run, "--lambda", "0.03").code == 0
        assert "older than the fitted policy" in _complaint(cli, run, "report")

    def test_a_target_that_cannot_be_met(self, run: Path, cli: Cli) -> None:
        def worse(arrays: dict[str, Any]) -> None:
            """The cloud is always right, the mobile and the edge never."""
            right = np.eye(2)[arrays["labels"]]
            tiers = np.stack([1 - right, 1 - right, right], axis=1)
            arrays["probabilities"][:, -3:] = tiers  # behind exit 0

        _replace(run / "trace-validation.safetensors", "trace", worse)
        words = ("--alphas", "0", "--betas", "1")  # every sample is easy
        line = _complaint(cli, run, "fit", "--target-drop", "0", *words)
        assert "no lambda" in line
        assert "the nearest is 100.00 points" in line
