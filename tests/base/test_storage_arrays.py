"""Files of arrays read back the same, or are refused."""

from __future__ import annotations

import json
import os
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dimec.base.errors import CorruptArtefactError
from dimec.base.storage import (
    load_arrays,
    save_arrays,
)
from support.builders import json_values

Arrays = dict[str, npt.NDArray[Any]]

DTYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6).filter(
    lambda name: name != "__metadata__"
)


def small_arrays(dtypes: tuple[str, ...] = DTYPES, min_dims: int = 1) -> st.SearchStrategy[Arrays]:
    """Up to three named arrays, some with a zero in their shape."""
    shapes = hnp.array_shapes(min_dims=min_dims, max_dims=3, min_side=0, max_side=3)
    array = st.sampled_from(dtypes).flatmap(lambda dtype: hnp.arrays(dtype, shapes))
    return st.dictionaries(names, array, max_size=3)


def assert_reads_back(arrays: Arrays, metadata: dict[str, Any]) -> None:
    """Types, shapes, bits and metadata."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "arrays"
        save_arrays(path, "test", arrays, metadata)
        back, also = load_arrays(path, "test", "make")
    assert also == metadata
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        # Of equal type but for the order of bytes, which is the machine's own.
        assert back[name].dtype == array.dtype.newbyteorder("=")
        assert back[name].shape == array.shape
        assert np.array_equal(back[name], array, equal_nan=array.dtype.kind == "f")


@given(
    small_arrays(),
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=6).filter(
            lambda key: not key.startswith("dimec.")
        ),
        json_values,
        max_size=3,
    ),
)
def test_arrays_read_back_the_same(arrays: Arrays, metadata: dict[str, Any]) -> None:
    assert_reads_back(arrays, metadata)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12).reshape(3, 4).T,
        np.arange(12)[::-2],
        np.asfortranarray(np.ones((3, 2))),
        np.broadcast_to(np.float32(1), (2, 2)),
        np.zeros((0, 4)),
        np.zeros((2, 0, 3), np.int64),
        pytest.param(np.array(3.5), id="no-axes"),
        pytest.param(np.arange(3, dtype=">f8"), id="big-endian"),
        pytest.param(np.arange(3, dtype=">i4"), id="big-endian-int"),
    ],
)
def test_arrays_of_any_layout_read_back_the_same(array: npt.NDArray[Any]) -> None:
    assert_reads_back({"x": array}, {"note": "Größe 数 🙂"})


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "arrays"
    save_arrays(path, "trace", {"x": np.zeros(2)}, {})
    with pytest.raises(CorruptArtefactError) as caught:
        load_arrays(path, "router", "dimec fit")
    message = str(caught.value)
    assert "expected a router file of format 1, got 'trace' of format '1'" in message
    assert "make it again with: dimec fit" in message


@pytest.fixture
def sound(tmp_path: Path) -> tuple[Path, bytes]:
    """A small file and its bytes."""
    path = tmp_path / "arrays"
    arrays: Arrays = {"x": np.array([1.5, -2.0], np.float32), "n": np.array([3], np.int64)}
    save_arrays(path, "test", arrays, {"task": "sst2"})
    return path, path.read_bytes()


def read_or_refuse(path: Path) -> Arrays | None:
    """The arrays of a file, or None where it is refused as corrupt; nothing else may come out."""
    try:
        arrays, metadata = load_arrays(path, "test", "make")
    except CorruptArtefactError:
        return None
    assert metadata == {"task": "sst2"}
    return arrays


def test_a_truncated_file_is_refused_wherever_it_ends(sound: tuple[Path, bytes]) -> None:
    path, content = sound
    for size in range(len(content)):
        path.write_bytes(content[:size])
        assert read_or_refuse(path) is None, size
    path.write_bytes(content + b"\0")
    assert read_or_refuse(path) is None


def test_an_altered_byte_is_refused_or_harmless(sound: tuple[Path, bytes]) -> None:
    """At every position: refused, or (blanks of the header) read back the same."""
    path, content = sound
    harmless = 0
    for at in range(len(content)):
        for bits in (0x01, 0x20, 0x80):
            altered = bytearray(content)
            altered[at] ^= bits
            path.write_bytes(bytes(altered))
            arrays = read_or_refuse(path)
            if arrays is not None:
                harmless += 1
                assert arrays["x"].tolist() == [1.5, -2.0]
                assert arrays["n"].tolist() == [3]
                assert [array.dtype.str for array in (arrays["x"], arrays["n"])] == ["<f4", "<i8"]
    assert harmless < len(content)


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (b'"F32"', b'"I32"'),
        (b'"I64"', b'"F64"'),
        (b'"I64"', b'"U64"'),
        (b'"shape":[2,1]', b'"shape":[1,2]'),
        (b'"x":{', b'"y":{'),
        (b"sst2", b"cola"),
    ],
)
def test_a_header_that_tells_another_story_is_refused(
    tmp_path: Path, was: bytes, becomes: bytes
) -> None:
    """Still a sound safetensors file of the same size, over the same bytes of data."""
    path = tmp_path / "arrays"
    arrays: Arrays = {"x": np.ones((2, 1), np.float32), "n": np.array([3], np.int64)}
    save_arrays(path, "test", arrays, {"task": "sst2"})
    content = path.read_bytes()
    assert content.count(was) == 1
    path.write_bytes(content.replace(was, becomes))
    with pytest.raises(CorruptArtefactError, match="altered"):
        load_arrays(path, "test", "make")


@given(st.data())
def test_any_other_byte_anywhere_is_refused_or_harmless(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "arrays"
        save_arrays(path, "test", {"x": np.arange(3, dtype=np.float32)}, {"task": "sst2"})
        content = bytearray(path.read_bytes())
        for _ in range(10):
            altered = content.copy()
            altered[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
            path.write_bytes(bytes(altered))
            arrays = read_or_refuse(path)
            assert arrays is None or arrays["x"].tolist() == [0.0, 1.0, 2.0]


def raw_safetensors(dtype: str, size: int) -> bytes:
    """A safetensors file as another program writes it: one tensor, no metadata."""
    entry = {"dtype": dtype, "shape": [4], "data_offsets": [0, size]}
    header = json.dumps({"weight": entry}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(size)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\xff" * 64,
        raw_safetensors("F32", 16),
        pytest.param(raw_safetensors("BF16", 8), id="weights-in-bfloat16"),
        pytest.param(raw_safetensors("F8_E4M3", 4), id="weights-in-float8"),
    ],
)
def test_a_file_of_another_program_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "arrays"
    path.write_bytes(content)
    assert read_or_refuse(path) is None


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    assert read_or_refuse(tmp_path) is None


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert read_or_refuse(tmp_path / "pipe") is None


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    arrays = {f"array {i}": np.full((3, i), i) for i in range(9)}
    metadata = {f"key {i}": ["Größe", i, "\n"] for i in range(20)}
    for name in ("one", "two"):
        save_arrays(tmp_path / name, "test", arrays, metadata)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    back, also = load_arrays(tmp_path / "one", "test", "make")
    assert also == metadata
    assert list(back) == sorted(arrays)
