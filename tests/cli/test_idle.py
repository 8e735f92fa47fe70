"""Options that would do nothing: for each, what makes it idle, and what makes it work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from dimec.base.errors import ConfigError
from dimec.cli import app
from dimec.cli.command import Command
from dimec.cli.idle import RULES, Given, Idle, refuse_idle
from support.tiny import Said

TABLE = (
    ("fit RUN --lambda 0.1 --target-drop 1", "--lambda", "--target-drop"),
    ("fit RUN --grid paper --betas 0.1", "--grid", "--betas"),
    ("fit RUN --grid paper --alphas 0.6 --betas 0.1", "--grid", "--betas"),
    ("fit RUN --policy deebert --target-drop 1", "--target-drop", "--policy"),
    ("fit RUN --policy deebert --grid paper", "--grid", "--policy"),
    ("fit RUN --policy deebert --alphas 0.6", "--alphas", "--policy"),
    ("fit RUN --policy deebert --betas 0.1", "--betas", "--policy"),
    ("fit RUN --set threshold=0.5", "--set", "--policy"),
    ("fit RUN --policy dimec --set threshold=0.5", "--set", "--policy"),
    ("fit RUN --max-accuracy-drop 1 --lambda 0.1", "--lambda", "contract"),
    ("fit RUN --max-cost 5 --policy deebert --set threshold=1", "--set", "contract"),
    ("fit RUN --max-disagreement 1 --grid paper", "--grid", "contract"),
    ("fit RUN --confidence 0.9", "--confidence", "--max-accuracy-drop"),
    ("fit RUN --bound exact", "--bound", "--max-accuracy-drop"),
    ("fit RUN --max-cost 5 --bound exact", "--bound", "--max-cost"),
    ("fit RUN --calibration-text x", "--calibration-text", "--max-disagreement"),
    ("fit RUN --calibration-labels x --lambda 1", "--calibration-labels", "--max-cost"),
    ("evaluate RUN --scenario phone-4g --json", "--scenario", "--json"),
    ("train --task csv:x --out y --grid --batch-size 8", "--batch-size", "--grid"),
    ("train --task csv:x --out y --grid --learning-rate 1e-5", "--learning-rate", "--grid"),
    ("train --task csv:x --out y --exit-learning-rate 1e-3", "--exit-learning-rate", "two-stage"),
    ("train --task csv:x --out y --loss depth --loss-weights 1,1", "--loss-weights", "depth"),
    ("train --task csv:x --out y --recipe two-stage --loss depth", "two-stage", "loss"),
    ("train --task csv:x --out y --student-epochs 3", "--student-epochs", "--tier"),
    ("train --task csv:x --out y --no-gain", "--no-gain", "--tier"),
    ("train --task csv:x --out y --recipe own --no-gain", "--no-gain", "--unlabelled"),
    ("train --task csv:x --out y --temperature 3", "--temperature", "--self-distillation"),
    ("train --task vader/movies --out y --label-column x", "--label-column", "vader/movies"),
    ("train --task vader/movies --out y --data-dir x", "--data-dir", "vader/movies"),
    ("export RUN y --triton-backend python", "--triton-backend", "--triton"),
    ("export RUN y --triton-instances 2", "--triton-instances", "--triton"),
    ("export RUN y --force", "--force", "--int8"),
    ("score x --run RUN --out y --force", "--force", "--precision int8"),
    ("export RUN y --web-tier cloud=https://x.test", "--web-tier", "--web"),
    ("up BUNDLE --web --state x", "--state", "--web"),
    ("up BUNDLE --web --timeout 2", "--timeout", "--web"),
    ("up BUNDLE --web --fallback cost", "--fallback", "--web"),
    ("up BUNDLE --web --adaptive", "--adaptive", "--web"),
    ("up BUNDLE --port 8080", "--port", "--web"),
    ("up BUNDLE --open", "--open", "--web"),
    ("simulate --example --out x", "--out", "--example"),
    ("simulate --example --json", "--json", "--example"),
    ("serve BUNDLE/edge --ray-address auto", "--ray-address", "--ray, a cluster"),
    ("serve BUNDLE/edge --min-replicas 2", "--min-replicas", "--ray, a cluster"),
    ("serve BUNDLE/edge --max-replicas 2", "--max-replicas", "--ray, a cluster"),
    ("serve BUNDLE/edge --target-requests 2", "--target-requests", "--ray, a cluster"),
    ("serve BUNDLE/edge --upscale-delay 2", "--upscale-delay", "--ray, a cluster"),
    ("serve BUNDLE/edge --downscale-delay 2", "--downscale-delay", "--ray, a cluster"),
    ("serve BUNDLE/edge --replica-cpus 2", "--replica-cpus", "--ray, a cluster"),
    ("serve BUNDLE/edge --ray --workers 2", "--workers", "--ray, whose replicas"),
    ("serve BUNDLE/edge --ray --no-pin", "--no-pin", "--ray, whose replicas"),
    ("map select RUN --by easy --seed 1", "--seed", "--by random"),
    ("bottleneck RUN --tail-learning-rate 0.1", "--tail-learning-rate", "--train-tail"),
    ("compress RUN --method heads --epochs 2", "--epochs", "--method magnitude"),
    ("compress RUN --method int8 --max-train-rows 9", "--max-train-rows", "--method magnitude"),
    ("compress RUN --method int8 --sparsity 0.5", "--sparsity", "--method magnitude or heads"),
    ("compress RUN --method magnitude --rows 9", "--rows", "--method heads"),
    ("compress RUN --method heads --student x", "--student", "--method student"),
    ("trace record RUN --task vader/tweets --seed 1", "--seed", "--limit"),
    ("trace record RUN --task vader/tweets --engine torch --workers 2", "--workers", "torch"),
    ("trace record RUN --task vader/tweets --text-column x", "--text-column", "vader/tweets"),
    ("trace import x.csv --out y --validation z --seed 1", "--seed", "--validation"),
    ("trace import x.csv --out y --split-column z --validation-share 1", "share", "--split-column"),
    ("predict BUNDLE text --timeout 2", "--timeout", "--tier, --edge or --cloud"),
    ("predict BUNDLE text --fallback cost", "--fallback", "--edge or --cloud"),
    ("predict BUNDLE text --token-file x", "--token-file", "--edge or --cloud"),
    ("predict BUNDLE text --ca x", "--ca", "--edge or --cloud"),
    ("predict BUNDLE text --insecure", "--insecure", "--edge or --cloud"),
    ("predict BUNDLE text --edge http://localhost:1 --ca x", "--ca", "https://"),
    ("predict BUNDLE text --edge http://localhost:1 --insecure", "--insecure", "--token-file"),
    ("predict BUNDLE text --audit-bound 1", "--audit-bound", "--audit, the share"),
    ("predict BUNDLE --input x --output y --json", "--json", "--output"),
)


@pytest.mark.parametrize(("words", "idle", "other"), TABLE, ids=[row[0] for row in TABLE])
def test_an_option_that_would_do_nothing_is_an_error_that_names_both(
    cli: Callable[..., Said],
    finished_run: Path,
    tiny_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    idle: str,
    other: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DIMEC_TOKEN", raising=False)
    places = {"RUN": str(finished_run), "BUNDLE": str(tiny_bundle)}
    places["BUNDLE/edge"] = str(tiny_bundle / "edge")
    line = cli(*[places.get(word, word) for word in words.split()]).complaint()
    assert idle in line
    assert other in line
    assert len(line) < 300
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "typed", "values"),
    [
        ("fit", ("grid", "alphas"), {}),  # it chooses the values of β
        ("fit", ("policy", "settings"), {"policy": "deebert"}),
        ("fit", ("policy", "alphas"), {"policy": "dimec"}),
        ("export", ("triton_backend", "triton"), {"triton": Path("x")}),
        ("export", ("force", "int8"), {"int8": "all"}),
        ("export", ("web_tier", "web"), {"web": Path("x")}),
        ("up", ("web", "port", "open_page", "log"), {"web": True}),
        ("up", ("state", "timeout"), {"web": False}),
        ("serve", ("on_ray", "ray_address", "max_replicas"), {"on_ray": True}),
        ("serve", ("workers",), {"on_ray": False}),
        ("map select", ("seed",), {"by": "random"}),
        ("bottleneck", ("tail_learning_rate", "train_tail"), {"train_tail": True}),
        ("compress", ("sparsity", "seed"), {"method": "heads"}),
        ("compress", ("epochs", "batch_size"), {"method": "magnitude"}),
        ("trace import", ("seed", "validation_share"), {}),
        ("trace record", ("seed",), {"rows": "test", "limit": None}),
        ("trace record", ("seed",), {"rows": "all", "limit": 3}),
        ("trace record", ("workers",), {"engine": None}),
        ("predict", ("timeout", "ca"), {"edge": None, "tier": None, "cloud": "https://far.test"}),
        (
            "predict",
            ("insecure",),
            {"edge": "http://x", "cloud": None, "tier": None, "token_file": Path("x")},
        ),
    ],
)
def test_the_same_options_work_where_they_do_something(
    command: str, typed: tuple[str, ...], values: dict[str, object]
) -> None:
    refuse_idle(command, Given(frozenset(typed), values, {}))


def test_a_token_of_the_environment_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"edge": "http://x", "cloud": None, "tier": None, "token_file": None}
    given = Given(frozenset({"insecure"}), values, {"insecure": "--insecure"})
    monkeypatch.setenv("DIMEC_TOKEN", "t0ken")
    refuse_idle("predict", given)
    monkeypatch.delenv("DIMEC_TOKEN")
    with pytest.raises(ConfigError, match="--insecure does nothing without a token"):
        refuse_idle("predict", given)


def test_commands_of_one_name_in_two_groups_have_rules_of_their_own(
    cli: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def complaint(command: str) -> str:
        rule = Idle(command, ("embeddings",), lambda given: True, f"says {command}")
        monkeypatch.setattr(Command, "idle", (rule,))
        out = str(tmp_path / "out.parquet")
        return cli("trace", "export", tmp_path / "none", out, "--no-embeddings").complaint()

    assert complaint("trace export") == "--no-embeddings does nothing says trace export"
    assert "does nothing" not in complaint("export")


def _commands(group: Any, *path: str) -> Iterator[tuple[str, Any]]:
    """Every command by its whole path."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, *path, name)
        else:
            yield " ".join((*path, name)), command


def test_every_rule_is_about_options_that_there_are() -> None:
    commands = dict(_commands(typer.main.get_command(app)))
    for rule in RULES:
        commands[rule.command].complete()
        names = {param.name for param in commands[rule.command].params}
        assert names >= set(rule.options), rule
