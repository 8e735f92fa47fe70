from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from dimec.base import held
from dimec.base.errors import CorruptArtefactError
from dimec.base.held import held_copy
from dimec.bundle.folders import TierBundle
from dimec.bundle.graphs import Graph


def _answer(bundle: TierBundle) -> np.ndarray:
    """The first layer of the mobile on a few words, from whatever holds its graphs."""
    ids = np.array([[2, 5, 6, 3]])
    with bundle.hold() as copy:
        graph = Graph(copy.folder / "embed.onnx", memory=copy.memory)
    given: np.ndarray = graph(input_ids=ids, token_type_ids=0 * ids, attention_mask=0 * ids + 1)[0]
    return given


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> TierBundle:
    return TierBundle.open(shutil.copytree(tiny_bundle / "mobile", tmp_path / "mobile"))


def test_copies_have_no_name_once_the_graph_is_there(
    bundle: TierBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(held, "_places", lambda: iter([place]))
    with bundle.hold() as copy:
        assert copy.folder.parent == place
        assert copy.folder.stat().st_mode & 0o077 == 0
    _answer(bundle)
    assert not any(place.iterdir())


def test_without_room_anywhere_they_are_in_memory(
    bundle: TierBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = _answer(bundle)
    full = tmp_path / "file"
    full.touch()
    monkeypatch.setattr(held, "_places", lambda: iter([full, tmp_path / "missing"]))
    with bundle.hold() as copy:
        assert copy.memory is not None
        assert "embed.onnx.data" in copy.memory
    np.testing.assert_array_equal(_answer(bundle), expected)


@pytest.mark.parametrize("places", [True, False])
def test_what_was_replaced_meanwhile_is_refused(
    bundle: TierBundle, monkeypatch: pytest.MonkeyPatch, places: bool
) -> None:
    if not places:
        monkeypatch.setattr(held, "_places", lambda: iter(()))
    path = bundle.file("embed.onnx.data")
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(CorruptArtefactError, match="replaced while it was loaded"), bundle.hold():
        pass
    path.unlink()
    with (
        pytest.raises(CorruptArtefactError, match="cannot be read"),
        held_copy(path.parent, {path.name: ""}),
    ):
        pass


def test_a_policy_or_tokenizer_that_was_replaced_meanwhile_is_refused(
    bundle: TierBundle,
) -> None:
    for name in ("policy.json", "policy.safetensors", "tokenizer.json"):
        path = bundle.file(name)
        whole = path.read_bytes()
        assert bundle.read(name) == whole
        path.write_bytes(whole + b" ")
        with pytest.raises(CorruptArtefactError, match="replaced while it was loaded"):
            bundle.read(name)
        path.write_bytes(whole)
