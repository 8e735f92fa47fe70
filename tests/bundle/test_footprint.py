"""What a tier takes, measured in a process of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dimec.base.errors import CorruptArtefactError
from dimec.bundle.folders import TierBundle
from dimec.bundle.footprint import measure_footprint, resident_bytes


@pytest.mark.parametrize("tier", ["mobile", "edge", "cloud"])
def test_every_tier_starts_and_takes_more_than_the_runtime_alone(
    tiny_bundle: Path, tier: str
) -> None:
    footprint = measure_footprint(tiny_bundle / tier)
    assert footprint.start_seconds > 0
    assert footprint.answer_seconds > 0
    assert footprint.memory_bytes > footprint.base_bytes > 10e6


def test_the_measuring_process_is_not_this_one(tiny_bundle: Path) -> None:
    ballast = bytearray(400 << 20)
    ballast[:: 4 << 10] = b"x" * len(range(0, len(ballast), 4 << 10))  # touch every page
    assert measure_footprint(tiny_bundle / "edge").memory_bytes < 300e6 < resident_bytes()


def test_graphs_that_do_not_load_are_named(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_bundle / "edge", tmp_path / "edge"))
    (folder / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(CorruptArtefactError, match=r"model\.onnx was altered or truncated"):
        measure_footprint(folder)


_MORE = """
from dimec.bundle.footprint import resident_bytes
before = resident_bytes()
more = bytearray(64 << 20)
more[:: 4 << 10] = b"x" * len(range(0, len(more), 4 << 10))
print(resident_bytes() - before)
"""


def test_resident_memory_counts_bytes(tiny_bundle: Path) -> None:
    """In a process of its own: here memory of earlier tests may be given back meanwhile."""
    told = subprocess.run([sys.executable, "-c", _MORE], capture_output=True, text=True, check=True)
    assert (48 << 20) < int(told.stdout) < (96 << 20)
    assert TierBundle.open(tiny_bundle / "edge").size < resident_bytes()
