"""Write web/vendor.json: the files of npm's packages that a site has, their licences and hashes.

``python tools/web_vendor.py`` after ``npm ci``, which has checked the packages against the lock
file. A site is written of files with just these hashes, so what stands here is what people get.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

WEB = Path(__file__).resolve().parents[1] / "web"
# Package → its folder in a site, and its files that are needed there; the licence, where the
# package has no file of it, is ours to carry.
FILES = {
    "onnxruntime-web": (
        "onnxruntime",
        {
            "ort.mjs": "dist/ort.wasm.bundle.min.mjs",
            "ort-wasm-simd-threaded.wasm": "dist/ort-wasm-simd-threaded.wasm",
        },
        "licences/onnxruntime.txt",
    ),
    "@huggingface/tokenizers": (
        "tokenizers",
        {"tokenizers.mjs": "dist/tokenizers.min.mjs", "LICENSE": "LICENSE"},
        None,
    ),
    "uplot": (
        "uplot",
        {
            "uPlot.esm.js": "dist/uPlot.esm.js",
            "uPlot.min.css": "dist/uPlot.min.css",
            "LICENSE": "LICENSE",
        },
        None,
    ),
}


def record(web: Path) -> dict[str, Any]:
    """What vendor.json is to say.

    Raises:
        FileNotFoundError: the packages are not installed.
    """
    packages, files = {}, {}
    for package, (folder, wanted, licence) in FILES.items():
        home = web / "node_modules" / package
        about = json.loads((home / "package.json").read_text("utf-8"))
        packages[package] = {"version": about["version"], "licence": about["license"]}
        sources = {name: home / path for name, path in wanted.items()}
        if licence is not None:
            sources["LICENSE"] = web / licence
        for name, source in sources.items():
            files[f"vendor/{folder}/{name}"] = {
                "from": source.relative_to(web).as_posix(),
                "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
            }
    return {"packages": packages, "files": dict(sorted(files.items()))}


def main() -> int:
    """Write it. Returns the exit code."""
    try:
        told = record(WEB)
    except FileNotFoundError as error:
        print(f"web: {error.filename} is missing; run: npm ci (in web/)", file=sys.stderr)
        return 2
    (WEB / "vendor.json").write_text(json.dumps(told, indent=2) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
