"""A simulation from file to folder: ``fleet.json``, and the page that shows it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from dimec.__about__ import __version__
from dimec.base.progress import NoProgress, Progress
from dimec.base.storage import atomic_write, write_json
from dimec.fleet.accounts import summary
from dimec.fleet.page import draw_pictures, page_of
from dimec.fleet.settings import FleetSettings
from dimec.fleet.simulate import simulate
from dimec.fleet.sizing import sizes
from dimec.fleet.studies import layer_study, sharing_study

RESULT, PAGE = "fleet.json", "fleet.html"


def simulate_into(
    settings: FleetSettings, folder: Path, progress: Progress | None = None, *, page: bool = True
) -> dict[str, Any]:
    """Simulate, and write the result and its page into a folder.

    Args:
        settings: of the fleet.
        folder: created where it is missing; the runs of recorded traces go to ``traces``.
        progress: told what goes on.
        page: whether to draw the page too, which takes matplotlib.

    Returns:
        The result as JSON values, the same that ``fleet.json`` holds.

    Raises:
        ConfigError: settings that do not fit the traces.
        ArtefactError: traces or runs are missing or damaged.
        MissingExtraError: matplotlib is not installed.
    """
    progress = progress or NoProgress()
    traces = folder / "traces"
    done = simulate(settings, traces, progress)
    progress.say("what each tier must be sized for")
    result = {
        "settings": settings.model_dump(mode="json"),
        "versions": {
            "dimec": __version__,
            "python": ".".join(map(str, sys.version_info[:3])),
            "numpy": np.__version__,
        },
        "tiers": list(done.deployment.names),
        **{"result": summary(done)},
        "sizing": sizes(done),
        "sharing": sharing_study(done, progress),
        "layers": layer_study(settings, traces, progress),
    }
    drawings = draw_pictures(result) if page else []
    write_json(folder / RESULT, result)
    if page:
        for one in drawings:
            atomic_write(folder / f"{one.name}.svg", one.svg)
            atomic_write(folder / f"{one.name}.csv", one.series.to_csv())
        atomic_write(folder / PAGE, page_of(result, drawings))
    return result
