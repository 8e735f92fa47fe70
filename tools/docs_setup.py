"""Build .docs/, the environment that makes the site, or see that it is up to date.

It has the dependency group ``docs`` of pyproject.toml, which nothing else needs. dimec is not
installed in it, for its docstrings are read and never imported.
"""

from __future__ import annotations

import sys

from pinned_env import ROOT as ROOT
from pinned_env import PinnedEnvironment, command_of, resolved

ENVIRONMENT = PinnedEnvironment("docs", "the site")
LOCK, set_up = ENVIRONMENT.lock, ENVIRONMENT.set_up


def resolve() -> str:
    """The lock file's text, resolved anew."""
    return resolved("--group", "docs")


if __name__ == "__main__":
    sys.exit(command_of(ENVIRONMENT, resolve))
