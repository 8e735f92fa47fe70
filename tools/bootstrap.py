"""Entry of the set-up: finds a Python that fits, then hands over to setup_env.

Written so that an old Python 3 can still read it and say what is wrong.
"""

import os
import shutil
import subprocess
import sys

MINIMUM = (3, 11)
BEYOND = (3, 15)  # the first version that not every locked package has been built for
NAMES = ("python3.13", "python3.12", "python3.11", "python3.14")
HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120


def find_python() -> str:
    """Return the path of a Python that fits and runs, or an empty string."""
    probe = f"import ensurepip, sys; sys.exit(not {MINIMUM} <= sys.version_info < {BEYOND})"
    for name in NAMES:
        path = shutil.which(name)
        # A name on the path may be a shim with nothing behind it, so run it.
        if path and subprocess.call([path, "-c", probe], stderr=subprocess.DEVNULL) == 0:
            return path
    return ""


def restart(python: str) -> int:
    """Run this file again under another Python and return its exit code."""
    return subprocess.call([python, os.path.abspath(__file__), *sys.argv[1:]])  # noqa: PTH100


def main() -> int:
    """Check the Python, then set up. Returns the exit code."""
    if not MINIMUM <= sys.version_info < BEYOND:
        other = find_python()
        if other:
            return restart(other)
    if sys.version_info < MINIMUM:
        got = f"{sys.version_info.major}.{sys.version_info.minor} ({sys.executable})"
        sys.stderr.write(
            f"set-up: needs Python 3.11 or later, got {got}; install one, "
            "or name it: make PYTHON=/path/to/python3.12\n"
        )
        return 2
    # The environment's own Python cannot rebuild the environment it stands in.
    venv = os.path.join(os.path.dirname(HERE), ".venv")  # noqa: PTH118, PTH120
    if os.path.realpath(sys.prefix) == os.path.realpath(venv):
        return restart(getattr(sys, "_base_executable", "") or sys.executable)
    sys.path.insert(0, HERE)
    import setup_env
    import setup_web

    return setup_env.main() or setup_web.main()


if __name__ == "__main__":
    sys.exit(main())
