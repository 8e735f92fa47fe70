"""Ray's environment: when it is built anew, and that it runs what the others run."""

from __future__ import annotations

from pinned_env import ours as our_lock
from pinned_env import pins
from ray_setup import LOCK


def test_what_both_lock_files_name_has_one_version() -> None:
    ours = pins(our_lock())
    theirs = pins(LOCK.read_text("utf-8"))
    shared = ours.keys() & theirs.keys()
    assert {"numpy", "onnxruntime", "starlette", "tokenizers"} <= shared
    assert {name: theirs[name] for name in shared} == {name: ours[name] for name in shared}
    assert "ray" in theirs
