"""What runs before a commit is what ``make lint`` runs."""

from __future__ import annotations

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


def test_the_hook_is_make_lint_over_the_whole_tree() -> None:
    configured = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    (repository,) = configured["repos"]
    (hook,) = repository["hooks"]
    assert (repository["repo"], hook["language"]) == ("local", "system")
    assert hook["entry"] == "make lint"
    assert hook["pass_filenames"] is False
    assert "lint: setup" in (ROOT / "Makefile").read_text("utf-8")
