"""Build .trackers/, an environment with trackio and MLflow, or see that it is up to date.

It stands on .venv, whose packages it sees behind its own: the lock file has what .venv lacks, and
the few that MLflow and trackio want in older versions, such as pyarrow, for which they can be no
part of .venv.
"""

from __future__ import annotations

import sys

from pinned_env import PinnedEnvironment, command_of, lacking, of_extras, ours, resolved

ENVIRONMENT = PinnedEnvironment("trackers", "the experiment trackers", stands_on_venv=True)
LOCK, set_up = ENVIRONMENT.lock, ENVIRONMENT.set_up
EXTRAS = ("mlflow", "trackio")


def resolve() -> str:
    """The lock file's text, resolved anew, with ours where they will do."""
    return lacking(resolved(wanted=of_extras(*EXTRAS), preferred=ours()), ours())


if __name__ == "__main__":
    sys.exit(command_of(ENVIRONMENT, resolve))
