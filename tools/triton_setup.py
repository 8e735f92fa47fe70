"""Build .triton/, the environment of a real Triton server, or see that it is up to date.

``python tools/triton_setup.py`` installs NVIDIA's wheel ``nvidia-pytriton``, which carries the
``tritonserver`` binary and its Python backend, with numpy, onnxruntime and tokenizers for the
models that it runs. It stands apart from .venv because it wants numpy below 2.
"""

from __future__ import annotations

import platform
import shutil
import sys
import sysconfig
from pathlib import Path

from pinned_env import ROOT, PinnedEnvironment, command_of
from setup_env import SetupError

PYTHONS = ((3, 11), (3, 12))  # that both the wheel's backend and numpy below 2 are built for
GLIBC = (2, 35)


def check_platform() -> None:
    """Whether the wheel runs here.

    Raises:
        SetupError: it does not; says what it needs.
    """
    needs = (
        "the Triton server needs Linux on x86_64 with glibc "
        f"{_dotted(GLIBC)} or later and Python {_dotted(PYTHONS[0])} or {_dotted(PYTHONS[1])}"
    )
    system, machine = platform.system(), platform.machine()
    if (system, machine) != ("Linux", "x86_64"):
        raise SetupError(f"{needs}, this is {system} on {machine}")
    library, version = platform.libc_ver()
    if library != "glibc" or _numbers(version) < GLIBC:
        raise SetupError(f"{needs}, this has {library or 'no glibc'} {version}".rstrip())
    if sys.version_info[:2] not in PYTHONS:
        raise SetupError(f"{needs}, this is Python {_dotted(sys.version_info[:2])}")
    if not python_library():
        raise SetupError(
            f"the Triton server needs Python's shared library ({_shared_name()}), and this Python "
            "was built without; take one that has it, on Debian and Ubuntu python3 and libpython3"
        )


def python_library() -> Path | None:
    """Folder of this Python's shared library, which the server's backend is linked against."""
    names = [sysconfig.get_config_var(name) for name in ("LIBDIR", "LIBPL")]
    system = Path("/usr/lib") / (sysconfig.get_config_var("MULTIARCH") or "")
    folders = [*(Path(name) for name in names if name), system, Path("/lib") / system.name]
    return next((folder for folder in folders if (folder / _shared_name()).exists()), None)


def _shared_name() -> str:
    return f"libpython{_dotted(sys.version_info[:2])}.so.1.0"


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def site_packages(folder: Path) -> Path:
    """Where the environment's packages are."""
    return folder / "lib" / f"python{_dotted(sys.version_info[:2])}" / "site-packages"


class _Triton(PinnedEnvironment):
    def install(self, folder: Path, lock: int) -> None:
        """Build it anew, and lay out the backend."""
        super().install(folder, lock)
        # The backend looks for its helper beside itself; the wheel holds one for each Python.
        wheel = site_packages(folder) / "pytriton" / "tritonserver"
        backend = folder / "backends" / "python"
        shutil.copytree(wheel / "backends" / "python", backend)
        helper = wheel / "python_backend_stubs" / _dotted(sys.version_info[:2])
        shutil.copy(helper / "triton_python_backend_stub", backend)


ENVIRONMENT = _Triton("triton", "the Triton server")
LOCK = ENVIRONMENT.lock


def set_up(root: Path = ROOT) -> Path:
    """Build what is missing under root/.triton; does nothing when nothing is. Returns the folder.

    Raises:
        SetupError: the wheel does not run here, or could not be installed.
    """
    check_platform()
    return ENVIRONMENT.set_up(root)


if __name__ == "__main__":
    sys.exit(command_of(ENVIRONMENT, set_up=set_up))
