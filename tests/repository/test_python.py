"""The Python of README.md and of docs/howto/policy.md runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import dimec
from support.shared import made_once
from support.tiny import make_backbone, reviews, write_reviews

ROOT = Path(__file__).resolve().parents[2]
QUICK: dict[str, Any] = {"epochs": 2, "learning_rate": 3e-3, "max_tokens": 32, "precision": "fp32"}


def code_of(page: str) -> str:
    """The one block of Python in a page."""
    text = (ROOT / page).read_text("utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert isinstance(code, str)
    return code


@pytest.mark.parametrize("page", ["README.md", "docs/howto/policy.md"])
def test_ten_lines_are_no_more(page: str) -> None:
    assert len([line for line in code_of(page).splitlines() if line]) <= 10


def test_the_readme_trains_saves_and_answers(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With a tiny encoder of as many layers, and without a cloud: the mobile answers alone."""
    encoder = made_once(tmp_path_factory, "six layers", lambda path: make_backbone(path, layers=6))
    train = dimec.train

    def quickly(**given: Any) -> Any:
        assert given.pop("backbone") == "minilm-l6"
        return train(**given, backbone=str(encoder), **QUICK)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(dimec, "train", quickly)
    write_reviews(tmp_path / "reviews.csv", reviews(240))
    names: dict[str, Any] = {}
    exec(compile(code_of("README.md"), "README.md", "exec"), names)
    said = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"saves -?[\d.]+%, loses -?[\d.]+ points of accuracy", said[-2])
    prediction = names["prediction"]
    assert said[-1] == f"{prediction.label} {prediction.answered_by} {prediction.cost}"
    assert prediction.label in ("positive", "negative")


def test_the_policy_has_its_row(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code_of("docs/howto/policy.md"), "docs/howto/policy.md", "exec"), {})
    (row,) = re.findall(
        r"^step-up +[\d.]+ +[\d.]+ +[\d.]+ .* ([\d.]+) +[\d.]+ to",
        capsys.readouterr().out,
        re.MULTILINE,
    )
    assert 0 < float(row) < 100  # percent of the cost
