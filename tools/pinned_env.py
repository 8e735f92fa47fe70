"""Environments beside .venv, each with the packages that a lock file pins.

What only a conformance test or the site needs, or what wants other versions than dimec has, stands
apart: ``tools/NAME_setup.py`` makes ``.NAME/`` of ``tools/NAME.lock``, or sees that it is up to
date, and with ``--lock`` resolves the lock file anew.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import setup_env
from setup_env import SetupError, count_packages, digest, keep_current, run_step, venv_python
from setup_progress import StepProgress

ROOT = setup_env.ROOT


@dataclass(frozen=True)
class PinnedEnvironment:
    """An environment, and how it is built.

    Attributes:
        name: ``.name`` is its folder, ``tools/name.lock`` its lock file.
        of: what it is of, in what is told while it is built.
        stands_on_venv: whether it sees, behind its own, the packages of the Python that builds it.
        with_dimec: whether this checkout's dimec is installed in it, editable.
        source_only: the one package that is published as source only; .venv's setuptools builds it.
    """

    name: str
    of: str
    stands_on_venv: bool = False
    with_dimec: bool = False
    source_only: str = ""

    @property
    def lock(self) -> Path:
        """Its lock file."""
        return ROOT / "tools" / f"{self.name}.lock"

    def install(self, folder: Path, lock: int) -> None:
        """Build it anew.

        Args:
            folder: where.
            lock: descriptor of the set-up's lock.

        Raises:
            SetupError: it could not be installed, as where there is no wheel for this machine.
        """
        steps, log = 3 if self.with_dimec else 2, folder / "setup.log"
        with StepProgress(f"1/{steps} environment of {self.of}"):
            setup_env.make_venv(folder)
        if self.source_only:  # which setuptools builds, and that is behind
            self._stand(folder)
        pip = [str(venv_python(folder)), "-m", "pip", "install", "--progress-bar", "off"]
        pip.append("--no-deps")
        command = [*pip, "--require-hashes", "--only-binary", ":all:"]
        if self.source_only:
            command += ["--no-binary", self.source_only, "--no-build-isolation"]
        command += ["-r", str(self.lock)]
        count = count_packages(self.lock.read_text(encoding="utf-8"))
        title = f"2/{steps} its packages, hashes checked"
        run_step(title, command, lock=lock, log=log, total=count)
        if self.with_dimec:
            own = [*pip, "--no-index", "--no-build-isolation", "--editable", str(ROOT)]
            run_step("3/3 dimec itself", own, lock=lock, log=log)
        if not self.source_only:  # else pip would look at what is behind, too
            self._stand(folder)

    def _stand(self, folder: Path) -> None:
        if self.stands_on_venv:
            places = {"base": str(folder), "platbase": str(folder)}
            scheme = "nt_venv" if os.name == "nt" else "posix_venv"
            own = sysconfig.get_path("purelib", vars=places, scheme=scheme)
            line = f"import site; site.addsitedir({behind()!r})\n"
            Path(own, "behind.pth").write_text(line, encoding="utf-8")

    def stamp(self, folder: Path) -> str:
        """What an up-to-date environment in the folder was built from."""
        python = f"{sys.version_info.major}.{sys.version_info.minor} {sys.base_prefix}"
        parts = [self.lock.read_bytes(), python.encode(), os.fsencode(folder)]
        if self.with_dimec:
            parts.append((ROOT / "pyproject.toml").read_bytes())
        if self.stands_on_venv:
            parts += [(ROOT / "requirements.lock").read_bytes(), behind().encode()]
        return digest(*parts)

    def set_up(self, root: Path = ROOT) -> Path:
        """Build what is missing under root/.name; does nothing when nothing is.

        Returns:
            The folder.

        Raises:
            SetupError: it could not be installed.
        """
        folder = root / f".{self.name}"
        keep_current(folder, lambda: self.stamp(folder), self.install)
        return folder

    def write_lock(self, body: str) -> None:
        """Write its lock file anew, below the comment that it begins with."""
        lines = self.lock.read_text(encoding="utf-8").splitlines(keepends=True)
        header = "".join(takewhile(lambda line: line.startswith("#"), lines))
        self.lock.write_text(header + body, encoding="utf-8")
        print(f"lock: {count_packages(body)} packages in {self.lock.name}")


def behind() -> str:
    """Where the Python that runs this has its packages."""
    return sysconfig.get_path("purelib")


def command_of(
    environment: PinnedEnvironment,
    resolve: Callable[[], str] | None = None,
    set_up: Callable[[], Path] | None = None,
) -> int:
    """Be ``tools/NAME_setup.py``: set up, or resolve anew. Returns the exit code.

    Args:
        environment: which.
        resolve: the text of its lock file, resolved anew; None where that is done by hand.
        set_up: where more is done than the environment's own does.
    """
    parser = argparse.ArgumentParser(
        description=f"Make .{environment.name}/, the environment of {environment.of}, or see that "
        "it is up to date."
    )
    if resolve is not None:
        text = f"resolve tools/{environment.lock.name} anew"
        parser.add_argument("--lock", action="store_true", help=text)
    if getattr(parser.parse_args(), "lock", False) and resolve is not None:
        environment.write_lock(resolve())
        return 0
    try:
        (set_up or environment.set_up)()
    except (SetupError, OSError) as error:
        print(f"{environment.name}: {error}", file=sys.stderr)
        return 2
    return 0


def pins(text: str) -> dict[str, str]:
    """Name → version of the packages in the text of a lock file."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, flags=re.MULTILINE))


def lacking(resolved: str, present: str) -> str:
    """Of a resolved lock file the packages that another does not have in the same version.

    Example:
        >>> lacking("a==1 \\\\\\n    --hash=x\\nb==2 \\\\\\n    --hash=y\\n", "a==1\\nb==3\\n")
        'b==2 \\\\\\n    --hash=y\\n'
    """
    known = pins(present)
    entries = re.split(r"^(?=[\w.-]+==)", resolved, flags=re.MULTILINE)
    return "".join(
        entry for entry in entries for name, at in pins(entry).items() if known.get(name) != at
    )


def ours() -> str:
    """The text of requirements.lock."""
    return (ROOT / "requirements.lock").read_text(encoding="utf-8")


def of_extras(*names: str) -> list[str]:
    """The requirements of extras of dimec, but for other extras of its own."""
    with (ROOT / "pyproject.toml").open("rb") as stream:
        extras = tomllib.load(stream)["project"]["optional-dependencies"]
    return [one for name in names for one in extras[name] if not one.startswith("dimec[")]


def resolved(
    *arguments: str,
    wanted: Iterable[str] = (),
    constraints: Mapping[str, str] | None = None,
    preferred: str = "",
) -> str:
    """The text of a lock file for all platforms, with hashes, as uv resolves it.

    Args:
        arguments: more of uv's, such as a file of requirements.
        wanted: requirements.
        constraints: name → the version that it has to have, if it comes in.
        preferred: the text of a lock file whose versions are taken where they will do.

    Raises:
        CalledProcessError: uv fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-config"]
        command += ["--universal", "--python-version", "3.11", "--fork-strategy", "fewest"]
        command += ["--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url"]
        command += ["--no-emit-find-links", "--output-file", str(place / "out.lock"), *arguments]
        # What the file has that it is to write, uv prefers.
        (place / "out.lock").write_text(preferred, encoding="utf-8")
        if constraints is not None:
            text = "".join(f"{name}=={version}\n" for name, version in constraints.items())
            (place / "constraints.txt").write_text(text, encoding="utf-8")
            command += ["--constraints", str(place / "constraints.txt")]
        if names := list(wanted):
            (place / "wanted.in").write_text("\n".join(names) + "\n", encoding="utf-8")
            command.append(str(place / "wanted.in"))
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        return (place / "out.lock").read_text(encoding="utf-8")
