"""Build .venv from the lock file, or see in a moment that it is up to date.

Standard library only; started through bootstrap.py. The stamp in .venv says what the environment
was built from. It is written last, so an interrupted set-up leaves none and the next one starts
over. Anything but the project's own metadata having changed means a new environment: that is slower
than mending the old one, but never leaves a package behind that the lock file does not name.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from setup_progress import StepProgress

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("", "studies")  # what is installed from the checkout itself: the package, its studies
STAMP = ".dimec-stamp"
MARK = ".dimec-made"  # in every .venv made here, complete or not


class SetupError(Exception):
    """The set-up cannot go on; the message is one line for the user."""


@dataclass(frozen=True)
class Stamp:
    """What an environment was built from."""

    packages: str  # digest of the lock file, torch's pin, the Python and the place
    project: str  # digest of the project's own metadata
    torch: str  # "cpu" or "cuda"

    @staticmethod
    def read(path: Path) -> Stamp | None:
        """The stamp in the file, or None when there is none that can be understood."""
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            return Stamp(str(fields["packages"]), str(fields["project"]), str(fields["torch"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Write in one step, so that a reader never sees half a stamp."""
        part = path.with_name(path.name + ".part")
        part.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        part.replace(path)


def torch_pin(pyproject: Path) -> str:
    """torch's version, from the one place that pins it: ``[tool.dimec] torch``."""
    with pyproject.open("rb") as stream:
        return str(tomllib.load(stream)["tool"]["dimec"]["torch"])


def digest(*parts: bytes) -> str:
    """SHA-256 over the parts and their borders."""
    total = hashlib.sha256()
    for part in parts:
        total.update(f"{len(part)}:".encode() + part)
    return total.hexdigest()


def wanted_stamp(root: Path, asked_torch: str, present: Stamp | None) -> Stamp:
    """The stamp that an up-to-date environment has.

    Without a word about torch's build (``asked_torch`` empty) the one that is present stays.
    """
    flavour = asked_torch or (present.torch if present else "cpu")
    if flavour not in ("cpu", "cuda"):
        raise SetupError(f"DIMEC_TORCH must be cpu or cuda, got {flavour!r}")
    project = b"".join((root / part / "pyproject.toml").read_bytes() for part in PARTS)
    version = (root / "src" / "dimec" / "__about__.py").read_bytes()
    python = f"{sys.implementation.name}-{sys.version_info.major}.{sys.version_info.minor}"
    place = os.fsencode(root)  # scripts and the editable install hold absolute paths
    lock = (root / "requirements.lock").read_bytes()
    pin = torch_pin(root / "pyproject.toml").encode()
    packages = digest(lock, pin, python.encode(), place)
    return Stamp(packages, digest(project, version), flavour)


def count_packages(lock: str) -> int:
    """How many packages the text of a lock file pins, over all platforms."""
    return len(re.findall(r"^[\w.-]+==", lock, flags=re.MULTILINE))


def venv_python(folder: Path) -> Path:
    """The Python of the environment in the folder."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def steps_needed(present: Stamp | None, wanted: Stamp, python_works: bool) -> tuple[bool, bool]:
    """Whether to build (everything, the project's own install)."""
    if present is None or not python_works:
        return True, True
    everything = (present.packages, present.torch) != (wanted.packages, wanted.torch)
    return everything, everything or present.project != wanted.project


@contextmanager
def hold_lock(path: Path) -> Iterator[int]:
    """Hold the file's lock, waiting for another set-up to end; yields its descriptor."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    told = False
    try:
        while not _try_lock(handle):
            if not told:
                print("set-up: another set-up is at work here; waiting for it", flush=True)
                told = True
            time.sleep(0.2)
        yield handle
    finally:
        os.close(handle)  # lets go of the lock


if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: int) -> bool:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def child_environment() -> dict[str, str]:
    """The environment for pip: the user's, less what would install to another place."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_USER": "0"}
    return kept | quiet | {"PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}


def run_step(title: str, command: list[str], *, lock: int, log: Path, total: int = 0) -> None:
    """Run a command of the set-up, show its progress, keep its output in the log.

    Raises SetupError with the command's own last words. The child inherits the lock, so that no
    other set-up starts while a pip whose parent was killed still writes.
    """
    said: list[str] = []
    with StepProgress(title, total) as progress, log.open("a", encoding="utf-8") as stream:
        stream.write("$ " + " ".join(command) + "\n")
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env=child_environment(),
            pass_fds=() if os.name == "nt" else (lock,),
        ) as child:
            assert child.stdout is not None
            try:
                for line in child.stdout:
                    stream.write(line)
                    said.append(line.rstrip())
                    progress.hear(line)
            except BaseException:
                child.terminate()
                raise
        code = child.returncode
        if code:
            raise SetupError(f"{title} failed: {last_words(said)} (all of it: {log})")


def last_words(said: list[str]) -> str:
    """The line of a failed command's output that says most: its last error, or its last line."""
    lines = [line.strip() for line in said if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return re.sub("^error: ", "", (errors or lines or ["it said nothing"])[-1], flags=re.IGNORECASE)


def clear_venv(folder: Path) -> None:
    """Remove an environment that was made here; refuse any other folder of that name."""
    for old in folder.parent.glob(f"{folder.name}.old-*"):
        shutil.rmtree(old, ignore_errors=True)
    if not folder.exists():
        return
    if any(folder.iterdir()) and not any((folder / name).exists() for name in (MARK, STAMP)):
        raise SetupError(
            f"{folder} exists and was not made by this set-up; move or remove it, then run again"
        )
    # Renamed first: a removal cut short must not leave half a folder that looks like another's.
    old = folder.with_name(f"{folder.name}.old-{os.getpid()}")
    folder.rename(old)
    shutil.rmtree(old)


def make_venv(folder: Path) -> None:
    """Make an empty environment with pip in it, marked as made here."""
    if importlib.util.find_spec("ensurepip") is None:
        raise SetupError(
            f"{sys.executable} cannot make environments (no ensurepip); "
            "install its venv package, on Debian and Ubuntu python3-venv"
        )
    clear_venv(folder)
    folder.mkdir()
    (folder / MARK).touch()
    try:
        venv.EnvBuilder(with_pip=True, symlinks=os.name != "nt").create(folder)
    except subprocess.CalledProcessError as error:
        raise SetupError(f"making {folder} failed: {error}") from error


def keep_current(
    folder: Path, wanted: Callable[[], str], install: Callable[[Path, int], None]
) -> None:
    """Build an environment beside .venv where its stamp is not the wanted one.

    Args:
        folder: of the environment.
        wanted: the stamp that it has when it is up to date.
        install: makes it; gets the folder and the descriptor of the set-up's lock.
    """
    stamp = folder / STAMP

    def current() -> bool:
        return stamp.exists() and stamp.read_text(encoding="utf-8") == wanted()

    if current():
        return
    with hold_lock(folder.with_name(f"{folder.name}.lock")) as lock:
        if not current():  # another set-up may have done it meanwhile
            install(folder, lock)
            stamp.write_text(wanted(), encoding="utf-8")


def build(root: Path, folder: Path, wanted: Stamp, lock: int, everything: bool) -> None:
    """Bring the environment to the wanted stamp."""
    log = root / folder / "setup.log"
    python = str(venv_python(folder))
    pip = [python, "-m", "pip", "install", "--progress-bar", "off"]
    if everything:
        with StepProgress(
            f"1/4 environment, Python {sys.version_info.major}.{sys.version_info.minor}"
        ):
            make_venv(folder)
        requirements = root / "requirements.lock"
        count = count_packages(requirements.read_text(encoding="utf-8"))
        locked = [*pip, "--no-deps", "--require-hashes", "--only-binary", ":all:", "-r"]
        locked.append(str(requirements))
        run_step("2/4 packages, hashes checked", locked, lock=lock, log=log, total=count)
        pin = torch_pin(root / "pyproject.toml")
        script = [python, str(root / "tools" / "torch_build.py"), pin, "--flavour", wanted.torch]
        run_step(f"3/4 torch {pin}, {wanted.torch} build", script, lock=lock, log=log)
    else:
        (folder / STAMP).unlink(missing_ok=True)
    own = [*pip, "--no-deps", "--no-index", "--no-build-isolation"]
    for part in PARTS:
        own += ["--editable", str(root / part)]
    run_step("4/4 dimec itself", own, lock=lock, log=log)
    wanted.write(folder / STAMP)


def set_up(root: Path, asked_torch: str) -> None:
    """Build what is missing under root/.venv; does nothing when nothing is."""
    folder = root / ".venv"

    def look() -> tuple[Stamp, bool, bool]:
        present = Stamp.read(folder / STAMP)
        wanted = wanted_stamp(root, asked_torch, present)
        return wanted, *steps_needed(present, wanted, venv_python(folder).exists())

    if not any(look()[1:]):
        return
    with hold_lock(root / ".setup.lock") as lock:
        wanted, everything, project = look()  # another set-up may have done it meanwhile
        if everything or project:
            start = time.monotonic()
            build(root, folder, wanted, lock, everything)
            print(f"set-up: ready after {time.monotonic() - start:.0f} s", flush=True)


def main() -> int:
    """Set up the repository this file stands in. Returns the exit code."""
    try:
        set_up(ROOT, os.environ.get("DIMEC_TORCH", "").strip().lower())
    except SetupError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"set-up: {error}; free space or mend that, then run again", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nset-up: interrupted; run it again to start over", file=sys.stderr)
        return 130
    return 0
