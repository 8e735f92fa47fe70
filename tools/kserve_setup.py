"""Build .kserve/, the environment with KServe's own types, or see that it is up to date.

It has the package ``kserve`` with what its types need, and stands apart from .venv because the rest
of it wants older versions of what dimec uses. The lock file says how it is written.
"""

from __future__ import annotations

import sys

from pinned_env import ROOT as ROOT
from pinned_env import PinnedEnvironment, command_of

ENVIRONMENT = PinnedEnvironment("kserve", "KServe's types")
LOCK, set_up = ENVIRONMENT.lock, ENVIRONMENT.set_up

if __name__ == "__main__":
    sys.exit(command_of(ENVIRONMENT))
