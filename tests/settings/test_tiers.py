"""Tiers with a model each, as they are typed and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dimec.base.errors import ConfigError
from dimec.runs.train import settings_of
from dimec.settings.run import RunSettings
from dimec.settings.tiers import own_tiers_of

PHONE = {"name": "phone", "model": "minilm-l6", "layer": 2}
CLOUD = {"name": "cloud", "model": "mpnet-base"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("phone=minilm-l6:2", PHONE),
        ("cloud=mpnet-base", CLOUD),
        (" edge = ./models/mine : 3 ", {"name": "edge", "model": "./models/mine", "layer": 3}),
        ("cloud=hf:some/name", {"name": "cloud", "model": "hf:some/name"}),
        ("cloud=hf:7", {"name": "cloud", "model": "hf:7"}),
        ("edge=C:folder", {"name": "edge", "model": "C:folder"}),
    ],
)
def test_a_tier_as_it_is_typed(text: str, expected: dict[str, Any]) -> None:
    assert own_tiers_of("--tier", text) == (expected,)


@pytest.mark.parametrize("text", ["phone", "phone=", "=minilm-l6:2", "cloud=hf:", ""])
def test_another_form_says_what_was_expected(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--tier: expected NAME=ENCODER:LAYERS, .* got"):
        own_tiers_of("--tier", text)


def _settings(*tiers: dict[str, Any], **more: Any) -> RunSettings:
    return settings_of({"task": "vader/movies", "tier": tiers, **more}, 0)


def test_tiers_mean_the_recipe_and_the_first_one_s_encoder() -> None:
    settings = _settings(PHONE, CLOUD)
    assert settings.training.recipe == "own"
    assert settings.model.backbone == "minilm-l6"
    assert [tier.name for tier in settings.tier] == ["phone", "cloud"]


def test_they_are_kept_as_tables_and_come_back(tmp_path: Path) -> None:
    settings = _settings(PHONE, CLOUD, epochs=3)
    settings.save(tmp_path / "config.toml")
    again = RunSettings.load(tmp_path / "config.toml")
    assert again == settings
    assert again.differences(settings) == []
    assert (
        "[[tiers]]" in (tmp_path / "config.toml").read_text()
        or "tiers = [" in (tmp_path / "config.toml").read_text()
    )


def test_a_file_of_tables(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        '[data]\ntask = "vader/movies"\n'
        '[[tiers]]\nname = "phone"\nmodel = "minilm-l6"\nlayer = 2\n'
        '[[tiers]]\nname = "cloud"\nmodel = "mpnet-base"\n'
    )
    assert RunSettings.load(path) == _settings(PHONE, CLOUD)


def test_one_more_tier_is_a_difference() -> None:
    differences = _settings(PHONE, CLOUD).differences(
        _settings(PHONE, CLOUD, {"name": "dc", "model": "x"})
    )
    assert len(differences) == 1
    assert "dc" in differences[0]


@pytest.mark.parametrize(
    ("tiers", "more", "word"),
    [
        ((PHONE,), {}, "expected two tiers or more"),
        ((PHONE, PHONE), {}, "a name of its own for each"),
        ((PHONE, {**CLOUD, "name": "Big Cloud"}), {}, "a tier's name is"),
        ((PHONE, {**CLOUD, "layer": 0}), {}, "greater than or equal to 1"),
        ((PHONE, {"name": "cloud", "model": "hf:x", "layer": 3}), {}, "leave their number out"),
        (({"name": "phone", "model": "hf:x"}, CLOUD), {}, "the data map is drawn"),
        ((PHONE, CLOUD), {"tiers": (2, 6)}, "leave tiers out"),
        ((PHONE, CLOUD), {"exits": "all"}, "leave exits out"),
        ((PHONE, CLOUD), {"backbone": "mpnet-base"}, "leave backbone out"),
        ((PHONE, CLOUD), {"recipe": "joint"}, "leave recipe out"),
        ((PHONE, CLOUD), {"loss_weights": (1.0, 2.0)}, "leave loss_weights out"),
    ],
)
def test_tiers_that_do_not_go_together(
    tiers: tuple[dict[str, Any], ...], more: dict[str, Any], word: str
) -> None:
    with pytest.raises(ConfigError, match=word) as caught:
        _settings(*tiers, **more)
    assert "\n" not in str(caught.value)
