"""The card of traces: read as it was written, and damage named in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dimec.base.errors import CorruptArtefactError, MissingArtefactError
from dimec.traces.card import FILE, Card, CardTier, exit_name
from support.collected import small_card

OWN = small_card(
    backbone={"phone": "small", "cloud": "large"},
    exits=(0, 2, 4),
    tiers=(
        CardTier(name="phone", layer=2, source="phone"),
        CardTier(name="cloud", layer=4, source="cloud", price=(1, 2.5, 0), sent="text"),
    ),
    shapes={},
    test_accuracy={"phone:0": 0.5, "phone:2": 0.6, "cloud:4": 0.7},
    settings={"model": {"tiers": [2, 4]}},
    own={"phone": {"epochs": 3}},
)


@pytest.mark.parametrize("card", [small_card(), OWN], ids=["one model", "own models"])
def test_it_is_read_as_it_was_written(card: Card, tmp_path: Path) -> None:
    card.save(tmp_path)
    assert Card.load(tmp_path, "x") == card
    assert json.loads((tmp_path / FILE).read_text("utf-8"))["version"] == 1


def test_exits_are_named_as_a_reader_names_them() -> None:
    assert [exit_name(tier.layer, tier.source) for tier in OWN.tiers] == ["phone:2", "cloud:4"]
    assert exit_name(0) == "0"


def test_none_is_told_with_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(MissingArtefactError, match=r"card\.json does not exist.*: some command"):
        Card.load(tmp_path, "some command")


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"version": 2}, "version"),
        ({"seed": "many"}, "seed: "),
        ({"tiers": []}, "tiers"),
        ({"tiers": [{"name": "a", "layer": -1}]}, "tiers.0.layer"),
        ({"tiers": [{"name": "a", "layer": 6, "sent": "pictures"}]}, "tiers.0.sent"),
        ({"shapes": {"": {"width": 0, "intermediate": 4}}}, "shapes..width"),
        ({"colour": "red"}, "colour"),
        ({"model": None}, "model"),
        ({"rows": {"train": 3, "test": 4}}, "rows: nothing of validation"),
        ({"test_accuracy": {"2": 0.5}}, "test_accuracy: no exit 4; test_accuracy: no exit 6"),
    ],
)
def test_damage_is_named_in_one_line(changes: dict[str, Any], wrong: str, tmp_path: Path) -> None:
    small_card().save(tmp_path)
    path = tmp_path / FILE
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes))
    with pytest.raises(CorruptArtefactError) as told:
        Card.load(tmp_path, "some command")
    line = str(told.value)
    assert f"{path} is no card of traces (" in line
    assert wrong in line
    assert line.endswith("make it again with: some command")
    assert "\n" not in line


@pytest.mark.parametrize("content", [b"[]", b"null", b'"x"', b"{}", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_card_at_all_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(CorruptArtefactError) as told:
        Card.load(tmp_path, "some command")
    assert len(str(told.value)) < 700 + len(str(tmp_path))
