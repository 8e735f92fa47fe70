"""How many cores there are, and how torch's threads wait for each other."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from dimec.base.machine import processors

_TELL = "import os; print(os.environ.get('GOMP_SPINCOUNT'), os.environ.get('OMP_WAIT_POLICY'))"


def _told(program: str, **given: str) -> str:
    names = {name: value for name, value in os.environ.items() if name not in given}
    names.pop("GOMP_SPINCOUNT", None)
    done = subprocess.run(
        [sys.executable, "-c", f"{program}; {_TELL}"],
        capture_output=True,
        text=True,
        check=True,
        env=names | given,
    )
    return done.stdout.strip()


def test_the_cores_are_those_of_this_process() -> None:
    assert processors() >= 1
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system binds no process to cores")
    program = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
        "from dimec.base.machine import processors; print(processors())"
    )
    assert _told(program).splitlines()[0] == "1"


def test_threads_wait_asleep_where_torch_is_still_to_come() -> None:
    assert _told("import dimec.training") == "1000 None"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"GOMP_SPINCOUNT": "77"}, "77 None"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "None ACTIVE"),
    ],
)
def test_what_the_user_has_set_holds(given: dict[str, str], told: str) -> None:
    assert _told("from dimec.base.machine import wait_asleep; wait_asleep()", **given) == told


def test_where_torch_is_there_nothing_is_set_that_it_would_not_read() -> None:
    program = "import torch; from dimec.base.machine import wait_asleep; wait_asleep()"
    assert _told(program) == "None None"
