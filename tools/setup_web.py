"""Fetch the packages of web/ by npm, or see in a moment that they are there.

Only the tests of web/ need them: where there is no npm, or no network, the set-up goes on without
them, and says so. The versions and their hashes stand in web/package-lock.json. As in setup_env the
stamp, which says what was installed, is written last.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from setup_env import ROOT, digest, hold_lock, last_words

STAMP = ".dimec-stamp"
# An npm that cannot reach its registry tries for minutes otherwise.
_QUICKLY = ("--prefer-offline", "--fetch-retries=1", "--fetch-retry-mintimeout=500")
_PATIENCE = 300  # seconds


def wanted_stamp(web: Path) -> str:
    """Digest of what the packages are installed from."""
    return digest(*((web / name).read_bytes() for name in ("package-lock.json", ".npmrc")))


def is_current(web: Path) -> bool:
    """Whether the packages that are installed are those of the lock file."""
    try:
        return (web / "node_modules" / STAMP).read_text("utf-8") == wanted_stamp(web)
    except OSError:
        return False


def fetch(web: Path, npm: str, lock: int) -> str:
    """Install the packages anew; what went wrong, in a line, or nothing.

    Args:
        web: the package.
        npm: the program.
        lock: descriptor that the program inherits, so that no other set-up starts beside it.
    """
    print("set-up: packages of web/, hashes checked", flush=True)
    try:
        done = subprocess.run(
            [npm, "ci", *_QUICKLY],
            cwd=web,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            pass_fds=() if sys.platform == "win32" else (lock,),
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"npm was not done after {_PATIENCE} s"
    if done.returncode:
        return last_words([line.removeprefix("npm ") for line in done.stdout.splitlines()])
    (web / "node_modules" / STAMP).write_text(wanted_stamp(web), "utf-8")
    return ""


def set_up(root: Path) -> None:
    """Install what is missing below root/web, where that can be done."""
    web, npm = root / "web", shutil.which("npm")
    if npm is None or shutil.which("node") is None or is_current(web):
        return
    with hold_lock(root / ".setup.lock") as lock:
        problem = "" if is_current(web) else fetch(web, npm, lock)
    if problem:
        print(
            f"set-up: the packages of web/ could not be fetched ({problem}); all but its tests "
            "works without them, and the next make tries again",
            file=sys.stderr,
        )


def main() -> int:
    """Set up the repository this file stands in; never fails, for Python does without it."""
    try:
        set_up(ROOT)
    except OSError as error:
        print(f"set-up: the packages of web/ could not be fetched ({error})", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nset-up: interrupted; run it again to start over", file=sys.stderr)
        return 130
    return 0
