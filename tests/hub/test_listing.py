"""Listings of others: none leads out of its folder, hides, or brings what could be run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dimec.base.errors import CorruptArtefactError
from dimec.hub.listing import Listing

RECORD = {"sha256": "0" * 64, "bytes": 3}


def listing(*names: str, **changes: Any) -> bytes:
    value = {"kind": "dimec on the hub", "format": 1, "holds": "run", "dimec": "1"}
    return json.dumps({**value, "files": dict.fromkeys(names, RECORD), **changes}).encode()


def test_a_listing_is_read() -> None:
    read = Listing.read(listing("model/config.json", "a.safetensors"), "here")
    assert set(read.files) == {"model/config.json", "a.safetensors"}
    assert read.size == 6


@pytest.mark.parametrize(
    "name",
    [
        "../a.json",
        "/a.json",
        "a/../b.json",
        "a//b.json",
        "C:\\a.json",
        ".git/config.json",
        "a/.hidden.json",
        "model.pkl",
        "model/pytorch_model.bin",
        "run.py",
        "a",
        "README.md",
        "dimec.json",
        "Dimec.json",
        "hub.json",
        "a/b/c/d/e/f/g.json",
        "a.json\n",
        "ä.json",
    ],
)
def test_a_name_that_leads_elsewhere_or_is_of_another_kind_is_refused(name: str) -> None:
    with pytest.raises(CorruptArtefactError, match=r"names"):
        Listing.read(listing("fine.json", name), "here")


@pytest.mark.parametrize("names", [("a.json", "A.json"), ("a.json", "a.json/b.json")])
def test_names_that_collide_are_refused(names: tuple[str, str]) -> None:
    with pytest.raises(CorruptArtefactError, match="twice, or as a folder"):
        Listing.read(listing(*names), "here")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        listing(),
        listing("a.json", format=2),
        listing("a.json", holds="pickle"),
        listing("a.json", files={"a.json": {"sha256": "0", "bytes": 1}}),
        listing("a.json", files={"a.json": {"sha256": "0" * 64, "bytes": -1}}),
    ],
)
def test_what_is_no_listing_is_refused(content: bytes) -> None:
    with pytest.raises(CorruptArtefactError, match="here"):
        Listing.read(content, "here")
