"""Training dynamics: what every exit said of every sample after every epoch, and its files."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray, IntArray
from dimec.base.errors import ConfigError, DataError, MissingArtefactError
from dimec.base.storage import atomic_write
from dimec.cartography.data_map import DataMap


def softmax(logits: npt.NDArray[np.floating]) -> FloatArray:
    """Class probabilities over the last axis, in float64."""
    z = np.asarray(logits, np.float64)
    z = np.exp(z - z.max(axis=-1, keepdims=True))
    result: FloatArray = z / z.sum(axis=-1, keepdims=True)
    return result


@dataclass(frozen=True, eq=False)
class TrainingDynamics:
    """What every exit said of every sample after every epoch.

    Attributes:
        logits: (E, X, N, C) float32, at X exits.
        labels: (N,) the right labels, codes 0 … C-1.
        exits: the X layers with a classifier, ascending.
        guids: N identifiers of the samples.
    """

    logits: npt.NDArray[np.float32]
    labels: IntArray
    exits: tuple[int, ...]
    guids: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.logits.ndim != 4:
            raise DataError(
                f"logits must have the shape (epochs, exits, samples, classes), got "
                f"{self.logits.shape}"
            )
        _, x, n, c = self.logits.shape
        if (x, n, n) != (len(self.exits), len(self.labels), len(self.guids)):
            raise DataError(
                f"training dynamics of shape {self.logits.shape} do not fit {len(self.exits)} "
                f"exits, {len(self.labels)} labels and {len(self.guids)} guids"
            )
        if n and not (self.labels.min() >= 0 and self.labels.max() < c):
            raise DataError(f"labels must be codes from 0 to {c - 1}")

    @property
    def epochs(self) -> int:
        """E, the number of epochs recorded."""
        return int(self.logits.shape[0])

    def _at(self, exit_: int) -> int:
        if exit_ not in self.exits:
            raise ConfigError(f"no exit at layer {exit_}; the model has exits {list(self.exits)}")
        return self.exits.index(exit_)

    def gold(self, exit_: int) -> FloatArray:
        """(E, N) probability of the right label at the exit of layer ``exit_``."""
        p = softmax(self.logits[:, self._at(exit_)])
        result: FloatArray = np.take_along_axis(p, self.labels[None, :, None], axis=2)[..., 0]
        return result

    def data_map(self, exit_: int) -> DataMap:
        """The data map seen from one exit; the paper takes the mobile's, layer m (equation 4)."""
        predicted = self.logits[:, self._at(exit_)].argmax(axis=-1)
        return DataMap.from_probabilities(self.gold(exit_), predicted == self.labels)

    def write_jsonl(self, folder: Path, exit_: int) -> list[Path]:
        """Write one exit's dynamics as allenai/cartography does: ``dynamics_epoch_K.jsonl``.

        Each line holds ``guid``, ``logits_epoch_K`` and ``gold``; K counts from 0.
        """
        at = self._at(exit_)
        paths = []
        for epoch in range(self.epochs):
            path = folder / f"dynamics_epoch_{epoch}.jsonl"
            # By way of text: the shortest decimals that read back to the same float32.
            shortest = self.logits[epoch, at].astype(np.float32).astype(str)
            rows = shortest.astype(np.float64).tolist()
            records = zip(self.guids, rows, self.labels.tolist(), strict=True)
            lines = [
                json.dumps({"guid": guid, f"logits_epoch_{epoch}": row, "gold": label})
                for guid, row, label in records
            ]
            atomic_write(path, "\n".join(lines) + "\n")
            paths.append(path)
        return paths

    @classmethod
    def read_jsonl(cls, folder: Path, exit_: int = 1) -> Self:
        """Read ``dynamics_epoch_K.jsonl`` for K = 0, 1, …, of this or another program.

        Samples keep the order of epoch 0; later epochs may list them in any order.

        Args:
            folder: where the files lie.
            exit_: the layer that the one recorded classifier stands for.

        Raises:
            MissingArtefactError: no such files.
            DataError: a line cannot be read (named by file and line), an epoch lacks a sample or
                has an unknown one, a label changes between epochs, or an epoch is missing.
        """
        epochs = _epoch_files(Path(folder))
        first = _read_epoch(epochs[0], 0)
        guids = tuple(first)
        if not guids:
            raise DataError(f"{epochs[0]} holds no samples")
        labels = np.array([first[guid][1] for guid in guids], np.int64)
        logits = []
        for epoch, path in enumerate(epochs):
            records = first if epoch == 0 else _read_epoch(path, epoch)
            if records.keys() != first.keys():
                odd = sorted(records.keys() ^ first.keys())[0]
                raise DataError(f"{path}: its samples differ from epoch 0's, for example {odd!r}")
            for guid, label in zip(guids, labels.tolist(), strict=True):
                if records[guid][1] != label:
                    raise DataError(f"{path}: the gold label of {guid!r} differs from epoch 0's")
            logits.append([records[guid][0] for guid in guids])
        try:
            array = np.array(logits, np.float32)
        except ValueError:
            raise DataError(f"{folder}: the samples differ in their number of classes") from None
        return cls(array[:, None], labels, (exit_,), guids)


def _epoch_files(folder: Path) -> list[Path]:
    """The files of epochs 0, 1, … in order, none missing."""
    found: dict[int, Path] = {}
    for path in folder.glob("dynamics_epoch_*.jsonl"):
        if match := re.fullmatch(r"dynamics_epoch_(\d+)\.jsonl", path.name):
            found[int(match[1])] = path
    if not found:
        raise MissingArtefactError(f"{folder} holds no dynamics_epoch_K.jsonl files")
    missing = sorted(set(range(max(found) + 1)) - found.keys())
    if missing:
        raise DataError(f"{folder}: dynamics_epoch_{missing[0]}.jsonl is missing")
    return [found[epoch] for epoch in sorted(found)]


def _read_epoch(path: Path, epoch: int) -> dict[str, tuple[list[float], int]]:
    """guid → (logits, gold label) of one epoch's file."""
    records: dict[str, tuple[list[float], int]] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            guid, logits, label = _parse_record(line, f"logits_epoch_{epoch}")
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise DataError(
                f"{path}, line {number}: expected an object with guid, logits_epoch_{epoch} "
                f"(numbers) and gold (a class code), got something else "
                f"({type(error).__name__}: {error})"
            ) from None
        if guid in records:
            raise DataError(f"{path}, line {number}: the guid {guid!r} occurs twice")
        records[guid] = (logits, label)
    return records


def _parse_record(line: bytes, key: str) -> tuple[str, list[float], int]:
    record: Any = json.loads(line.decode("utf-8"))
    logits, label = record[key], record["gold"]
    if not isinstance(logits, list) or not all(type(v) in (int, float) for v in logits):
        raise ValueError(f"{key} is no list of numbers")
    values = [float(value) for value in logits]
    if not np.isfinite(values).all():
        raise ValueError(f"{key} is not finite")
    if type(label) is not int or not 0 <= label < len(values):
        raise ValueError(f"gold is {label!r}, expected a code from 0 to {len(values) - 1}")
    return str(record["guid"]), values, label
