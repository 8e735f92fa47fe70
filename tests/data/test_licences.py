"""Every named task says under what terms its texts are."""

from __future__ import annotations

import pytest

from dimec.data.glue import TASKS
from dimec.data.licences import OWN, licence_of
from dimec.traces.collection import CHECKOUT, Collection


@pytest.mark.parametrize("name", TASKS)
def test_each_glue_task_has_its_terms(name: str) -> None:
    told = licence_of(f"glue/{name}")
    assert told != OWN
    assert any(character.isdigit() for character in told)  # the year of its source


@pytest.mark.parametrize(
    "task", ["csv:reviews.csv", "csv:glue/sst2", "glue/none", "sst2", "", "glue", "in memory"]
)
def test_of_rows_of_ones_own_nobody_else_knows(task: str) -> None:
    assert licence_of(task) == OWN


def test_cards_say_what_the_table_says() -> None:
    collection = Collection.open(CHECKOUT)
    for card in (collection.entry(name).card for name in collection.names()):
        assert card.licence == licence_of(card.task)
        assert card.licence != OWN
