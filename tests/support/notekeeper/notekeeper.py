"""A tracker of another package: a line of JSON for each thing that it is told."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate.tracking import GeneralTracker


class Notekeeper(GeneralTracker):  # type: ignore[misc]  # accelerate has no types
    """Keeps ``notes.jsonl`` in its folder."""

    name = "notekeeper"
    requires_logging_directory = False

    def __init__(
        self, *, name: str, folder: Path, resumed: bool, settings: Mapping[str, Any]
    ) -> None:
        super().__init__()
        folder.mkdir(parents=True, exist_ok=True)
        self._notes = folder / "notes.jsonl"
        self._note(begun=name, resumed=resumed, epochs=settings["training.epochs"])

    @property
    def tracker(self) -> Path:
        """What it writes."""
        return self._notes

    def log(self, values: dict[str, Any], step: int | None = None, **kwargs: Any) -> None:
        self._note(step=step, **values)

    def _note(self, **values: Any) -> None:
        if (self._notes.parent / "full").exists():
            raise OSError("no page is left")
        with self._notes.open("a") as stream:
            stream.write(json.dumps(values) + "\n")
