"""Files of a bundle against what its manifests say of them; and whatever bytes stand there."""

from __future__ import annotations

import json
import random
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ArtefactError, CorruptArtefactError, MissingArtefactError
from dimec.bundle.folders import TierBundle, read_manifest, verify_bundle
from dimec.bundle.manifest import MANIFEST
from dimec.tiers.names import TIER_NAMES
from support.builders import json_values

GRAPHS = {"mobile": "layers-1.onnx", "edge": "model.onnx", "cloud": "model.onnx"}


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


@pytest.fixture(scope="module")
def fuzzed(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy whose manifests are exchanged and put back again."""
    return Path(shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("fuzzed") / "bundle"))


def _change(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a manifest, which has no hash of its own but in the whole bundle's."""
    value = json.loads((folder / MANIFEST).read_text())
    change(value)
    (folder / MANIFEST).write_text(json.dumps(value))


@contextmanager
def _no_descriptors() -> Iterator[None]:
    """No file can be opened, as under a server whose clients have taken all descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class TestWhatTheSystemRefuses:
    def test_a_file_that_it_does_not_open(self, bundle: Path) -> None:
        told = r"manifest\.json cannot be read: Too many open files"
        for read, folder in (
            (verify_bundle, bundle),
            (read_manifest, bundle),
            (TierBundle.open, bundle / "edge"),
        ):
            with pytest.raises(CorruptArtefactError, match=told), _no_descriptors():
                read(folder)

    def test_a_name_too_long(self, bundle: Path) -> None:
        for read in (verify_bundle, read_manifest, TierBundle.open):
            with pytest.raises(CorruptArtefactError, match="cannot be read: File name too long"):
                read(bundle / ("x" * 300))


class TestFiles:
    @pytest.mark.parametrize("tier", TIER_NAMES)
    @pytest.mark.parametrize("how", ["altered", "truncated", "longer", "empty"])
    def test_an_altered_file_is_refused(self, bundle: Path, tier: str, how: str) -> None:
        for file in sorted((bundle / tier).iterdir()):
            if file.name == MANIFEST:
                continue
            original = file.read_bytes()
            changed = bytearray(original)
            if how == "altered":
                changed[len(changed) // 2] ^= 1
            elif how == "truncated":
                del changed[-1:]
            elif how == "longer":
                changed += b"\0"
            else:
                changed.clear()
            file.write_bytes(changed)
            for look in (lambda: TierBundle.open(bundle / tier), lambda: verify_bundle(bundle)):
                with pytest.raises(CorruptArtefactError, match=f"{file.name} was altered"):
                    look()
            file.write_bytes(original)
        verify_bundle(bundle)

    @pytest.mark.parametrize("tier", TIER_NAMES)
    def test_a_missing_file_is_named(self, bundle: Path, tier: str) -> None:
        name = GRAPHS[tier].replace("-1", "")  # the layers' segments share a file
        file = bundle / tier / f"{name}.data"
        file.unlink()
        for look in (lambda: TierBundle.open(bundle / tier), lambda: verify_bundle(bundle)):
            with pytest.raises(MissingArtefactError, match=f"{file.name} does not exist"):
                look()

    def test_a_link_is_refused_even_to_the_right_bytes(self, bundle: Path) -> None:
        file = bundle / "edge" / "model.onnx"
        file.rename(bundle / "elsewhere")
        file.symlink_to(bundle / "elsewhere")
        with pytest.raises(CorruptArtefactError, match="is a link"):
            TierBundle.open(bundle / "edge")

    def test_a_linked_folder_is_refused(self, bundle: Path) -> None:
        (bundle / "edge").rename(bundle / "elsewhere")
        (bundle / "edge").symlink_to(bundle / "elsewhere")
        with pytest.raises(CorruptArtefactError, match="is a link"):
            verify_bundle(bundle)

    def test_a_folder_in_a_files_place_is_refused(self, bundle: Path) -> None:
        file = bundle / "edge" / "model.onnx"
        file.unlink()
        file.mkdir()
        with pytest.raises(ArtefactError, match=r"model\.onnx"):
            TierBundle.open(bundle / "edge")

    @pytest.mark.parametrize(
        "name",
        [
            "../cloud/model.onnx",
            "..",
            "/etc/passwd",
            "C:\\secret",
            "below/model.onnx",
            "./model.onnx",
            ".hidden",
            "",
            "nul\0byte",
            "x" * 101,
            "model.onnx\n",
            "\uff4dodel.onnx",
        ],
    )
    def test_a_name_that_leads_elsewhere_is_refused(self, bundle: Path, name: str) -> None:
        record = {"sha256": "0" * 64, "bytes": 1}
        _change(bundle / "edge", lambda value: value["files"].update({name: record}))
        with pytest.raises(CorruptArtefactError, match="only plain names in its own folder"):
            TierBundle.open(bundle / "edge")

    @pytest.mark.parametrize(
        "name",
        ["edge/../cloud/model.onnx", "../edge/model.onnx", "model.onnx", "/edge/x", "lake/x"],
    )
    def test_the_same_in_the_manifest_of_the_whole(self, bundle: Path, name: str) -> None:
        record = {"sha256": "0" * 64, "bytes": 1}
        _change(bundle, lambda value: value["files"].update({name: record}))
        with pytest.raises(CorruptArtefactError):
            verify_bundle(bundle)

    def test_a_file_that_the_manifest_does_not_name_is_not_given_out(self, bundle: Path) -> None:
        (bundle / "edge" / "extra.onnx").write_bytes(b"")
        tier = TierBundle.open(bundle / "edge")
        with pytest.raises(CorruptArtefactError, match=r"names no extra\.onnx"):
            tier.file("extra.onnx")


class TestFuzzing:
    """Nothing but an error that the user can act on, whatever a manifest holds."""

    @pytest.mark.parametrize("part", ["", "mobile", "edge"])
    def test_bytes_changed_at_random(self, fuzzed: Path, tiny_bundle: Path, part: str) -> None:
        original = (tiny_bundle / part / MANIFEST).read_bytes()
        rng, refused = random.Random(0), 0
        for _ in range(400):
            content = bytearray(original)
            for _ in range(rng.randint(1, 4)):
                start = rng.randrange(len(content))
                end = start + rng.randint(0, 30)
                kind = rng.randrange(4)
                if kind == 0:
                    content[start] = rng.randrange(256)
                elif kind == 1:
                    del content[start:end]
                elif kind == 2:
                    content[start:start] = content[start:end]
                else:
                    content[start:end] = rng.randbytes(rng.randint(0, 8))
            refused += _is_refused(fuzzed, part, bytes(content))
        assert refused > 300

    @given(data=st.data())
    def test_values_exchanged_for_any_json(
        self, fuzzed: Path, tiny_bundle: Path, data: st.DataObject
    ) -> None:
        value = json.loads((tiny_bundle / "edge" / MANIFEST).read_text())
        key = data.draw(st.sampled_from(sorted(value)))
        value[key] = data.draw(json_values)
        _is_refused(fuzzed, "edge", json.dumps(value).encode())

    @given(st.binary(max_size=300))
    def test_any_bytes(self, fuzzed: Path, content: bytes) -> None:
        assert _is_refused(fuzzed, "cloud", content)


def _is_refused(bundle: Path, part: str, content: bytes) -> bool:
    """Whether a manifest is refused, by an error of ours in one line."""
    path = bundle / part / MANIFEST
    original = path.read_bytes()
    path.write_bytes(content)
    said = ""
    try:
        TierBundle.open(bundle / part) if part else verify_bundle(bundle)
    except ArtefactError as error:
        said = str(error)
    finally:
        path.write_bytes(original)
    assert "\n" not in said
    return bool(said)
