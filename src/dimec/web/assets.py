"""The files of a site that come with dimec: the mobile's modules, the page, and others' packages.

In a checkout they lie in ``web/``, the packages where the set-up fetches them by npm; a wheel
carries them beside this module. Every file of others is held against ``vendor.json``.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from dimec.base.errors import CorruptArtefactError, MissingArtefactError
from dimec.base.storage import read_json

_HERE = Path(__file__).resolve().parent
CARRIED = _HERE / "assets"
CHECKOUT = _HERE.parents[2] / "web"
VENDOR = "vendor.json"
# Takes the place of the module that names the packages as npm has them.
_VENDOR_MODULE = b"""\
/** The two packages that are not ours, where this site has them. */

export * as ort from "../vendor/onnxruntime/ort.mjs";
export { Tokenizer } from "../vendor/tokenizers/tokenizers.mjs";
"""
_HINT = (
    "a wheel of dimec carries them; in a checkout, with Node 20 or later installed, make setup "
    "fetches them"
)


def assets(carried: Path = CARRIED, checkout: Path = CHECKOUT) -> dict[str, bytes]:
    """Path in a site → content, of all but the bundle and what is said about it.

    Args:
        carried: the folder in an installed package.
        checkout: ``web/`` of a checkout, for where there is no such folder.

    Raises:
        MissingArtefactError: a package was not fetched, or this dimec came without the files.
        CorruptArtefactError: a file of a package is not the one that was recorded.
    """
    home = carried if carried.is_dir() else checkout
    if not (home / VENDOR).is_file():
        raise MissingArtefactError(f"the files of the mobile in a browser are not here; {_HINT}")
    files = _modules(home / "src", "mobile", (".js",))
    files |= _modules(home / "page", "page", (".js", ".css", ".svg", ".html"))
    if "page/index.html" in files:
        files["index.html"] = files.pop("page/index.html")
    files["mobile/vendor.js"] = _VENDOR_MODULE
    return files | _vendored(home)


def _modules(folder: Path, name: str, endings: tuple[str, ...]) -> dict[str, bytes]:
    return {
        f"{name}/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix in endings
    }


def _vendored(home: Path) -> dict[str, bytes]:
    record = read_json(home / VENDOR, "tools/web_vendor.py")
    files = {}
    for path, told in record["files"].items():
        # Wheels and source archives have them by their place in a site, a checkout where npm puts
        # them.
        source = home / path if (home / path).is_file() else home / told["from"]
        try:
            content = source.read_bytes()
        except OSError:
            raise MissingArtefactError(f"{source} is not here; {_HINT}") from None
        if hashlib.sha256(content).hexdigest() != told["sha256"]:
            raise CorruptArtefactError(
                f"{source} is not the file that {VENDOR} records; fetch it again: in a checkout "
                "npm ci in web/, else install dimec again"
            )
        files[path] = content
    notice = {name: record["packages"][name] for name in sorted(record["packages"])}
    files["vendor/NOTICE.json"] = (json.dumps(notice, indent=2) + "\n").encode()
    return files
