"""NOTICE lists all that is carried, as it is carried now."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from notice import ROOT, notice


def test_it_is_written_anew() -> None:
    stored = (ROOT / "NOTICE").read_text("utf-8")
    assert stored == notice(ROOT), "write it anew: python tools/notice.py"


def test_every_file_of_a_site_that_is_not_ours_is_named() -> None:
    text = (ROOT / "NOTICE").read_text("utf-8")
    record = json.loads((ROOT / "web" / "vendor.json").read_text("utf-8"))
    for file in record["files"]:
        assert file in text
    for package, told in record["packages"].items():
        assert f"{package} {told['version']}, {told['licence']}" in text


def test_the_licences_say_what_is_said_of_them() -> None:
    """Of those that are in the repository: the notice's copyright is the licence's."""
    text = (ROOT / "NOTICE").read_text("utf-8")
    for licence in (ROOT / "web" / "licences").glob("*.txt"):
        (line,) = (one for one in licence.read_text("utf-8").splitlines() if "Copyright (c)" in one)
        assert line.strip() in text


def test_no_folder_of_others_works_is_forgotten() -> None:
    """A licence file of somebody else's that git knows is one that NOTICE knows of."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:  # an unpacked archive, which is made of these very files
        files = [path.relative_to(ROOT) for path in ROOT.glob("web/licences/*")]
    else:
        files = [Path(line) for line in listed.stdout.splitlines()]
    words = ("licence", "license", "copying", "notice")
    # The tool, its test and the module with the terms of data sets are called so, and are ours.
    ours = {"LICENSE", "NOTICE", "web/LICENSE", "tools/notice.py", "tests/tools/test_notice.py"}
    ours |= {"src/dimec/data/licences.py", "tests/data/test_licences.py"}
    found = {path.as_posix() for path in files if any(w in path.as_posix().lower() for w in words)}
    assert found - ours == {"web/licences/onnxruntime.txt"}
