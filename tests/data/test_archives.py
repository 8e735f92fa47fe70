from __future__ import annotations

import io
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import DataError
from dimec.data.archives import join, unpack

GOOD = {"top/wanted.txt": b"wanted", "top/other.txt": b"other"}


def make_tar(path: Path, *extra: tarfile.TarInfo, contents: dict[str, bytes] = GOOD) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in extra:
            tar.addfile(info, io.BytesIO(bytes(info.size)))
    return path


def make_zip(path: Path, *extra: zipfile.ZipInfo, contents: dict[str, bytes] = GOOD) -> Path:
    with zipfile.ZipFile(path, "w") as zipped:
        for name, content in contents.items():
            zipped.writestr(name, content)
        for info in extra:
            zipped.writestr(info, b"/etc/passwd")
    return path


def tar_entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zip_entry(name: str, mode: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.filename = name  # ZipInfo rewrites some names that an attacker would not
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_only_the_wanted_members_are_written(tmp_path: Path, make: Callable[..., Path]) -> None:
    archive = make(tmp_path / "a")
    folder = tmp_path / "out"
    folder.mkdir()
    unpack(archive, {"top/wanted.txt": "here.txt"}, folder)
    assert [path.name for path in folder.iterdir()] == ["here.txt"]
    assert (folder / "here.txt").read_bytes() == b"wanted"


UNSAFE_TAR = [
    tar_entry("../evil"),
    tar_entry("top/../../evil"),
    tar_entry("/evil"),
    tar_entry("C:evil"),
    tar_entry("top\\..\\evil"),
    tar_entry("link", tarfile.SYMTYPE, "/etc/passwd"),
    tar_entry("hard", tarfile.LNKTYPE, "top/wanted.txt"),
    tar_entry("pipe", tarfile.FIFOTYPE),
    tar_entry("device", tarfile.CHRTYPE),
    tar_entry("top/wanted.txt", tarfile.SYMTYPE, "/etc/passwd"),
    tar_entry("top/wanted.txt"),
]
UNSAFE_ZIP = [
    zip_entry("../evil"),
    zip_entry("/evil"),
    zip_entry("C:/evil"),
    zip_entry("top\\..\\evil"),
    zip_entry("link", stat.S_IFLNK | 0o777),
    zip_entry("pipe", stat.S_IFIFO | 0o644),
]


@pytest.mark.parametrize(
    ("make", "entry"),
    [(make_tar, entry) for entry in UNSAFE_TAR] + [(make_zip, entry) for entry in UNSAFE_ZIP],
)
def test_an_unsafe_member_condemns_the_archive(
    tmp_path: Path, make: Callable[..., Path], entry: tarfile.TarInfo | zipfile.ZipInfo
) -> None:
    archive = make(tmp_path / "a", entry)
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(DataError, match="refused, fetch the archive from its source"):
        unpack(archive, {"top/wanted.txt": "here.txt"}, folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "out"]
    assert {path.name for path in folder.iterdir()} <= {"here.txt"}
    assert not any(path.is_symlink() for path in folder.iterdir())


@pytest.mark.parametrize("make", [make_tar, make_zip])
@pytest.mark.parametrize("limits", [{"max_bytes": 10}, {"max_members": 1}])
def test_an_archive_that_is_too_large(
    tmp_path: Path, make: Callable[..., Path], limits: dict[str, int]
) -> None:
    archive = make(tmp_path / "a")
    with pytest.raises(DataError, match="unpacks to more than"):
        unpack(archive, {"top/other.txt": "here.txt"}, tmp_path, **limits)
    assert not (tmp_path / "here.txt").exists()


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    archive = tmp_path / "a"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("top/wanted.txt", bytes(50_000_000))
    with pytest.raises(DataError, match="unpacks to more than"):
        unpack(archive, {"top/wanted.txt": "here.txt"}, tmp_path, max_bytes=1_000_000)
    assert not (tmp_path / "here.txt").exists()


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_a_missing_member(tmp_path: Path, make: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match=r"no member 'top/none\.txt'"):
        unpack(make(tmp_path / "a"), {"top/none.txt": "here.txt"}, tmp_path)


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_a_truncated_archive(tmp_path: Path, make: Callable[..., Path]) -> None:
    archive = make(tmp_path / "a", contents={"top/wanted.txt": bytes(range(256)) * 4096})
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(DataError, match=r"is damaged .*; fetch it again"):
        unpack(archive, {"top/wanted.txt": "here.txt"}, tmp_path)


def test_a_zip_with_altered_content(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a")
    archive.write_bytes(archive.read_bytes().replace(b"wanted", b"WANTED", 2))
    with pytest.raises(DataError, match="is damaged"):
        unpack(archive, {"top/wanted.txt": "here.txt"}, tmp_path)


@given(st.data())
def test_a_zip_cut_anywhere_is_joined(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        content = make_zip(folder / "a").read_bytes()
        places = st.lists(st.integers(0, len(content)), max_size=4).map(sorted)
        ends = [0, *data.draw(places), len(content)]
        slices = [folder / f"slice-{number}" for number in range(len(ends) - 1)]
        for path, start, stop in zip(slices, ends[:-1], ends[1:], strict=True):
            path.write_bytes(content[start:stop])
        whole = join(slices, folder / "whole")
        assert whole.read_bytes() == content
        assert sorted(path.name for path in folder.iterdir()) == ["a", "whole"]
        unpack(whole, {"top/wanted.txt": "here.txt"}, folder)
        assert (folder / "here.txt").read_bytes() == b"wanted"


def test_joining_replaces_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "whole").write_bytes(b"left by another")
    (tmp_path / "only").write_bytes(b"slice")
    assert join([tmp_path / "only"], tmp_path / "whole").read_bytes() == b"slice"


@given(make=st.sampled_from([make_zip, make_tar]), data=st.data())
def test_any_damage_is_refused_or_harmless(make: Callable[..., Path], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        content = make(folder / "a").read_bytes()
        place = st.integers(0, len(content) - 1)
        turn = data.draw(st.just(0) | place)  # slices in another order
        damaged = bytearray(content[turn:] + content[:turn])
        for at, byte in data.draw(st.lists(st.tuples(place, st.integers(0, 255)), max_size=4)):
            damaged[at] = byte
        (folder / "a").write_bytes(damaged)
        with suppress(DataError):
            unpack(folder / "a", {"top/wanted.txt": "here.txt"}, folder)
        assert {path.name for path in folder.iterdir()} <= {"a", "here.txt"}


def test_a_zip_with_an_offset_below_0(tmp_path: Path) -> None:
    content = make_zip(tmp_path / "a").read_bytes()
    # Without its first half, the members lie before the start of the file.
    (tmp_path / "a").write_bytes(content[len(content) // 2 :])
    with pytest.raises(DataError, match=r"is damaged .*; fetch it again"):
        unpack(tmp_path / "a", {"top/wanted.txt": "here.txt"}, tmp_path)


def test_a_zip_with_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    content = make_zip(tmp_path / "a", contents={"top/\xe9.txt": b""}).read_bytes()
    (tmp_path / "a").write_bytes(content.replace("\xe9".encode(), b"\xff\xff"))
    with pytest.raises(DataError, match=r"is damaged .*; fetch it again"):
        unpack(tmp_path / "a", {"top/wanted.txt": "here.txt"}, tmp_path)
