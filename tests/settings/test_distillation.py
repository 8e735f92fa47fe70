"""Settings of distillation: those that a recipe ignores are refused, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from dimec.base.errors import ConfigError
from dimec.runs.train import settings_of
from dimec.settings.distillation import DistillationSettings

# A value that is not the default, for every setting.
OTHERS: dict[str, Any] = {
    "label_weight": 0.5,
    "teacher_weight": 0.5,
    "temperature": 3.0,
    "hidden_weight": 1.0,
    "gatekeeper_weight": 1.0,
    "student_epochs": 3,
    "student_learning_rate": 1e-4,
    "start": "teacher",
    "rounds": 2,
    "unlabelled": "more.txt",
    "gain": False,
    "cross_fit": 2,
    "self_distillation": 1.0,
}
TEMPERED = {"temperature": 3.0, "self_distillation": 1.0}
QUIET = {"gain": False, "unlabelled": "more.txt"}


def _refused(**values: Any) -> str | None:
    try:
        settings_of({"task": "csv:x", **values}, 0)
    except ConfigError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", DistillationSettings.model_fields)
def test_every_setting_is_refused_by_the_recipes_that_ignore_it(name: str) -> None:
    heeded = {"joint": {"cross_fit", "self_distillation"}, "two-stage": {"cross_fit"}}
    heeded["own"] = set(OTHERS) - {"self_distillation", "gain"}
    for recipe, names in heeded.items():
        line = _refused(recipe=recipe, **{name: OTHERS[name]})
        if name in names:
            assert line is None
        else:
            assert line is not None
            assert line.startswith(f"{name} does nothing")


@pytest.mark.parametrize(
    ("recipe", "values", "named"),
    [
        ("joint", TEMPERED, None),
        ("two-stage", TEMPERED, "self_distillation"),
        ("own", QUIET, None),
        ("own", {"temperature": 3.0, "teacher_weight": 0.0}, "temperature"),
        ("own", {"unlabelled": "more.txt", "teacher_weight": 0.0}, "unlabelled"),
        ("own", {"unlabelled": "m", "teacher_weight": 0.0, "hidden_weight": 1.0}, None),
    ],
)
def test_some_need_another(recipe: str, values: dict[str, Any], named: str | None) -> None:
    line = _refused(recipe=recipe, **values)
    assert (line is None) if named is None else f"{named} does nothing" in str(line)
