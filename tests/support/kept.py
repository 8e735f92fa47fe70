"""Traces as they are kept beside the code, of a run that was written by hand."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from dimec_studies.plan import Plan
from dimec_studies.stored import Stored, keep, load_stored
from support.written import written_run


def look_plan() -> Plan:
    """Of one task that is none of any package's."""
    return Plan.of(
        {
            "name": "look",
            "model": {"backbone": "tiny", "exits": "all", "tiers": (1, 2, 6)},
            "seeds": (4,),
            "draws": 50,
            "tasks": {"some": {"task": "csv:x"}},
        }
    )


@lru_cache(maxsize=1)
def kept() -> Stored:
    """The traces of the run, kept and read again; the same in every test, since fits are dear."""
    with TemporaryDirectory() as folder:
        run = written_run(Path(folder) / "run")
        return load_stored(keep(run, look_plan(), "some", 4, Path(folder) / "traces"))
