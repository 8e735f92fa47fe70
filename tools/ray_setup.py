"""Build .ray/, an environment with Ray and this checkout's dimec, or see that it is up to date.

It stands apart from .venv, which would grow by some forty packages that nothing else needs, on
platforms that Ray has no wheels for. What requirements.lock has too is of its versions.
"""

from __future__ import annotations

import sys

from pinned_env import ROOT, PinnedEnvironment, command_of, ours, pins, resolved

ENVIRONMENT = PinnedEnvironment("ray", "Ray", with_dimec=True)
LOCK, set_up = ENVIRONMENT.lock, ENVIRONMENT.set_up
# Beside dimec[ray]: what installs dimec itself.
BESIDE = ("hatchling", "editables")


def resolve() -> str:
    """The lock file's text, resolved anew."""
    extra = ("--extra", "ray", str(ROOT / "pyproject.toml"))
    return resolved(*extra, wanted=BESIDE, constraints=pins(ours()))


if __name__ == "__main__":
    sys.exit(command_of(ENVIRONMENT, resolve))
