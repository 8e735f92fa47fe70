"""Traces by name: found, checked, and refused in one line where they are damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import dimec
from dimec.base.errors import (
    ConfigError,
    CorruptArtefactError,
    MismatchError,
    MissingArtefactError,
)
from dimec.base.storage import file_sha256
from dimec.traces.card import SPLITS, CardTier, exit_name
from dimec.traces.collection import (
    CHECKOUT,
    VARIABLE,
    Collection,
    Entry,
    find,
    load_trace,
    read_index,
    write_index,
)
from support.collected import small_collection, small_entry, small_traces

NAMES = ("sst2/tiny-joint/3", "sst2/tiny-own/3")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small collection, which is the one that is looked in."""
    made = small_collection(tmp_path / "some")
    monkeypatch.setenv(VARIABLE, str(made))
    return made


def test_traces_are_told_by_name_in_order(folder: Path) -> None:
    collection = Collection.open()
    assert collection.names() == NAMES
    entry = collection.entry(NAMES[1])
    assert (entry.name, entry.folder, entry.card.recipe) == (NAMES[1], folder / NAMES[1], "own")
    assert Collection.open(folder).names() == NAMES
    assert dimec.Collection is Collection


def test_a_trace_is_the_one_that_was_written(folder: Path) -> None:
    for written in small_traces():
        read = dimec.load_trace(f"{NAMES[0]}/{written.split}")
        assert (read.guids, read.split, read.model) == (written.guids, written.split, written.model)
        np.testing.assert_array_equal(read.labels, written.labels)
        np.testing.assert_allclose(read.probabilities, written.probabilities, atol=5e-4)


@pytest.mark.parametrize(
    "place", ["there", "./there", "sub/../there", "{}/there"], ids=["name", "dot", "up", "whole"]
)
def test_a_folder_outside_the_collection_is_found_by_its_path(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No collection is needed for it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none"))
    (tmp_path / "sub").mkdir()
    card, path = small_entry(tmp_path / "there"), place.format(tmp_path)
    entry = find(path)
    assert (entry.name, entry.card) == (path, card)
    assert load_trace(f"{path}/test").guids == small_traces()[1].guids


def test_a_name_that_is_none_is_refused_and_names_like_it_are_told(folder: Path) -> None:
    with pytest.raises(MissingArtefactError) as told:
        load_trace("sst2/tiny-jiont/3/test")
    line = str(told.value)
    assert "has no traces 'sst2/tiny-jiont/3'; there are sst2/tiny-joint/3" in line
    assert line.endswith("see dimec traces list")
    with pytest.raises(MissingArtefactError, match="no traces 'quite another'; see dimec"):
        find("quite another")
    with pytest.raises(MissingArtefactError) as told:
        find("a\nb" + "x" * 5000)
    assert len(str(told.value)) < 400
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "name", ["", "test", "sst2/tiny-own/3", "sst2/tiny-own/3/train", "sst2/tiny-own/3/test/"]
)
def test_a_trace_without_its_split_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"ends in /validation or /test, such as .*, got"):
        load_trace(name)
    with pytest.raises(ConfigError, match="has the traces validation and test, got 'train'"):
        find(NAMES[0]).trace("train")


def test_no_collection_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none"))
    with pytest.raises(MissingArtefactError, match=f"no trace collection at .*none.*{VARIABLE}"):
        load_trace("sst2/tiny-own/3/test")
    (tmp_path / "empty").mkdir()
    assert Collection.open(tmp_path / "empty").names() == ()


def test_a_file_that_is_altered_or_missing_or_of_another_model_is_refused(folder: Path) -> None:
    path = folder / NAMES[0] / "test.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptArtefactError, match="is not what its card says"):
        load_trace(f"{NAMES[0]}/test")
    assert len(load_trace(f"{NAMES[0]}/validation"))
    path.unlink()
    with pytest.raises(MissingArtefactError, match=r"test\.safetensors does not exist; bring it"):
        load_trace(f"{NAMES[0]}/test")
    small_entry(folder / NAMES[1], model="f" * 64)
    with pytest.raises(MismatchError, match=f"the card of {NAMES[1]}"):
        load_trace(f"{NAMES[1]}/test")
    small_entry(folder / NAMES[1], tiers=[CardTier(name="a", layer=6)])
    with pytest.raises(MismatchError, match="names other tiers than its trace test"):
        load_trace(f"{NAMES[1]}/test")


def test_a_card_without_a_digest_is_refused(folder: Path) -> None:
    path = folder / NAMES[0] / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"sha256": {}}))
    with pytest.raises(CorruptArtefactError, match=r"no digest of test\.safetensors"):
        load_trace(f"{NAMES[0]}/test")


def test_traces_are_written_with_their_digests_and_replaced_whole(tmp_path: Path) -> None:
    first = small_entry(tmp_path / "a")
    assert first.sha256 == {
        f"{split}.safetensors": file_sha256(tmp_path / "a" / f"{split}.safetensors")
        for split in SPLITS
    }
    second = small_entry(tmp_path / "a", seed=5)
    assert second.sha256 != first.sha256
    assert find(str(tmp_path / "a")).card == second
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"card.json", *second.sha256}


def test_the_index_has_the_digest_of_every_card(folder: Path) -> None:
    index = read_index(folder / "index.json")
    assert index == {name: file_sha256(folder / name / "card.json") for name in NAMES}
    assert write_index(folder) == folder / "index.json"


@pytest.mark.parametrize(
    "name",
    ["../out/x", "a/../b", "a/b", "a/b/c/d", "/a/b", "a//b", "a/b/..", "./a/b", "a\\b/c/d", ""],
)
def test_a_name_in_an_index_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "index.json"
    path.write_text(json.dumps({"version": 1, "cards": {name: "0" * 64}}))
    with pytest.raises(CorruptArtefactError, match="is no index of a trace collection"):
        read_index(path)


@pytest.mark.parametrize("value", [[], {}, {"version": 2, "cards": {}}, {"version": 1}, "x"])
def test_what_is_no_index_is_refused(tmp_path: Path, value: object) -> None:
    (tmp_path / "index.json").write_text(json.dumps(value))
    with pytest.raises(CorruptArtefactError, match="is no index"):
        read_index(tmp_path / "index.json")
    with pytest.raises(MissingArtefactError):
        read_index(tmp_path / "none.json")


# What comes with the code.


@pytest.fixture(scope="module", params=Collection.open(CHECKOUT).names())
def kept(request: pytest.FixtureRequest) -> Entry:
    return Collection.open(CHECKOUT).entry(request.param)


def test_every_card_is_that_of_its_files(kept: Entry) -> None:
    card, names = kept.card, {path.name for path in kept.folder.iterdir()}
    assert names == {"card.json", *card.sha256}
    task, recipe, seed = kept.name.split("/")
    assert recipe.endswith(card.recipe)
    assert (task, seed) == (card.task.rpartition("/")[2], str(card.seed))
    validation, test = (kept.trace(split) for split in SPLITS)
    assert (len(validation), len(test)) == (card.rows["validation"], card.rows["test"])
    guids = (*validation.guids, *test.guids)
    assert len(set(guids)) == len(guids)
    assert all(" " not in guid and len(guid) < 40 for guid in guids)  # a row, and nothing of it
    pairs = list(zip(test.exits, test.sources, strict=True))
    for trace in (validation, test):
        assert (trace.task, trace.exits) == (card.task, card.exits)
        assert list(zip(trace.tiers, trace.tier_sources, strict=True)) == [
            (tier.layer, tier.source) for tier in card.tiers
        ]
    assert list(card.test_accuracy) == [exit_name(*one) for one in pairs]
    told = list(card.test_accuracy.values())
    assert told == pytest.approx(test.correct.mean(axis=0).tolist(), abs=5e-5)


def test_the_index_is_that_of_the_cards() -> None:
    cards = {
        name: file_sha256(CHECKOUT / name / "card.json")
        for name in Collection.open(CHECKOUT).names()
    }
    assert read_index(CHECKOUT / "index.json") == cards
    files = {path for path in CHECKOUT.rglob("*") if path.is_file()}
    known = {CHECKOUT / name / "card.json" for name in cards}
    known |= {CHECKOUT / name / f"{split}.safetensors" for name in cards for split in SPLITS}
    assert files == known | {CHECKOUT / "index.json"}
