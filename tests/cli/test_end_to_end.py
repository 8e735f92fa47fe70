"""The command line from end to end on real snippets with the real encoder."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dimec as library
from dimec.data import load_task
from support.tiny import FAST, Said, write_reviews
from support.warm import warm_dimec

POLICIES = [
    "all-mobile",
    "all-edge",
    "all-cloud",
    "random",
    "dimec-fixed",
    "random@dimec-fixed",
    "dimec-adaptive",
    "random@dimec-adaptive",
    "oracle",
]
KEYS = {"policy", "accuracy", "metric", "drop", "cost", "reduction"}
KEYS |= {"share_mobile", "share_edge", "share_cloud"}
REAL = ["--backbone", "minilm-l6", "--exits", "2,3,6", "--epochs", "2", "--max-tokens", "48"]
REAL += ["--learning-rate", "2e-4", "--label-column", "sentiment"]


class RealRun:
    """A run on 300 real snippets, and what each command printed with ``--json``."""

    def __init__(self, folder: Path) -> None:
        movies = load_task("vader/movies")
        rows = np.sort(np.random.default_rng(0).permutation(len(movies))[:300])
        snippets = [(movies.texts[i], movies.label_names[movies.labels[i]]) for i in rows]
        table = write_reviews(folder / "snippets.csv", snippets, ("text", "sentiment"))
        self.path = folder / "runs" / "real"
        self.task = f"csv:{table}"
        train = ["train", "--task", self.task, *REAL, "--out", self.path]
        self.commands: dict[str, list[Any]] = {
            "train": train,
            "fit": ["fit", self.path, "--lambda", "0.02"],
            "evaluate": ["evaluate", self.path, "--draws", "200"],
            "report": ["report", self.path],
        }
        self.said = {name: warm_dimec(*words, "--json") for name, words in self.commands.items()}
        self.json: Mapping[str, Any] = {
            name: json.loads(said.out) for name, said in self.said.items()
        }


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> RealRun:
    return RealRun(tmp_path_factory.mktemp("real"))


class TestTheRealRun:
    def test_every_command_succeeds_and_prints_nothing_but_json(self, real: RealRun) -> None:
        for name, said in real.said.items():
            assert said.code == 0, (name, said.err)
            assert "Traceback" not in said.err

    def test_training_says_what_it_did(self, real: RealRun) -> None:
        record = real.json["train"]
        assert record["run"] == str(real.path)
        assert record["exits"] == record["tiers"] == [2, 3, 6]
        assert sum(record["rows"].values()) == 300
        assert len(record["history"]) == 2
        # Two epochs over 240 snippets with a pretrained encoder: better than a coin.
        assert record["history"][record["best_epoch"]]["accuracy"][-1] > 0.6

    def test_fitting_says_which_thresholds_and_pools(self, real: RealRun) -> None:
        fit = real.json["fit"]
        assert fit["lam"] == 0.02
        assert sum(fit["pools"]) == real.json["train"]["rows"]["validation"]
        stored = json.loads((real.path / "fit.json").read_text())
        for key, value in fit.items():
            assert stored[key] == value

    def test_the_ledger_is_the_documented_one(self, real: RealRun) -> None:
        rows = json.loads((real.path / "report" / "ledger.json").read_text())
        assert rows == real.json["evaluate"]
        assert [row["policy"] for row in rows] == POLICIES
        by_name = {row["policy"]: row for row in rows}
        for row in rows:
            assert row.keys() >= KEYS
            shares = [row[f"share_{tier}"] for tier in ("mobile", "edge", "cloud")]
            assert sum(shares) == pytest.approx(1)
            assert 0 <= row["accuracy"] <= 1
            assert -1 <= row["drop"] <= 1
        cloud = by_name["all-cloud"]
        assert (cloud["drop"], cloud["reduction"], cloud["share_cloud"]) == (0, 0, 1)
        # The paper's prices at exits 2, 3 and 6: 1.5·2, 1·3 + 2.5, and 1.5·6 in the cloud.
        prices = [by_name[f"all-{tier}"]["cost"] for tier in ("mobile", "edge", "cloud")]
        assert prices == pytest.approx([3.0, 5.5, 9.0])
        assert by_name["all-mobile"]["reduction"] == pytest.approx(2 / 3)
        assert by_name["oracle"]["accuracy"] == max(row["accuracy"] for row in rows)
        for router in ("dimec-fixed", "dimec-adaptive"):
            assert by_name[f"random@{router}"]["cost"] == pytest.approx(by_name[router]["cost"])

    def test_the_page_holds_the_table_and_the_figures(self, real: RealRun) -> None:
        page = Path(real.json["report"]["report"])
        assert page == real.path / "report" / "report.html"
        html = page.read_text("utf-8")
        for policy in POLICIES:
            assert policy in html
        assert html.count("<svg") >= len(real.json["report"]["figures"]) >= 5
        for figure in map(Path, real.json["report"]["figures"]):
            assert figure.exists()
            assert figure.with_suffix(".csv").read_text("utf-8").count("\n") > 1

    def test_without_json_each_prints_a_result_and_what_comes_next(
        self, real: RealRun, cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "200")
        expected = {
            "train": ["exit 6: validation accuracy", f"next: dimec fit {real.path}"],
            "fit": ["alpha", "pools:", f"next: dimec evaluate {real.path}"],
            "evaluate": [
                "random@dimec-fixed",
                "Saving at a drop of",
                f"next: dimec report {real.path}",
            ],
            "report": ["oracle", f"report: {real.path / 'report' / 'report.html'}"],
        }
        for name, words in expected.items():
            said = cli(*real.commands[name])
            assert said.code == 0, said.err
            for word in words:
                assert word in said.out
        assert "is trained already" in cli(*real.commands["train"]).err

    def test_ten_lines_of_python_give_the_same_ledger(self, real: RealRun) -> None:
        run = library.train(
            task=real.task,
            label_column="sentiment",
            exits=(2, 3, 6),
            epochs=2,
            max_tokens=48,
            learning_rate=2e-4,
            out=real.path,
        )
        run.fit(lam=0.02)
        ledger = run.evaluate(draws=200)
        assert ledger.to_dicts() == real.json["evaluate"]


def test_the_command_line_trains_as_the_library_does(
    tmp_path: Path,
    finished_run: Path,
    tiny_backbone: Path,
    tiny_reviews: Path,
    cli: Callable[..., Said],
) -> None:
    out = tmp_path / "run"
    source = ["--task", f"csv:{tiny_reviews}", "--backbone", tiny_backbone]
    assert cli("train", *source, *FAST, "--epochs", "3", "--out", out).code == 0
    assert cli("fit", out).code == 0
    said = cli("evaluate", out, "--draws", "50", "--json")
    assert json.loads(said.out) == json.loads((finished_run / "report/ledger.json").read_text())


_HELP = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "transformers", "accelerate", "numpy", "matplotlib"}:
            raise ImportError(f"{name} is imported to show a help page")
sys.meta_path.insert(0, Blocker())
from dimec.cli import main
for command in ([], ["train"], ["fit"], ["evaluate"], ["report"], ["demo"]):
    sys.argv = ["dimec", *command, "--help"]
    try:
        main()
    except SystemExit as stop:
        assert stop.code == 0, command
sys.argv = ["dimec", "--version"]
main()
"""


def test_every_help_page_shows_without_a_heavy_import() -> None:
    import subprocess

    from support.tiny import environment

    command = [sys.executable, "-c", _HELP]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env=environment()
    )
    assert done.returncode == 0, done.stderr
    for word in ("--task", "--exits", "--grid", "--lambda", "--target-drop", "--draws", "--out"):
        assert word in done.stdout
    for command_name in ("train", "fit", "evaluate", "report", "demo"):
        assert f"dimec {command_name} " in done.stdout
    assert done.stdout.splitlines()[-1] == f"dimec {library.__version__}"


class TestConfigFile:
    def test_options_lie_over_the_file(
        self, run_copy: Callable[..., Path], tmp_path: Path, cli: Callable[..., Said]
    ) -> None:
        settings = shutil.copy(run_copy() / "config.toml", tmp_path / "settings.toml")
        out = tmp_path / "other"
        words = ["--epochs", "2", "--seed", "7", "--loss-weights", "1,1,2", "--patience", "4"]
        said = cli("train", "--config", settings, *words, "--out", out, "--json")
        assert said.code == 0, said.err
        record = json.loads(said.out)
        assert (record["seed"], len(record["history"])) == (7, 2)
        assert record["exits"] == [1, 2, 4]
        assert "loss_weights = [" in (out / "config.toml").read_text()

    def test_a_file_that_is_missing_or_no_toml_is_refused(
        self, tmp_path: Path, cli: Callable[..., Said]
    ) -> None:
        settings = tmp_path / "settings.toml"
        assert "does not exist" in cli("train", "--config", settings, "--out", "x").complaint()
        settings.write_text("seed = = 1")
        assert "not valid TOML" in cli("train", "--config", settings, "--out", "x").complaint()
        settings.write_text('[data]\ntask = "vader/movies"\ncolour = "red"\n')
        line = cli("train", "--config", settings, "--out", "x").complaint()
        assert "data.colour" in line
