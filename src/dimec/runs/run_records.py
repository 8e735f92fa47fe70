"""What training left in a run directory: its record, its traces, and its dynamics."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from dimec.base.errors import ConfigError, CorruptArtefactError, MismatchError
from dimec.base.storage import load_arrays, read_json, save_arrays
from dimec.cartography import DataMap, TrainingDynamics
from dimec.runs.mapped import data_map_in
from dimec.runs.paths import RunPaths
from dimec.traces.trace import Trace

if TYPE_CHECKING:
    from dimec.settings.run import RunSettings

_DYNAMICS_KIND = "training dynamics"
_TRAINING_KEYS = {"model", "task", "source", "backbone", "exits", "rows", "best_epoch", "history"}
_TRAINING_KEYS |= {"seed", "versions"}
_RECORDED = "recorded"


class RunRecords(RunPaths):
    """Paths (:class:`dimec.runs.paths.RunPaths`), and readers of what training wrote there."""

    def settings(self) -> RunSettings:
        """The run's settings.

        Raises:
            ConfigError: it holds recorded traces, and was never trained here.
        """
        from dimec.settings.run import RunSettings

        self.require_model()
        return RunSettings.load(self.config_path)

    def recorded(self) -> Mapping[str, Any] | None:
        """What the card of recorded traces knows (:mod:`dimec.runs.recorded`).

        None for a run that was trained.
        """
        record: Mapping[str, Any] | None = self.training().get(_RECORDED)
        return record

    def require_model(self) -> None:
        """Refuse a run of recorded traces.

        Raises:
            ConfigError: it is one.
        """
        if self.training_path.exists() and (recorded := self.recorded()) is not None:
            raise ConfigError(
                f"{self.path} holds the recorded traces {recorded['name']}, and no model: they are "
                "fitted and evaluated; for all else train a run with: dimec train"
            )

    def training(self) -> dict[str, Any]:
        """What training wrote down: fingerprint of the model, history, sizes, versions."""
        record: dict[str, Any] = read_json(
            self.training_path, f"dimec train --out {self.typed} (again, if it was interrupted)"
        )
        if not isinstance(record, dict) or not record.keys() >= _TRAINING_KEYS:
            raise CorruptArtefactError(
                f"{self.training_path} does not hold what training writes; train again with: "
                f"dimec train --out {self.typed} --overwrite"
            )
        return record

    def trace(self, split: str) -> Trace:
        """The trace of a split, checked to be of this run's model."""
        fingerprint = self.training()["model"]
        trace = Trace.load(self.trace_path(split))
        trace.require_model(fingerprint, f"{self.path}")
        return trace

    def save_dynamics(
        self, dynamics: TrainingDynamics, metadata: Mapping[str, Any], split: str = "validation"
    ) -> None:
        """Write the dynamics of all exits on a split, ``"validation"`` or ``"train"``."""
        header = {**metadata, "exits": dynamics.exits, "guids": dynamics.guids}
        arrays: dict[str, npt.NDArray[Any]] = {"logits": dynamics.logits, "labels": dynamics.labels}
        save_arrays(self._dynamics_file(split), _DYNAMICS_KIND, arrays, header)

    def _dynamics_file(self, split: str) -> Path:
        name = "logits" if split == "validation" else split
        return self.dynamics_path / f"{name}.safetensors"

    def dynamics(self, split: str = "validation") -> TrainingDynamics:
        """The dynamics of all exits on a split, checked to be of this run's model.

        A run that DeeBERT's two stages trained has those of its second stage, in which the last
        exit stands still on the validation split and is not recorded on the training split. The
        training split is recorded where the settings ask for it (``record_train``).

        Args:
            split: ``"validation"`` or ``"train"``.

        Raises:
            ArtefactError: missing, damaged, or of another model.
        """
        self.require_model()
        path = self._dynamics_file(split)
        again = f"dimec train --out {self.typed}"
        if split == "train":
            settings = shlex.quote(str(self.trained.config_path))
            again += f" --config {settings} --record-train --overwrite"
        arrays, header = load_arrays(path, _DYNAMICS_KIND, again)
        if header.get("model") != self.training()["model"]:
            raise MismatchError(
                f"{path} was recorded while training another model than that of {self.told}; "
                f"train again with: dimec train --out {self.typed} --overwrite"
            )
        return TrainingDynamics(
            arrays["logits"], arrays["labels"], tuple(header["exits"]), tuple(header["guids"])
        )

    def data_map(self, layer: int) -> DataMap | None:
        """The data map of the validation split at an exit of the first tier's model.

        Args:
            layer: of the exit.

        Returns:
            None where traces are recorded without one.

        Raises:
            ArtefactError: the dynamics, or the trace that has the map, are missing or damaged.
        """
        if self.recorded() is None:
            return self.dynamics().data_map(layer)
        return data_map_in(self.trace("validation"), layer)
