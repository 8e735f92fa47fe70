"""``dimec inspect``."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dimec.bundle.folders import TierBundle
from dimec.tiers.deployment import Deployment

if TYPE_CHECKING:
    from support.tiny import Said


def test_it_shows_every_tier_of_a_sound_bundle(cli: Callable[..., Said], tiny_bundle: Path) -> None:
    said = cli("inspect", tiny_bundle, "--json")
    assert said.code == 0, said
    shown = json.loads(said.out)
    assert [row["tier"] for row in shown["tiers"]] == ["mobile", "edge", "cloud"]
    assert shown["deployment"] == Deployment.paper((1, 2, 4)).to_json()
    assert shown["labels"] == ["negative", "positive"]
    settings = {"adaptive": False}
    assert shown["policy"] == {
        "kind": "centroid",
        "name": "dimec",
        "settings": settings,
        "contract": None,
    }
    for row in shown["tiers"]:
        tier = TierBundle.open(tiny_bundle / row["tier"])
        assert row["disk_bytes"] == tier.size
        assert row["version"] == tier.manifest.version
        assert row["memory_bytes"] > row["base_bytes"]
        assert row["answer_seconds"] > 0
        width = tier.manifest.width  # a manifest does not tell the inner width: the usual one
        assert row["operations"] == row["exit"] * _layer(width, 4 * width)
    assert [row["price"] for row in shown["tiers"]] == [1.5, 4.5, 6.0]
    assert shown["golden"] == {"inputs": 24, "learns": "deciding"}
    assert shown["pricing"] is None


def _layer(width: int, inner: int) -> float:
    return 2 * 128 * (4 * width**2 + 2 * width * inner) + 4 * 128**2 * width


def test_it_shows_where_the_mobile_can_stop(cli: Callable[..., Said], cut_bundle: Path) -> None:
    rows = json.loads(cli("inspect", cut_bundle, "--json").out)["tiers"]
    assert [row["segments"] for row in rows] == [[1, 2, 4], [], []]
    said = cli("inspect", cut_bundle)
    assert re.search(r"^mobile +1,2,4 +fp32 ", said.out, re.MULTILINE)
    assert re.search(r"^cloud +4 +fp32 ", said.out, re.MULTILINE)


def test_the_table_for_people_names_tiers_labels_and_costs(
    cli: Callable[..., Said], tiny_bundle: Path
) -> None:
    said = cli("inspect", tiny_bundle / "edge")
    assert said.code == 0, said
    assert "edge" in said.out
    assert "cloud" not in said.out.split("labels:")[0]
    assert 'labels: ["negative", "positive"]' in said.out
    assert "an answer in λ: mobile 1.5, edge 4.5, cloud 6" in said.out
    assert "policy:" not in said.out  # which the first tier alone has
    assert "golden" not in said.out  # which lie beside the tiers
    assert "every file is whole and unaltered" in said.out


def test_it_shows_the_model_of_each_tier_and_what_that_takes(
    cli: Callable[..., Said], own_bundle: Path
) -> None:
    shown = json.loads(cli("inspect", own_bundle, "--json").out)
    assert [row["takes"] for row in shown["tiers"]] == ["tokens", "tokens", "text"]
    told = shown["provenance"]
    assert [row["model"] for row in shown["tiers"]] == [*told["models"].values()]
    assert [row["backbone"] for row in shown["tiers"]] == [*told["backbones"].values()]
    assert len(set(told["models"].values())) == 3
    said = cli("inspect", own_bundle)
    assert said.code == 0, said
    for words in (
        "phone +tokens +1 +backbone",
        "edge +tokens +2 +backbone",
        "cloud +text +3 +large",
    ):
        assert re.search(rf"^{words} *$", said.out, re.MULTILINE), said.out
    alone = cli("inspect", own_bundle / "cloud").out
    assert re.search(r"^cloud +text +3 +large *$", alone, re.MULTILINE)
    assert "edge +tokens" not in alone


@pytest.mark.parametrize("tier", ["mobile", "cloud"])
def test_an_altered_file_is_one_line_of_complaint(
    cli: Callable[..., Said], tiny_bundle: Path, tmp_path: Path, tier: str
) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    file = bundle / tier / next(iter(TierBundle.open(bundle / tier).manifest.files))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert f"{file} was altered" in cli("inspect", bundle).complaint()


def test_what_is_no_bundle_is_one_line_of_complaint(
    cli: Callable[..., Said], tmp_path: Path
) -> None:
    assert "no bundle folder" in cli("inspect", tmp_path / "nothing").complaint()
    assert "manifest.json does not exist" in cli("inspect", tmp_path).complaint()


def test_it_shows_the_model_of_each_tier_of_a_run(cli: Callable[..., Said], own_run: Path) -> None:
    shown = json.loads(cli("inspect", own_run, "--json").out)
    record = json.loads((own_run / "training.json").read_text("utf-8"))
    assert shown["fitted"] is False
    assert [row["tier"] for row in shown["tiers"]] == ["phone", "edge", "cloud"]
    assert [row["layers"] for row in shown["tiers"]] == record["tiers"]
    for row in shown["tiers"]:
        own = record["own"][row["tier"]]
        assert row["model"] == own["backbone"]
        # The edge's first exit is not served, so its classifier is not counted.
        assert row["parameters"] <= own["parameters"]
        assert row["weight_bytes"] == 4 * row["parameters"]
        assert row["operations"] == row["layers"] * _layer(*row["shape"].values())
    for name in ("phone", "cloud"):
        (row,) = (row for row in shown["tiers"] if row["tier"] == name)
        assert row["parameters"] == record["own"][name]["parameters"]
    scales = shown["pricing"]["scales"]
    first, _, last = shown["tiers"]
    small, wide = _layer(*first["shape"].values()), _layer(*last["shape"].values())
    assert scales["phone"] == pytest.approx(small / wide)
    assert first["price"] == pytest.approx(1.5 * first["layers"] * small / wide)


def test_the_table_of_a_run_for_people(cli: Callable[..., Said], own_run: Path) -> None:
    said = cli("inspect", own_run)
    assert said.code == 0, said
    for name in ("phone", "edge", "cloud"):
        assert re.search(rf"^{name} ", said.out, re.MULTILINE)
    assert "The price of a layer is the paper's, times its operations" in said.out
    assert "not fitted: the tiers of training, at the paper's prices" in said.out


def test_a_run_of_one_model_is_shown_too(cli: Callable[..., Said], finished_run: Path) -> None:
    shown = json.loads(cli("inspect", finished_run, "--json").out)
    record = json.loads((finished_run / "training.json").read_text("utf-8"))
    sizes = [row["parameters"] for row in shown["tiers"]]
    assert sizes == sorted(sizes)
    assert sizes[-1] < record["parameters"]  # its own classifier alone
    assert shown["pricing"] is None
    assert [row["layers"] for row in shown["tiers"]] == record["tiers"]
