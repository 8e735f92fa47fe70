"""Build .executorch/, an environment with ExecuTorch on top of .venv, or see that it is current.

It has what ``dimec[executorch]`` needs beyond .venv, whose packages it sees. It stands apart
because transformers imports the torchao that comes with it wherever it is installed, which takes
seconds and prints lines at every start.
"""

from __future__ import annotations

import sys

from pinned_env import PinnedEnvironment, command_of, lacking, of_extras, ours, pins, resolved

ENVIRONMENT = PinnedEnvironment(
    "executorch", "ExecuTorch", stands_on_venv=True, source_only="antlr4-python3-runtime"
)
LOCK, set_up = ENVIRONMENT.lock, ENVIRONMENT.set_up


def resolve() -> str:
    """The lock file's text, resolved anew, with the versions of requirements.lock."""
    wanted = of_extras("executorch")
    return lacking(resolved(wanted=wanted, constraints=pins(ours())), ours())


if __name__ == "__main__":
    sys.exit(command_of(ENVIRONMENT, resolve))
