"""Write NOTICE: whose work dimec carries, and on what terms.

``python tools/notice.py`` after a change of what ``web/vendor.json`` or the trace collection
carries. What dimec only depends on is installed beside it, with its own licence, and not carried.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_HEAD = """\
dimec
Copyright the dimec authors

Licensed under the Apache License, Version 2.0; see LICENSE.

What follows is the work of others that is carried: in the wheel, in the source archive, or in the
repository alone. Packages that dimec depends on are not carried. Written by tools/notice.py.
"""
# Beside what its licence file says.
_MORE = {
    "onnxruntime-web": "Copyright (c) Microsoft Corporation. The WebAssembly file is built of ONNX "
    "Runtime, whose ThirdPartyNotices.txt, at the tag of this version in its repository, names the "
    "works that are compiled into it.",
    "@huggingface/tokenizers": "Copyright Hugging Face.",
    "uplot": "Copyright (c) 2022 Leon Sorokin.",
}


def web_part(root: Path) -> list[str]:
    """The packages of npm whose files a wheel and a site have."""
    record = json.loads((root / "web" / "vendor.json").read_text("utf-8"))
    lines = ["In the wheel (dimec/web/assets), the source archive, and every site that is written:"]
    for package, told in record["packages"].items():
        folder = package.split("/")[-1].removesuffix("-web")
        files = sorted(one for one in record["files"] if one.startswith(f"vendor/{folder}/"))
        licence = f"vendor/{folder}/LICENSE"
        lines += ["", f"{package} {told['version']}, {told['licence']}", f"  {_MORE[package]}"]
        lines += [f"  {file}" for file in files if file != licence]
        lines.append(f"  licence: {licence}")
    return lines


def trace_part(root: Path) -> list[str]:
    """The data sets of which the collection holds what models said, without any text."""
    cards = [json.loads(path.read_text("utf-8")) for path in root.glob("traces/**/card.json")]
    terms = sorted({(card["task"], card["licence"]) for card in cards})
    lines = [
        "In the source archive and the repository (traces/): labels, probabilities and pooled",
        "embeddings of these data sets' rows; none of their texts. The terms of the texts:",
        "",
    ]
    return [*lines, *(f"{task}: {licence}" for task, licence in terms)]


def notice(root: Path) -> str:
    """The whole of NOTICE."""
    parts = [_HEAD.rstrip(), "\n".join(web_part(root)), "\n".join(trace_part(root))]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    (ROOT / "NOTICE").write_text(notice(ROOT), "utf-8")
    sys.stdout.write("NOTICE says what is carried\n")
