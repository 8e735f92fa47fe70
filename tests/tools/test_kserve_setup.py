"""The environment with KServe's types: when it is built anew."""

from __future__ import annotations

from kserve_setup import LOCK
from setup_env import count_packages


def test_its_packages_are_pinned_and_hashed() -> None:
    text = LOCK.read_text("utf-8")
    blocks = [block for block in text.split("\n") if "==" in block and not block.startswith("#")]
    assert len(blocks) == count_packages(text) > 10
    assert all(block.endswith("\\") for block in blocks), "a hash follows each"
