"""The measurement of exit 0 by itself, on a few rows, and what is stored of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from dimec_studies.exit0 import BACKBONE, TASKS, alone

STORED = Path(__file__).resolve().parents[2] / "results" / "exit0" / "alone.json"


def test_every_method_is_scored_on_rows_that_none_was_fitted_on(tiny_reviews: Path) -> None:
    made = alone((f"csv:{tiny_reviews}",), None)
    (row,) = made["rows"]
    assert row["train_rows"] + row["test_rows"] <= 240
    methods = row["methods"]
    assert list(methods) == list(json.loads(STORED.read_text("utf-8"))["rows"][0]["methods"])
    guess = methods["most frequent class"]["accuracy"]
    assert 0.4 < guess < 0.6
    for name in ("tokens", "tokens and neighbours", "exit 0", "embedding, linear"):
        assert methods[name]["accuracy"] > guess + 0.2, name


def test_what_is_stored_is_of_all_tasks() -> None:
    text = STORED.read_text("utf-8")
    stored = json.loads(text)
    assert [row["task"] for row in stored["rows"]] == list(TASKS)
    assert stored["backbone"] == BACKBONE
    assert stored["date"]
    assert {"dimec", "torch", "numpy"} <= stored["versions"].keys()
    assert not re.search(r'"(/(?:work|home|root|tmp|Users)/)', text)
