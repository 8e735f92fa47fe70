"""``dimec reproduce``, as a user runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w
import typer

from dimec.cli.idle import Given, refuse_idle
from dimec_studies.command import StudyCommand, app
from dimec_studies.plan import PROFILES, Plan
from support.plans import tiny_plan
from support.tiny import Said


@pytest.fixture(scope="module")
def profile(
    tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path, tiny_reviews: Path
) -> Path:
    path = tmp_path_factory.mktemp("profiles") / "mine.toml"
    plan = tiny_plan(tiny_backbone, tiny_reviews, seeds=(0,))
    path.write_text(tomli_w.dumps(plan.model_dump(mode="json", exclude_none=True)), "utf-8")
    return path


def test_a_profile_of_ones_own_makes_results_and_a_page(
    cli: Callable[..., Said], profile: Path, tmp_path: Path
) -> None:
    where: list[object] = ["--results", tmp_path / "results", "--docs", tmp_path / "docs"]
    trained = ["--out", tmp_path / "runs", "--profile", profile]
    said = cli("reproduce", "fig1", "fig5", *where, *trained, "--json")
    assert said.code == 0, said.err
    paths = [Path(path) for path in json.loads(said.out)]
    results = tmp_path / "results" / "studies" / "tiny"
    assert paths[:2] == [results / f"{item}.json" for item in ("fig1", "fig5")]
    page = tmp_path / "docs" / "reproduction.md"
    assert page in paths
    assert "tiny" in page.read_text("utf-8")
    assert "stored" in said.err
    # Again: nothing is trained, and the page comes out the same to the byte.
    before = page.read_bytes()
    again = cli("reproduce", "docs", *where)
    assert again.code == 0, again.err
    assert page.read_bytes() == before
    assert "epoch" not in again.err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["table3"], "no item is named 'table3'; there are table1"),
        (["fig1", "--profile", "huge"], "no study profile 'huge'; give one of small, deep, base"),
        (["fig1", "--seeds", "a"], "--seeds: expected numbers such as 0,1,2, got 'a'"),
        (["fig1", "--tasks", "rte"], "no task 'rte'; it has sst2, cola"),
        (["fig1", "--tiers", "2,3"], "model.tiers"),
        (["fig1", "--workers", "0"], "--workers: expected at least 1, got 0"),
    ],
)
def test_a_wrong_argument_is_one_line_and_leaves_nothing(
    cli: Callable[..., Said],
    arguments: list[str],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    said = cli("reproduce", *arguments)
    assert said.code == 2
    assert complaint in said.err
    assert "Traceback" not in said.err
    assert list(tmp_path.iterdir()) == []


OPTIONS = {
    "--profile": "base",
    "--out": "x",
    "--data-dir": "x",
    "--tasks": "sst2",
    "--seeds": "1",
    "--backbone": "x",
    "--tiers": "1,2,3",
    "--max-train-rows": "9",
    "--epochs": "3",
    "--workers": "2",
}


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_of_runs_does_nothing_for_the_docs_alone(
    cli: Callable[..., Said], option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = cli("reproduce", "docs", option, OPTIONS[option]).complaint()
    assert line.startswith(f"{option} does nothing with docs alone")
    assert list(tmp_path.iterdir()) == []


def test_nor_for_the_simulations(cli: Callable[..., Said]) -> None:
    line = cli("reproduce", "contract", "--seeds", "1").complaint()
    assert line.startswith(
        "--seeds does nothing with docs alone, or contract or fleet, for which nothing"
    )


def test_a_profile_beside_names_of_whole_profiles_does_nothing(cli: Callable[..., Said]) -> None:
    line = cli("reproduce", "movies", "demo", "--profile", "base").complaint()
    assert line.startswith("--profile does nothing beside names of study profiles alone")


def test_beside_docs_an_item_makes_use_of_them() -> None:
    given = Given(frozenset({"seeds"}), {"names": ["docs", "fig1"]}, {})
    refuse_idle("reproduce", given, StudyCommand.idle)


def test_the_rule_is_about_options_that_there_are() -> None:
    names = {param.name for param in typer.main.get_command(app).params}
    for rule in StudyCommand.idle:
        assert names >= set(rule.options)
    assert len(StudyCommand.idle[0].options) == len(OPTIONS)


def test_help_teaches(cli: Callable[..., Said]) -> None:
    said = cli("reproduce", "--help")
    assert said.code == 0
    for word in ("table1", "robustness", "--profile", "goes on from there"):
        assert word in said.out
    told = " ".join(said.out.replace("│", " ").split())
    for name in PROFILES:
        about = Plan.load(name).about
        assert about
        assert f"{name} ({about})" in told
