from __future__ import annotations

from pathlib import Path

import pytest

from dimec.base import held
from dimec.base.errors import ArtefactError, ConfigError, CorruptArtefactError
from dimec.bundle.folders import TierBundle
from dimec.bundle.manifest import MANIFEST
from dimec.serving.copies import CopiedBundle, Copy
from support.served import make_tier


@pytest.fixture
def bundle(tmp_path: Path) -> TierBundle:
    return TierBundle.open(make_tier(tmp_path / "edge"))


def test_a_copy_is_a_bundle_that_nobody_else_changes(bundle: TierBundle) -> None:
    copy = Copy(bundle)
    try:
        before = {path.name: path.read_bytes() for path in copy.path.iterdir()}
        assert before.keys() == {MANIFEST, *bundle.manifest.files}
        (bundle.path / "model.onnx").write_bytes(b"another")
        opened = CopiedBundle.open(copy.path)
        assert opened.manifest == bundle.manifest
        with opened.hold() as kept:
            assert kept.folder == copy.path  # no copy of a copy
        assert {path.name: path.read_bytes() for path in copy.path.iterdir()} == before
    finally:
        copy.close()
    assert not copy.path.exists()
    copy.close()  # twice does no harm


def test_what_is_on_the_disk_has_to_be_sound_and_of_the_same_tier(bundle: TierBundle) -> None:
    manifest = (bundle.path / MANIFEST).read_text("utf-8")
    (bundle.path / MANIFEST).write_text(manifest.replace('"41"', '"43"'), "utf-8")
    copy = Copy.of_disk(bundle)
    assert CopiedBundle.open(copy.path).manifest.version == "43"
    assert bundle.manifest.version == "41"
    copy.close()
    (bundle.path / "model.onnx").write_bytes(b"another")
    with pytest.raises(CorruptArtefactError):
        Copy.of_disk(bundle)
    (bundle.path / MANIFEST).unlink()
    with pytest.raises(ArtefactError):
        Copy.of_disk(bundle)


def test_without_room_on_any_disk_it_says_what_to_do(
    bundle: TierBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "_copied", lambda *_: None)
    with pytest.raises(ConfigError, match=r"TMPDIR.*workers 1"):
        Copy(bundle)
