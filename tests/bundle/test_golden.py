"""The file of golden vectors: what is written is read again, and whatever else stands there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import CorruptArtefactError, MissingArtefactError
from dimec.bundle.folders import verify_bundle
from dimec.bundle.golden import Golden, as_floats
from dimec.bundle.manifest import GOLDEN, MANIFEST
from dimec.mobile import Mobile


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=20))
def test_the_digits_are_enough_for_the_same_float32(values: list[float]) -> None:
    exact = np.array(values, np.float32)
    again = np.array(json.loads(json.dumps(as_floats(exact))), np.float32)
    np.testing.assert_array_equal(again.view(np.uint32), exact.view(np.uint32))


def test_what_is_written_is_read_again_to_the_last_byte(bundle: Path, tmp_path: Path) -> None:
    golden = Golden.load(bundle)
    golden.save(tmp_path)
    assert (tmp_path / GOLDEN).read_bytes() == (bundle / GOLDEN).read_bytes()
    lines = (bundle / GOLDEN).read_text("utf-8").splitlines()
    texts = [json.loads(line.rstrip(","))["text"] for line in lines if line.startswith("  {")]
    assert texts == [one.text for one in golden.inputs]  # an input a line, and no line within one


class TestAWholeBundle:
    def test_has_it_checked_like_every_file(self, bundle: Path) -> None:
        path, manifest = bundle / GOLDEN, verify_bundle(bundle)[0]
        assert manifest.files[GOLDEN].bytes == path.stat().st_size
        content = path.read_bytes()
        path.write_bytes(content.replace(b"0.1", b"0.2", 1))
        with pytest.raises(CorruptArtefactError, match=r"golden\.json was altered or truncated"):
            verify_bundle(bundle)
        path.unlink()
        with pytest.raises(MissingArtefactError, match=r"golden\.json does not exist"):
            verify_bundle(bundle)
        path.symlink_to(bundle / MANIFEST)
        with pytest.raises(CorruptArtefactError, match="is a link"):
            verify_bundle(bundle)

    def test_of_an_earlier_version_has_none(self, bundle: Path) -> None:
        (bundle / GOLDEN).unlink()
        manifest = json.loads((bundle / MANIFEST).read_text())
        del manifest["files"][GOLDEN]
        (bundle / MANIFEST).write_text(json.dumps(manifest))
        assert set(verify_bundle(bundle)[1]) == {"mobile", "edge", "cloud"}
        with Mobile.open(bundle, state=":memory:") as mobile:
            assert mobile.predict("a moving film").fallback_reason in (
                None,
                "edge: not configured; cloud: not configured",
                "cloud: not configured; edge: not configured",
            )
        with pytest.raises(MissingArtefactError, match="make it with: dimec export"):
            Golden.load(bundle)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "dimec export"),
        (b"[]", "the whole: "),
        (b'{"kind": "dimec bundle"}', "kind: "),
        (b'{"format": 2}', "format: "),
        (b'{"inputs": []}', "policy: Field required"),
        (b'{"kind": NaN}', "dimec export"),
    ],
)
def test_anything_else_is_refused_in_a_line(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / GOLDEN).write_bytes(content)
    with pytest.raises(CorruptArtefactError, match=problem) as refused:
        Golden.load(tmp_path)
    assert "\n" not in str(refused.value)
