"""Build the site of the documentation into build/site, strictly, and check every link in it.

``python tools/docs_build.py`` is ``make docs``. A page that the navigation lacks, a link or an
anchor that leads nowhere, a docstring that cannot be read: each stops it. MkDocs checks the pages
as they are written, lychee the site as it is read, both offline; links to the web are looked at
for their form only. ``--serve`` shows the site at an address of this machine and builds it anew
whenever a file changes, until Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import docs_setup
from setup_env import SetupError

ROOT = docs_setup.ROOT
SITE = ROOT / "build" / "site"

# What a page would fetch when it is read: scripts, styles, pictures, fonts.
_FETCHED = re.compile(
    r"<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=[\"']?((?:https?:)?//[^\"'\s>]+)"
    r"|<link\b(?=[^>]*\brel=[\"']?(?:stylesheet|preload|preconnect|icon))"
    r"[^>]*\bhref=[\"']?((?:https?:)?//[^\"'\s>]+)"
    r"|url\([\"']?((?:https?:)?//[^\"')]+)",
    re.IGNORECASE,
)


def fetched(text: str) -> list[str]:
    """The addresses of the web that a page or a style sheet loads by itself."""
    return ["".join(found) for found in _FETCHED.findall(text)]


def from_elsewhere(site: Path) -> list[str]:
    """``FILE: ADDRESS`` of all that the site would fetch when it is read; it should be nothing."""
    files = sorted(path for path in site.rglob("*") if path.suffix in (".html", ".css"))
    return [
        f"{path.relative_to(site)}: {address}"
        for path in files
        for address in fetched(path.read_text(encoding="utf-8"))
    ]


def tool(folder: Path, name: str) -> Path:
    """A program of the environment in the folder."""
    return folder / ("Scripts" if os.name == "nt" else "bin") / name


def mkdocs(folder: Path, *words: str) -> int:
    """Run MkDocs on mkdocs.yml. Returns its exit code."""
    # Its theme's makers ask everybody to think about its successor; here nobody can do anything.
    known = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run([tool(folder, "mkdocs"), *words], cwd=ROOT, env=known).returncode


def check_links(folder: Path, site: Path) -> int:
    """Follow every link of the site to its file and its anchor. Returns lychee's exit code."""
    lychee = tool(folder, "lychee")
    if not lychee.with_suffix(".exe" if os.name == "nt" else "").exists():
        print("docs: lychee has no build for this machine; MkDocs alone checked the links")
        return 0
    command = [str(lychee), "--offline", "--include-fragments", "--no-progress"]
    return subprocess.run([*command, "--root-dir", str(site), f"{site}/**/*.html"]).returncode


def build(folder: Path, site: Path) -> int:
    """Build the site and check it. Returns the exit code: 0, or that of the first that failed."""
    if code := mkdocs(folder, "build", "--strict", "--quiet", "--site-dir", str(site)):
        return code
    if strangers := from_elsewhere(site):
        print("docs: the site is to be read offline, but would fetch", file=sys.stderr)
        print(*strangers, sep="\n", file=sys.stderr)
        return 1
    if code := check_links(folder, site):
        return code
    print(f"docs: {site / 'index.html'}")
    return 0


def main() -> int:
    """Build, or serve. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", action="store_true", help="show it, and follow the files")
    serve = parser.parse_args().serve
    try:
        folder = docs_setup.set_up()
    except (SetupError, OSError) as error:
        print(f"docs: {error}", file=sys.stderr)
        return 2
    if serve:
        return mkdocs(folder, "serve")
    return build(folder, SITE)


if __name__ == "__main__":
    sys.exit(main())
