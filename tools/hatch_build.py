"""What a wheel and a source archive carry beside the sources: the mobile in a browser, whole.

The packages that it needs come from npm, and a wheel has to work where there is none; so their
files go along, as ``web/vendor.json`` lists them. Where they were not fetched (``make setup`` with
Node does), the wheel is built all the same, and ``--web`` says what is missing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ASSETS = "dimec/web/assets"
_OURS = ("src", "page", "vendor.json")


class WebFiles(BuildHookInterface):  # type: ignore[type-arg]  # any builder's
    """Adds the files to what is built."""

    PLUGIN_NAME = "web"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before a target is built; ``version`` is "editable" for an installation in place."""
        if version == "editable":
            return
        web = Path(self.root) / "web"
        found = vendored(web)
        if missing := [str(source) for source in found.values() if not source.is_file()]:
            self.app.display_warning(
                f"without the mobile in a browser: {missing[0]} is not there; fetch it with Node "
                "20 or later installed: make setup"
            )
            return
        included: dict[str, str] = build_data["force_include"]
        if self.target_name == "wheel":
            included |= {str(web / name): f"{ASSETS}/{name}" for name in _OURS}
            included |= {str(source): f"{ASSETS}/{path}" for path, source in found.items()}
        else:
            outside = {path: s for path, s in found.items() if s != web / path}
            included |= {str(source): f"web/{path}" for path, source in outside.items()}


def vendored(web: Path) -> dict[str, Path]:
    """Path in a site → file of a package: beside us in a source archive, else where npm puts it."""
    files = json.loads((web / "vendor.json").read_text("utf-8"))["files"]
    return {
        path: web / path if (web / path).is_file() else web / told["from"]
        for path, told in files.items()
    }
