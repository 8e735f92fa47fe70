"""The study of policies that look again takes kept traces, and trains where there are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from dimec.base.errors import DimecError
from dimec_studies.look import tables_of, traces_of
from dimec_studies.plan import Plan
from dimec_studies.runs import Workshop
from dimec_studies.stored import keep
from support.kept import look_plan
from support.plans import workshop_of
from support.written import written_run


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    keep(written_run(tmp_path / "run"), look_plan(), "some", 4, tmp_path / "traces")
    return tmp_path / "traces"


def changed(**values: object) -> Plan:
    return Plan.of(look_plan().model_dump(mode="json", exclude_none=True) | values)


def here(plan: Plan, tmp_path: Path) -> Workshop:
    return workshop_of(plan, tmp_path / "runs")


def test_kept_traces_serve_and_nothing_is_trained(traces: Path, tmp_path: Path) -> None:
    (stored,) = traces_of(here(look_plan(), tmp_path), traces)
    assert stored.name == "some"
    assert not (tmp_path / "runs").exists()
    (again,) = traces_of(here(look_plan(), tmp_path), traces)
    assert again is stored
    dear = changed(costs={"mobile_layer": 3.0})
    (other,) = traces_of(here(dear, tmp_path), traces)
    assert other.deployment.prices == dear.cost_model().for_exits(1, 2, 6)


@pytest.mark.parametrize(
    "values",
    [
        {"seeds": (5,)},
        {"training": {"epochs": 3}},
        {"tasks": {"some": {"task": "csv:x", "max_train_rows": 50}}},
        {"tasks": {"other": {"task": "csv:x"}}},
    ],
)
def test_traces_of_another_training_do_not_serve(
    values: dict[str, object], traces: Path, tmp_path: Path
) -> None:
    """The run is to be trained, and its encoder is not there."""
    with pytest.raises(DimecError, match="tiny"):
        traces_of(here(changed(**values), tmp_path), traces)


def test_the_tables_of_an_item_are_those_of_its_module() -> None:
    made = tables_of({"item": "contained", "tasks": {}})
    assert made == {"look-contained": "", "look-contained-told": ""}
