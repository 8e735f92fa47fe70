"""The folder of a model that is made beside a run's own: a bottleneck, or a compressed model."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from dimec.base.errors import ConfigError, CorruptArtefactError
from dimec.base.storage import read_json, write_json

_CLAIM = "claim.json"


class SideFolder:
    """Paths, the record and the claim of one folder.

    ::

        RECORD                      settings and scores; written last
        checkpoint/                 while training only
        trace-validation.safetensors, trace-test.safetensors

    A kind of folder says what the record is called and holds, which command makes it, what it is
    in words, and what has happened where the model behind it is another.
    """

    RECORD: ClassVar[str]
    KEYS: ClassVar[Set[str]]
    COMMAND: ClassVar[str]
    WHAT: ClassVar[str]
    CHANGED: ClassVar[str]

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @property
    def record_path(self) -> Path:
        return self.path / self.RECORD

    @property
    def checkpoint_path(self) -> Path:
        return self.path / "checkpoint"

    def trace_path(self, split: str) -> Path:
        """Path of the trace of a split, ``"validation"`` or ``"test"``."""
        return self.path / f"trace-{split}.safetensors"

    def record(self) -> dict[str, Any]:
        """What was written down when it was made.

        Raises:
            MissingArtefactError: it was not made.
            CorruptArtefactError: the file is damaged.
        """
        made_by = f"{self.COMMAND} {self.path.parent} (again, if it was interrupted)"
        record: dict[str, Any] = read_json(self.record_path, made_by)
        if not isinstance(record, dict) or not record.keys() >= self.KEYS:
            raise CorruptArtefactError(
                f"{self.record_path} does not hold what is written of a {self.WHAT}; make it again "
                f"with: {self.COMMAND} --overwrite"
            )
        return record

    def claim(self, model: str, settings: Any) -> None:
        """Make the folder these settings' own, so that an interrupted training can go on.

        Args:
            model: fingerprint of the run's.
            settings: a dataclass.
        """
        claim = {"model": model, "settings": asdict(settings)}
        write_json(self.checkpoint_path / _CLAIM, claim)

    def check_claim(self, model: str, settings: Any) -> None:
        """Refuse a folder that holds, finished or not, what other settings or models made.

        Raises:
            ConfigError: other settings, or another model.
            CorruptArtefactError: damaged.
        """
        if self.record_path.exists():
            held = self.record()
        elif (self.checkpoint_path / _CLAIM).exists():
            held = read_json(self.checkpoint_path / _CLAIM, f"{self.COMMAND} --overwrite")
        else:
            return
        theirs, ours = held["settings"], asdict(settings)
        differences = [
            f"{name}: {theirs.get(name)!r} here, {value!r} there"
            for name, value in ours.items()
            if theirs.get(name) != value
        ]
        if held["model"] != model:
            differences.append(self.CHANGED)
        if differences:
            raise ConfigError(
                f"{self.path} holds another {self.WHAT} ({'; '.join(differences)}); discard it "
                "with --overwrite"
            )
