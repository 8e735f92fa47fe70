"""Without the hub's client: which extra to install, and what needs none."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dimec.base.errors import MissingExtraError
from dimec.hub import HubName, local_folder, pull
from dimec.hub.listing import ORIGIN
from dimec.publishing import prepared, push
from support.tiny import Said

pytestmark = pytest.mark.usefixtures("without")
NAMED = r"the hub needs the package 'huggingface_hub'.* pip install 'dimec\[hub\]'"


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.setenv("DIMEC_CACHE", str(tmp_path / "cache"))


def test_the_extra_is_named(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingExtraError, match=NAMED):
        pull(HubName("me/bundle"), tmp_path / "out")
    with (
        prepared(tiny_bundle, HubName("me/bundle")) as ready,
        pytest.raises(MissingExtraError, match=NAMED),
    ):
        push(ready)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ("pull", "me/bundle", "OUT"),
        ("up", "hub:me/bundle"),
        ("serve", "hub:me/bundle/edge"),
        ("predict", "hub:me/bundle", "the film"),
        ("inspect", "hub:me/bundle"),
    ],
    ids=lambda words: str(words[0]),
)
def test_every_command_says_so(
    words: tuple[str, ...], cli: Callable[..., Said], tmp_path: Path
) -> None:
    said = cli(*(tmp_path / "out" if word == "OUT" else word for word in words)).complaint()
    assert said.startswith("the hub needs the package 'huggingface_hub'")
    assert said.endswith("install it with: pip install 'dimec[hub]'")
    assert list(tmp_path.iterdir()) == []


def test_what_is_pinned_and_there_needs_none(tiny_bundle: Path, tmp_path: Path) -> None:
    commit = "0" * 40
    folder = tmp_path / "cache" / "hub" / "me--bundle" / commit
    shutil.copytree(tiny_bundle, folder)
    (folder / ORIGIN).write_text("{}")
    assert local_folder(f"hub:me/bundle/edge@{commit}") == folder / "edge"
    with pytest.raises(MissingExtraError, match=NAMED):
        local_folder("hub:me/bundle")
