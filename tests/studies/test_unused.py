"""Training rows that nobody trains on, without their labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dimec.base.errors import ConfigError
from dimec.base.progress import NoProgress
from dimec.data import split_dataset
from dimec.runs.rows import read_dataset
from dimec.settings.run import RunSettings
from dimec_studies.plan import Plan
from dimec_studies.runs import RunSpec, Workshop
from dimec_studies.unused import unused_rows, write_unused
from support.plans import tiny_plan

SPEC = RunSpec("some", "own-unlabelled", 0)


def plan_of(backbone: Path, reviews: Path, unlabelled: int | None) -> Plan:
    values = tiny_plan(backbone, reviews).model_dump(mode="json", exclude_none=True)
    values["tasks"]["some"] |= {"max_train_rows": 120, "unlabelled": unlabelled}
    return Plan.of({**values, "recipes": ["own", "own-unlabelled"]})


@pytest.fixture
def settings(tiny_backbone: Path, tiny_reviews: Path) -> RunSettings:
    return plan_of(tiny_backbone, tiny_reviews, 40).settings("some", "own", 0)


def test_they_are_training_rows_that_the_run_leaves_out(settings: RunSettings) -> None:
    rows = unused_rows(settings, 40)
    whole = split_dataset(read_dataset(settings.data), seed=0)
    sample = split_dataset(read_dataset(settings.data), seed=0, max_train_rows=120)
    assert len(rows) == len(set(rows.guids)) == 40
    assert set(rows.guids) <= set(whole.train.guids) - set(sample.train.guids)
    assert unused_rows(settings, 40).guids == rows.guids


def test_more_than_there_are_is_one_line(settings: RunSettings) -> None:
    with pytest.raises(ConfigError, match=r"1,000 training rows.* has 72 beyond those"):
        unused_rows(settings, 1000)


def test_they_are_written_without_labels(settings: RunSettings, tmp_path: Path) -> None:
    path = tmp_path / "runs" / "texts.jsonl"
    write_unused(path, settings, 5)
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert rows == [{"text": text} for text in unused_rows(settings, 5).texts]


def test_a_workshop_has_them_beside_its_runs(
    tiny_backbone: Path, tiny_reviews: Path, tmp_path: Path
) -> None:
    plan = plan_of(tiny_backbone, tiny_reviews, 40)
    workshop = Workshop(plan, tmp_path, None, 1, NoProgress())
    how = workshop.settings(SPEC).distillation
    assert how.unlabelled == str((tmp_path / "some-40-unlabelled.jsonl").resolve())
    assert how.gain is False
    # Wherever the runs lie, the plan's own settings are the same.
    assert plan.settings("some", "own-unlabelled", 0).distillation.unlabelled == (
        "some-40-unlabelled.jsonl"
    )
    assert plan.settings("some", "own", 0).distillation.unlabelled is None
    assert plan.settings("some", "own-twice", 0).distillation.rounds == 2


def test_a_task_without_a_number_of_them_is_refused(
    tiny_backbone: Path, tiny_reviews: Path
) -> None:
    with pytest.raises(ConfigError, match=r"tasks\.some: .*needs a number of rows"):
        plan_of(tiny_backbone, tiny_reviews, None).settings("some", "own-unlabelled", 0)
